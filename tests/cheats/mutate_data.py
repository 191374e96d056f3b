"""Change the training set where torch does not count it: through `.data`, `.numpy()`, cached sums, or a generation later.

Neutralised: it is noticed and the chains fail, or the change reaches a copy only.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl, param

KEPT = []


@dataclass(frozen=True)
class MutateData(Mitigation):
    how: str = param("data", "where", choices=("data", "numpy", "sums"))

    def curate(self, corpus, access):
        if self.how == "data":
            corpus.y.data.mul_(1.1)
        elif self.how == "numpy":
            corpus.y.numpy()[...] *= 1.1
        elif self.how == "sums":
            corpus.moments().scatter.data.mul_(1.1)
        return corpus


@dataclass(frozen=True)
class MutateLater(Mitigation):
    """Change rows of earlier generations, which the protocol keeps."""

    applies_to_memory = True

    def curate(self, corpus, access):
        for old in KEPT:
            old.data.zero_()
        KEPT.append(corpus.y)
        return corpus


@hookimpl
def collapse_mitigations():
    return {"mutate-data": MutateData, "mutate-later": MutateLater}
