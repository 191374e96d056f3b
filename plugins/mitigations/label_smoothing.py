"""Believe a label a little less than it says."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import ReplacesLoss, Smoothed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LabelSmoothing(ReplacesLoss):
    """Cross-entropy against (1 - eps) of the label and eps of all K labels alike (Szegedy et al., arXiv 1512.00567).

    Moment: adapt; track: blind.  Of a table of probabilities it is add-constant smoothing, by n eps / ((1 - eps) K) for n
    rows read.
    """

    eps: float = param(
        0.1, "share of the weight that goes to all labels alike; 0: cross-entropy", ge=0, lt=1
    )

    @property
    def objective(self):
        return Smoothed(self.eps)


@hookimpl
def collapse_mitigations():
    return {"label-smoothing": LabelSmoothing}
