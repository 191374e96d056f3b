"""A random share of every training set: what a method that drops rows must beat."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rounding import settled
from collapse_bench.lib.rows.mixing import rows_in
from collapse_bench.lib.rows.selection import keep_best
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Thinned(Mitigation):
    """Keep a random share of the rows, each with its own weight; the others get weight 0.

    A filter that keeps the same share differs from it by its choice only.  With ``refill`` the
    teacher writes as many new rows as were dropped, for comparison with filters that refill:
    under ``replace`` that equals no mitigation in distribution.  Counts, as ``sampler=exact-law``
    draws them for symbols, are thinned as the rows that they stand for.
    """

    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    refill: bool = param(False, "the teacher writes new rows in place of the dropped ones")

    control = True

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return Lacks(
                f"{self.title()} drops rows, and sampler=exact-law draws only their sums; choose "
                "sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self.keep == 1:
            return corpus
        rows = rows_in(corpus) if self.refill else 0
        if corpus.unit:
            corpus = keep_best(corpus, access.rng.uniform(corpus.n), self.keep)
        else:
            count = corpus.count * (corpus.weight > 0)
            quota = settled(self.keep * count.sum(-1)).round().long()
            corpus = corpus.counted(access.rng.hypergeometric(count, quota))
        dropped = rows - round(self.keep * rows)
        return corpus + access.synthetic(dropped) if dropped else corpus


@hookimpl
def collapse_mitigations():
    return {"thinned": Thinned}
