"""Change the lesson in place, and with it what the protocol remembers.

Neutralised: it is noticed at once, and the chains fail.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Mutate(Mitigation):
    def curate(self, corpus, access):
        corpus.y.mul_(1.1)
        return corpus


@hookimpl
def collapse_mitigations():
    return {"mutate": Mutate}
