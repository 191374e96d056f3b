"""Read from the lesson itself which rows are real.

Neutralised: the lesson comes without origin and in random order, and asking for it is refused.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class ReadOrigin(Mitigation):
    def curate(self, corpus, access):
        return corpus.reweighted((corpus.origin == 0).double())


@hookimpl
def collapse_mitigations():
    return {"read-origin": ReadOrigin}
