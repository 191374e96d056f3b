"""Choose the parameters whose own samples lead a refit to what the data say."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.wrapping import Extrapolate
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class AutophagyPenalty(Mitigation):
    """Loss + mu |theta_hat - R(theta)|^2, where R(theta) is the mean refit to samples of theta: the
    statistics of the model's own output should be those of the data (Mayer et al., arXiv
    2405.13977).

    Stage: adapt; track: blind, ``pupils`` more fits per generation.  Near theta_hat a refit differs
    from its source by a bias only, R(theta) = theta - b with b = theta_hat - R(theta_hat), and for
    the loss |theta - theta_hat|^2 the minimiser is theta_hat + mu / (1 + mu) b (derived here;
    no published form found).  So a maximum-likelihood variance is multiplied by 1 + mu / (1 + mu) /
    n, which is unbiased to first order as mu grows.  R is an average over ``pupils`` refits.
    """

    mu: float = param(1.0, "weight of the penalty relative to a mean loss; 0: none", ge=0)
    pupils: int = param(4, "refits that are averaged", ge=1, le=1000)
    tune: float = param(
        0.1,
        "length of a refit, as a share of a full training, for models trained step by step",
        gt=0,
        le=1,
    )

    tiny = {"pupils": 2}

    def incompatibility(self, cell):
        if cell.model.predicts_noise:
            return Lacks(
                f"autophagy-penalty moves parameters, and {cell.model.title()} blends predicted "
                "noise"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        w = self.mu / (1 + self.mu)
        return model.with_after(Extrapolate(access, w, access.n, self.tune, self.pupils))


@hookimpl
def collapse_mitigations():
    return {"autophagy-penalty": AutophagyPenalty}
