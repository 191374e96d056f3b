"""Add real rows, those most that the teacher rarely generates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import rows_in, surprisal
from collapse_bench.lib.rows.selection import best
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TailInjection(Mitigation):
    """Add real rows, and weigh those more that are least likely under the teacher.

    Section 3 of Dohmatob et al., arXiv 2402.07043: synthetic data whose tail is cut make the error
    level off, and real rows from just beyond the cut let it fall again.

    The paper is given rows of the tail.  Here rows are drawn from all real ones, and every row that
    is paid for is read; the share ``tail`` of them that is least likely under the teacher counts
    ``weight`` times.  With ``weight=1`` it is `real-anchor`.  Rows beyond the cut of a truncating
    decoder have probability 0 and come first, in random order.  Without a cut the tail is
    over-represented in every generation.

    Stage: curate; track: real.
    """

    share: float = param(0.1, "real rows added, as a share of the training set", gt=0, le=1)
    tail: float = param(0.1, "share of the added rows that counts more", gt=0, le=1)
    weight: float = param(3.0, "how often a row of the tail counts", ge=1, le=1e6)

    kinds = ("density", "discrete", "sequence")
    version = 2
    tunings = ({"weight": 1.5}, {"weight": 10.0}, {"share": 0.2})

    def curate(self, corpus, access):
        added = access.real(max(1, round(self.share * rows_in(corpus))))
        quota = self.tail * added.multiplicity.sum(-1, keepdim=True)
        in_tail = best(added, surprisal(access.teacher, added), quota)
        factor = 1 + (self.weight - 1) * in_tail
        ones = torch.ones(*corpus.chain_shape, corpus.n, device=factor.device)
        return (corpus + added).reweighted(torch.cat([ones, factor], -1))


@hookimpl
def collapse_mitigations():
    return {"tail-injection": TailInjection}
