"""Try many variants that do nothing but add noise, on the seeds of the suite, and publish the best of them.

No score on fresh seeds: what was chosen for its luck has none there.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl, param


@dataclass(frozen=True)
class Tune(Mitigation):
    variant: int = param(0, "which noise", ge=0)
    kinds = ("density",)

    def curate(self, corpus, access):
        return corpus.reweighted(access.rng.at(self.variant).uniform(corpus.n))


@hookimpl
def collapse_mitigations():
    return {"tune": Tune}
