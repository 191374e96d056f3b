"""Smooth the training labels."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import ReplacesLoss, Smoothed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LabelSmoothing(ReplacesLoss):
    """Cross-entropy against (1 - eps) label + eps uniform over K labels.

    Szegedy et al., arXiv 1512.00567.

    Stage: adapt; track: blind.  For a table of probabilities it equals add-constant smoothing by
    n eps / ((1 - eps) K) for n rows.
    """

    eps: float = param(0.1, "weight of the uniform label; 0: cross-entropy", ge=0, lt=1)

    @property
    def objective(self):
        return Smoothed(self.eps)


@hookimpl
def collapse_mitigations():
    return {"label-smoothing": LabelSmoothing}
