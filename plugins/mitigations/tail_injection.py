"""Add real rows from where the teacher hardly ever goes."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import rows_in, surprisal
from collapse_bench.lib.rows.selection import best
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TailInjection(Mitigation):
    """Real rows are drawn, and those that the teacher finds least likely join the lesson (section 3 of Dohmatob et al.,
    arXiv 2402.07043).

    Moment: curate; track: real, and every row drawn is charged, read or not.  A teacher whose decoder cuts the tail never
    says what lies beyond the cut, so that such rows come first, at random among themselves; most of them come from the
    ranks just beyond it.  Where nothing is cut the tail is over-represented, and more so in every generation.
    """

    share: float = param(0.01, "rows that are added, as a share of the lesson", gt=0, le=1)
    draws: float = param(10.0, "real rows drawn for each that is added", ge=1, le=1000)

    kinds = ("density", "discrete", "sequence")

    def curate(self, corpus, access):
        k = max(1, round(self.share * rows_in(corpus)))
        drawn = access.real(round(self.draws * k))
        return corpus + drawn.weighted(best(drawn, surprisal(access.teacher, drawn), k))


@hookimpl
def collapse_mitigations():
    return {"tail-injection": TailInjection}
