"""Focal loss: labels that are predicted badly get the most weight."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import Focal as FocalLoss
from collapse_bench.lib.distributions.objectives import ReplacesLoss
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Focal(ReplacesLoss):
    """Cross-entropy times (1 - p(label))^gamma (Lin et al., arXiv 1708.02002).

    The paper: gamma = 2 for detectors in which background outnumbers objects 1000 to 1.  Here the
    classes are symbols, tokens or labels, and every generation flattens the last; a baseline of
    ForTIFAI, arXiv 2509.08972.

    Stage: adapt; track: blind.  It is not a proper loss: the probability of likely labels is
    underestimated.
    """

    tunings = ({"gamma": 0.1}, {"gamma": 0.5}, {"gamma": 1.0})

    gamma: float = param(
        2.0, "how fast well predicted labels lose weight; 0: cross-entropy", ge=0, le=20
    )

    @property
    def objective(self):
        return FocalLoss(self.gamma)


@hookimpl
def collapse_mitigations():
    return {"focal": Focal}
