"""Penalise confident predictions."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import Penalised, ReplacesLoss
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class ConfidencePenalty(ReplacesLoss):
    """Cross-entropy minus beta times the entropy of the prediction.

    The paper (Pereyra et al., arXiv 1701.06548): a regulariser of one training of a classifier or a
    language model.  Here every generation is penalised again, so that weaker settings can do
    better.

    Stage: adapt; track: blind.  A label is never lost completely, since the slope of the penalty is
    infinite at probability 0.
    """

    tunings = ({"beta": 0.001}, {"beta": 0.01}, {"beta": 0.03})

    beta: float = param(0.1, "reward per nat of entropy; 0: cross-entropy", ge=0, le=100)

    @property
    def objective(self):
        return Penalised(self.beta)


@hookimpl
def collapse_mitigations():
    return {"confidence-penalty": ConfidencePenalty}
