"""Choose the model whose pupils would learn what the data say."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Extrapolate
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class AutophagyPenalty(Mitigation):
    """Loss + mu |theta_hat - R(theta)|^2, R(theta) the mean refit on samples of theta: the statistics of its own output are to
    be those of the data (Mayer et al., arXiv 2405.13977).

    Moment: adapt; track: blind, ``pupils`` more fits a generation.  Near theta_hat a refit differs from what it was told by a
    bias alone, R(theta) = theta - b with b = theta_hat - R(theta_hat), and for loss |theta - theta_hat|^2 the minimiser is
    theta_hat + mu / (1 + mu) b (derived here).  So a maximum-likelihood variance comes out as
    (1 + mu / (1 + mu) / n) of itself, unbiased to first order as mu grows.  R is an average over ``pupils`` refits.
    """

    mu: float = param(1.0, "weight of the penalty beside a mean loss; 0: none", ge=0)
    pupils: int = param(4, "refits that are averaged", ge=1, le=1000)
    tune: float = param(
        0.1,
        "length of a refit, as a share of a training, for models trained step by step",
        gt=0,
        le=1,
    )

    tiny = {"pupils": 2}

    def incompatibility(self, cell):
        if cell.model.predicts_noise:
            return f"autophagy-penalty moves parameters, and {cell.model.title()} blends what is guessed"
        return super().incompatibility(cell)

    def adapt(self, model, access):
        w = self.mu / (1 + self.mu)
        return model.with_after(Extrapolate(access, w, access.n, self.tune, self.pupils))


@hookimpl
def collapse_mitigations():
    return {"autophagy-penalty": AutophagyPenalty}
