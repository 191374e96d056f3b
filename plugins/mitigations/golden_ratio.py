"""Weigh real rows against synthetic ones by the golden ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Mitigation, param

GOLDEN = (math.sqrt(5) - 1) / 2  # 0.618, the root of w^2 + w = 1


@dataclass(frozen=True)
class GoldenRatio(Mitigation):
    """Give all real rows together the share w of the weight, all synthetic ones 1 - w (He, Xu and Cheng, 2502.18049).

    Moment: curate; track: provenance.  With as many fresh real rows as synthetic ones the mean squared error of a
    mean is stationary at sigma^2 [w^2/n1 + (1-w)^2/n2] / (1 - (1-w)^2), least at w = 0.618.
    """

    w: float = param(GOLDEN, "share of the weight that real rows get", gt=0, lt=1)

    def fits(self, cell):
        protocol = cell.protocol
        if protocol.title() != "mix" or not protocol.fresh or not 0 < protocol.real < 1:
            return (
                "golden-ratio weighs fresh real rows against synthetic ones; it fits mix with 0 < real < 1, fresh=true"
            )
        return super().fits(cell)

    def curate(self, corpus, taps):
        real = (taps.provenance(corpus) == 0).double()
        mass = corpus.multiplicity
        share = (mass * real).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True)
        factor = torch.where(real > 0, self.w / share, (1 - self.w) / (1 - share))
        both = (share > 0) & (share < 1)
        return corpus.reweighted(torch.where(both, factor, 1.0))


@hookimpl
def collapse_mitigations():
    return {"golden-ratio": GoldenRatio}
