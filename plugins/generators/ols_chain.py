"""A flawed model of linear data: the last of successive least-squares fits."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.lib.linear.regression import LinearSource, solve
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class OLSChain(LinearSource):
    """The source of Dohmatob et al. (arXiv 2402.07712): ``links`` successive least-squares fits.

    A first teacher of ``linear``.  Round i labels fresh questions with the weights of round i - 1
    plus noise; the first round uses the true weights.  Its excess risk is links noise^2 d/(rows - d
    - 1).  The rows that it generates have the questions and the noise of the data.
    """

    rows: int = param(1000, "rows of each fit; more than d + 1", ge=3)
    links: int = param(1, "successive least-squares fits; 0: true labels", ge=0, le=1000)
    noise: float | None = param(
        None, "standard deviation of the label noise in these fits; None: that of the data", ge=0
    )

    distribution = "ols-chain"

    def sample_truth(self, rng, nature=None):
        real = self.real_truth(nature, rng)
        d, noise = real.w.shape[-1], real.noise if self.noise is None else self.noise
        if self.rows <= d:
            raise Incompatible(
                f"ols-chain fits {d} weights by least squares; rows must be more than {d}, "
                f"got {self.rows}"
            )
        w = real.w
        for i in range(self.links):
            before = self.with_truth(w=w, spectrum=real.spectrum, noise=noise, questions=None)
            w = solve(before.summary(before, self.rows, rng.at("fit", i)).products())
        return self.with_truth(
            w=w, spectrum=real.spectrum, noise=real.noise, questions=real.questions
        )


@hookimpl
def collapse_generators():
    return {"ols-chain": OLSChain}
