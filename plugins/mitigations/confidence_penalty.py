"""Reward a model for its doubt."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import Penalised, ReplacesLoss
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class ConfidencePenalty(ReplacesLoss):
    """Cross-entropy less beta times the entropy of the labels that are foretold (Pereyra et al., arXiv 1701.06548).

    Moment: adapt; track: blind.  No label is ever lost, since the last of its probability costs without bound.
    """

    beta: float = param(0.1, "what a nat of entropy is worth; 0: cross-entropy", ge=0, le=100)

    @property
    def objective(self):
        return Penalised(self.beta)


@hookimpl
def collapse_mitigations():
    return {"confidence-penalty": ConfidencePenalty}
