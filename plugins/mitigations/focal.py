"""Learn most from the labels that are foretold worst."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import Focal as FocalLoss
from collapse_bench.lib.distributions.objectives import ReplacesLoss
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Focal(ReplacesLoss):
    """Cross-entropy times (1 - p(label))^gamma (Lin et al., arXiv 1708.02002; a baseline of ForTIFAI, arXiv 2509.08972).

    Moment: adapt; track: blind.  It is no proper loss: what is likely is learnt as less likely than it is read.
    """

    gamma: float = param(
        2.0, "how fast a label that is foretold well loses weight; 0: cross-entropy", ge=0, le=20
    )

    @property
    def objective(self):
        return FocalLoss(self.gamma)


@hookimpl
def collapse_mitigations():
    return {"focal": Focal}
