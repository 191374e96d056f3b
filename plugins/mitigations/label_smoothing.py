"""Smooth the training labels."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import ReplacesLoss, Smoothed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LabelSmoothing(ReplacesLoss):
    """Cross-entropy against (1 - eps) label + eps uniform over K labels.

    The paper (Szegedy et al., arXiv 1512.00567): eps = 0.1 over the 1000 classes of ImageNet, in
    one training.  Here every generation smooths again, so the uniform part adds up, and weaker
    settings can do better.

    Stage: adapt; track: blind.  For a table of probabilities it equals add-constant smoothing by
    n eps / ((1 - eps) K) for n rows.
    """

    tunings = ({"eps": 0.001}, {"eps": 0.01}, {"eps": 0.03})

    eps: float = param(0.1, "weight of the uniform label; 0: cross-entropy", ge=0, lt=1)

    @property
    def objective(self):
        return Smoothed(self.eps)


@hookimpl
def collapse_mitigations():
    return {"label-smoothing": LabelSmoothing}
