"""A flawed model of a linear world: labels of real quality up to a set error, on questions and with noise of its own."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.linear.regression import LinearSource, power_spectrum
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LinearSurrogate(LinearSource):
    """w2 = w1 + delta beside nature's w1, delta ~ N(0, (c2/d) S1^-1), so that c2 = E (x.w2 - x.w1)^2 over real x.

    The synthetic rows of Dohmatob et al. (arXiv 2410.04840): a first teacher of ``linear``, as in
    ``linear(d=100) | ridge | mix(real=0.9) @ n=400 T=0 first=linear-surrogate(c2=0.5)``.  Its rows have covariates
    N(0, diag(j^-beta)) and label noise of its own, by default nature's; the exam is nature's.
    """

    c2: float = param(1.0, "excess risk of the source itself, in units of y^2", ge=0)
    beta: float | None = param(
        None, "exponent of the spectrum of its questions; None: nature's", ge=0, le=8
    )
    noise: float | None = param(None, "standard deviation of its label noise; None: nature's", ge=0)

    own_rows = True
    distribution = "linear-surrogate"

    def sample_truth(self, rng, nature=None):
        real = self.beside(nature, rng)
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
