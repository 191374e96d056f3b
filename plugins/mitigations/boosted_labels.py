"""Spend a few real labels where the teacher is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import rows_in
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class BoostedLabels(Mitigation):
    """A verifier passes over the lesson; what it passes is read, and a budget of real answers goes to questions on which
    it did not (Amin et al., arXiv 2502.08924).

    Moment: curate; track: real and verifier, one call per row and beta n labels.  Questions that get one are drawn at
    random among those that failed; where fewer failed than the budget has labels, the rest is spent on others and not
    read.
    """

    beta: float = param(0.1, "real labels per generation, as a share of the lesson", gt=0, le=1)
    filtered: bool = param(
        True, "whether rows that failed are dropped; false: they are read as well"
    )

    def incompatibility(self, cell):
        if not has_method(cell.data, "verify"):
            return (
                f"boosted-labels looks for wrong answers, and {cell.data.title()} has no verifier"
            )
        if cell.data.sampler == "exact-law":
            return "boosted-labels asks chosen questions, and sampler=exact-law has none; choose sampler=explicit"
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        right = access.verify(corpus)
        failed = ~right & (corpus.multiplicity > 0)
        hard = corpus.keep(failed, max(1, round(self.beta * rows_in(corpus))), access.rng)
        labelled = access.real(x=hard.x).weighted(hard.weight)
        return (corpus.reweighted(right.double()) if self.filtered else corpus) + labelled


@hookimpl
def collapse_mitigations():
    return {"boosted-labels": BoostedLabels}
