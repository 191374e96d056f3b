"""Add real rows that the teacher rarely generates."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import rows_in, surprisal
from collapse_bench.lib.rows.selection import best
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TailInjection(Mitigation):
    """Draw real rows and add those that are least likely under the teacher to the training set.

    Section 3 of Dohmatob et al., arXiv 2402.07043.

    Stage: curate; track: real; every drawn row is counted, read or not.  Rows beyond the cut of a
    truncating decoder have probability 0 and come first, in random order; most of them are from the
    ranks just beyond the cut.  Without a cut the tail is over-represented, more in every
    generation.
    """

    share: float = param(0.01, "rows added, as a share of the training set", gt=0, le=1)
    draws: float = param(10.0, "real rows drawn per row added", ge=1, le=1000)

    kinds = ("density", "discrete", "sequence")

    def curate(self, corpus, access):
        k = max(1, round(self.share * rows_in(corpus)))
        drawn = access.real(round(self.draws * k))
        return corpus + drawn.weighted(best(drawn, surprisal(access.teacher, drawn), k))


@hookimpl
def collapse_mitigations():
    return {"tail-injection": TailInjection}
