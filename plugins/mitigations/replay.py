"""Replace a part of every training set by rows of one fixed set of real rows."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.mixing import exchanged, rows_in
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Replay(Mitigation):
    """Replace a random share of the training set by real rows; its size stays the same.

    Shumailov et al., Nature 2024: ten per cent of the original data.

    Stage: curate; track: real.  n real rows are kept, and a new random part of them is read in
    every generation; with ``redrawn=false`` only one part is kept and always read.  The ledger
    counts the kept rows as unique rows, and every use in the total.  The rows are drawn for this
    method; a method never gets the rows that generation 0 read.
    """

    share: float = param(0.1, "share of the training set that is real", ge=0, le=1)
    redrawn: bool = param(
        True, "a new part of the kept rows in every generation; false: the same rows"
    )

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return Lacks(
                "replay replaces rows, and sampler=exact-law draws only their sums; choose "
                "sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        m = round(self.share * rows_in(corpus))
        if m == 0:
            return corpus
        kept = access.real(max(m, access.n) if self.redrawn else m, fixed=True)
        return exchanged(corpus, kept.sample(m, access.rng), access.rng)


@hookimpl
def collapse_mitigations():
    return {"replay": Replay}
