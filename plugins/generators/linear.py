"""Linear regression with a power-law spectrum: labels recur, questions are fresh or reused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import param
from collapse_bench.regression import LinearWorld, power_spectrum


@dataclass(frozen=True)
class Linear(LinearWorld):
    """y = x.w + noise z, with x ~ N(0, diag(j^-beta)), j = 1..d.  x (R, n, d), y (R, n).

    The noise is the world's: it is added to whatever a teacher answers.  Per seed w_j ~ N(0, g_j) with g_j
    proportional to j^-source, scaled so that the expected signal E (x.w)^2 is ``signal``; ``truth_is=fixed`` takes
    w_j = sqrt(g_j).  Judged by the excess risk; see LinearWorld.
    """

    d: int = param(10, "number of covariates", ge=1, le=100000)
    noise: float = param(1.0, "standard deviation of the label noise", ge=0)
    beta: float = param(0.0, "exponent of the spectrum: covariate j has variance j^-beta", ge=0, le=8)
    source: float = param(0.0, "exponent of the signal: w_j has variance proportional to j^-source", ge=0, le=16)
    signal: float = param(1.0, "expected signal variance E (x.w)^2", ge=0)
    fresh: bool = param(True, "new questions in every generation; false: the same ones for ever")
    truth_is: Literal["drawn", "fixed"] = param("drawn", "w per seed, or w_j = sqrt(g_j)")
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "draw rows, or their sums of products by the exact law"
    )

    def drawn(self, rng, nature=None):
        spectrum, prior = (power_spectrum(self.d, exponent, rng.device) for exponent in (self.beta, self.source))
        size = (prior * (self.signal / (spectrum * prior).sum())).sqrt()
        z = rng.at("w").normal(self.d).double() if self.truth_is == "drawn" else torch.ones(*rng.batch, self.d).double()
        questions = None if self.fresh else rng.at("questions")
        return self.holding(w=z.to(rng.device) * size, spectrum=spectrum, noise=self.noise, questions=questions)


@hookimpl
def collapse_generators():
    return {"linear": Linear}
