"""Learn from oneself, and then go the other way."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Extrapolate
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Neon(Mitigation):
    """theta <- (1 + w) theta_r - w theta_s, theta_s a tune of theta_r on its own samples (Alemohammad et al., arXiv 2510.03597).

    Moment: adapt; track: blind, one more fit a generation.  Where the world reads teachers out with a bias (the
    protocol's ``decode``), so it does the samples: a sampler that shrinks a covariance to lambda of it then leaves (1 +
    w (1 - lambda)) Sigma, and one without a bias nothing but the noise of the tune.  What is solved for is fitted anew;
    a network goes on from its weights, where its teachers can be blended.
    """

    w: float = param(0.5, "how far it goes away from itself; 0: not at all", ge=0, le=10)
    share: float = param(1.0, "own samples, as a multiple of n", gt=0, le=100)
    tune: float = param(
        0.1,
        "length of the tune, as a share of a training, for models trained step by step",
        gt=0,
        le=1,
    )

    def incompatibility(self, cell):
        if cell.model.predicts_noise:
            return f"neon blends weights, and {cell.model.title()} blends what is guessed: that is negative-guidance"
        return super().incompatibility(cell)

    def adapt(self, model, access):
        rows = max(1, round(self.share * access.n))
        return model.with_after(Extrapolate(access, self.w, rows, self.tune))


@hookimpl
def collapse_mitigations():
    return {"neon": Neon}
