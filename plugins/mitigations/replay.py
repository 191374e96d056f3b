"""Exchange a part of every lesson for a part of one set of real rows that is kept."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import exchanged, rows_in
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Replay(Mitigation):
    """A share of the lesson's rows, at random, gives way to real rows, so that its size stays (Shumailov et al., Nature
    2024: ten per cent of the original data).

    Moment: curate; track: real.  n real rows are kept, and another random part of them is read in every generation;
    with ``redrawn=false`` the same part for ever, and no more than that is kept.  Unique rows on the ledger are those
    kept, drawn beside the ones that generation 0 read, which no method is given; the total counts what is brought out
    of the cellar each time.
    """

    share: float = param(0.1, "share of the lesson that is real", ge=0, le=1)
    redrawn: bool = param(
        True, "another part of the kept rows in every generation; false: the same rows"
    )

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return "replay exchanges rows, and sampler=exact-law draws their sums alone; choose sampler=explicit"
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
