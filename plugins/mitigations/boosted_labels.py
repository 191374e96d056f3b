"""Spend a budget of real labels on questions where the teacher is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.mixing import rows_in
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class BoostedLabels(Mitigation):
    """Keep verified rows, and buy real answers for some of the questions that fail.

    Amin et al., arXiv 2502.08924.

    Stage: curate; track: real and verifier, one call per row and beta n labels.  The questions that
    get a real label are drawn at random among those that fail.  If fewer questions fail than the
    budget has labels, the remaining labels go to other questions and are not read.
    """

    beta: float = param(
        0.1, "real labels per generation, as a share of the training set", gt=0, le=1
    )
    filtered: bool = param(True, "drop rows that fail; false: read them too")

    def incompatibility(self, cell):
        if not has_method(cell.data, "verify"):
            return Lacks(
                f"boosted-labels looks for wrong answers, and {cell.data.title()} has no verifier"
            )
        if cell.data.sampler == "exact-law":
            return Lacks(
                "boosted-labels asks chosen questions, and sampler=exact-law draws none; choose "
                "sampler=explicit"
            )
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
