"""A flawed model of a linear world: the last of a chain of least-squares fits, each to labels of the one before."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.lib.linear.regression import LinearSource, solve
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class OLSChain(LinearSource):
    """The fake-data generator of Dohmatob et al. (arXiv 2402.07712): ``links`` rounds of least squares on ``rows`` rows.

    A first teacher of ``linear``: round i labels fresh questions of nature with the weights of round i - 1 plus noise,
    the first with nature's; its own excess risk is links noise^2 d/(rows - d - 1).  Questions and noise of the rows
    that it writes are nature's.
    """

    rows: int = param(1000, "rows of each fit; more than d + 1", ge=3)
    links: int = param(1, "least-squares fits of the chain; 0: nature's own labels", ge=0, le=1000)
    noise: float | None = param(
        None, "standard deviation of the label noise within the chain; None: nature's", ge=0
    )

    distribution = "ols-chain"

    def sample_truth(self, rng, nature=None):
        real = self.beside(nature, rng)
        d, noise = real.w.shape[-1], real.noise if self.noise is None else self.noise
        if self.rows <= d:
            raise Incompatible(
                f"ols-chain fits {d} weights by least squares; rows must be more than {d}, got {self.rows}"
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
