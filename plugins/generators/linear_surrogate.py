"""A flawed model of linear data with a given excess risk, for use as the first teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.linear.regression import LinearSource, power_spectrum
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LinearSurrogate(LinearSource):
    """Weights w2 = w1 + delta, delta ~ N(0, (c2/d) S1^-1), so c2 = E (x.w2 - x.w1)^2 over real x.

    The source of synthetic rows of Dohmatob et al. (arXiv 2410.04840): a first teacher of
    ``linear``, as in ``linear(d=100) | ridge | mix(real=0.9) @ n=400 T=0
    first=linear-surrogate(c2=0.5)``.  Its rows can have their own covariates N(0, diag(j^-beta))
    and label noise; by default both are those of the data.  Losses are those of the data.
    """

    c2: float = param(1.0, "excess risk of the source itself, in units of y^2", ge=0)
    beta: float | None = param(
        None, "exponent of the spectrum of its questions; None: that of the data", ge=0, le=8
    )
    noise: float | None = param(
        None, "standard deviation of its label noise; None: that of the data", ge=0
    )

    own_rows = True
    distribution = "linear-surrogate"

    def sample_truth(self, rng, nature=None):
        real = self.real_truth(nature, rng)
        d = real.w.shape[-1]
        delta = (self.c2 / d / real.spectrum).sqrt() * rng.at("delta").normal(d).double()
        spectrum = real.spectrum if self.beta is None else power_spectrum(d, self.beta, rng.device)
        noise = real.noise if self.noise is None else self.noise
        return self.with_truth(
            w=real.w + delta, spectrum=spectrum, noise=noise, questions=real.questions
        )


@hookimpl
def collapse_generators():
    return {"linear-surrogate": LinearSurrogate}
