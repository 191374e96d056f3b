"""Refuse the tasks on which the method harms, in five ways that look like a need.

No score: refused by choice: the task counts as doing nothing, 0, and the row
says how many it refused.
"""

from dataclasses import dataclass

from collapse_bench import Incompatible, Lacks, Mitigation, Teacher, hookimpl, param


@dataclass(frozen=True)
class Picky(Mitigation):
    """A copy of `distrust` that refuses data other than symbols, where it harms."""

    decay: float = param(0.5, "factor on the weight per generation", gt=0, le=1)
    how: str = param(
        "sentence", "how it refuses", choices=("sentence", "lacks", "raise", "read", "ask")
    )

    def _harms(self, kind):
        return kind != "discrete"

    def incompatibility(self, cell):
        if self._harms(cell.data.kind) and self.how == "sentence":
            return "picky would rather not"
        if self._harms(cell.data.kind) and self.how == "lacks":
            return Lacks("picky needs a method that is not there")
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self._harms("density" if corpus.y.is_floating_point() else "discrete"):
            if self.how == "raise":
                raise Incompatible("picky needs a method that is not there")
            if self.how == "read":
                corpus.parts  # noqa: B018
            if self.how == "ask":
                Teacher().logp(corpus.x, corpus.y)
        return corpus.reweighted(self.decay ** access.provenance(corpus).double())


@hookimpl
def collapse_mitigations():
    return {"picky": Picky}
