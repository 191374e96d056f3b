"""Read only what surprises the previous teacher most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Mitigation, param


@dataclass(frozen=True)
class HighSurprise(Mitigation):
    """Keep the rows that are least likely under the previous teacher (Gambetta et al., arXiv 2410.12341).

    Moment: curate; track: blind.  Rows arrive in random order and the sort is stable, so ties fall at random; of
    identical rows that stand as one with a count, the part that just fills the quota is kept by weight.
    """

    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)

    kinds = ("density", "discrete", "sequence")

    def curate(self, corpus, taps):
        surprise = -taps.teacher.logp(corpus.x, corpus.y).sum(-1)
        mass = corpus.multiplicity
        order = surprise.sort(dim=-1, descending=True, stable=True).indices
        ranked = mass.gather(-1, order)
        before = ranked.cumsum(-1) - ranked
        room = (self.keep * mass.sum(-1, keepdim=True)).round() - before
        kept = torch.minimum(room.clamp_min(0), ranked) / ranked.clamp_min(1e-300)
        return corpus.weighted(corpus.weight * torch.zeros_like(kept).scatter(-1, order, kept))


@hookimpl
def collapse_mitigations():
    return {"high-surprise": HighSurprise}
