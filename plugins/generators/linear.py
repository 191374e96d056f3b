"""Linear regression with a power-law spectrum: labels recur, questions are fresh or reused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.corpus import Corpus, Products, gram
from collapse_bench.errors import Unfit
from collapse_bench.gaussians import wishart_factor
from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import DataGenerator, param


@dataclass(frozen=True)
class Linear(DataGenerator):
    """y = x.w + noise z, with x ~ N(0, diag(j^-beta)), j = 1..d.  x (R, n, d), y (R, n).

    The noise is the world's: it is added to whatever a teacher answers.  Per seed w_j ~ N(0, g_j) with g_j
    proportional to j^-source, scaled so that the expected signal E (x.w)^2 is ``signal``; ``truth_is=fixed`` takes
    w_j = sqrt(g_j).

    Loss ``excess_risk``: E (x.w_hat - x.w)^2 over the true law of x, without label noise, in units of y^2.  Exact for
    a linear teacher; for any other over 2048 questions that stay the same.  A label is verified right where
    |y - x.w| <= 2 noise.
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

    kind = "regression"
    family = "regression"
    primary = "excess_risk"
    linear = True

    def drawn(self, rng, nature=None):
        j = torch.arange(1, self.d + 1, dtype=torch.float64, device=rng.device)
        spectrum = j**-self.beta
        prior = j**-self.source
        size = (prior * (self.signal / (spectrum * prior).sum())).sqrt()
        z = rng.at("w").normal(self.d).double() if self.truth_is == "drawn" else torch.ones(*rng.batch, self.d).double()
        return self.holding(w=z.to(rng.device) * size, spectrum=spectrum, questions=rng.at("questions"))

    def ask(self, n, rng):
        stream = rng if self.fresh else self.truth.questions.at("fixed")
        x = stream.normal(n, self.d).double()
        return x.mul_(self.truth.spectrum.sqrt()) if self.beta else x

    def summary(self, teacher, n, rng):
        """Sums over n rows labelled by a linear teacher, without the rows: X^T X is Wishart, and given it X^T noise is
        normal with that covariance; what is left of the noise's square is chi-squared with n - d degrees of freedom."""
        if not (teacher.linear and self.fresh and n > self.d):
            raise Unfit(
                "sampler=exact-law of linear needs a linear teacher, fresh=true and n > d; use sampler=explicit"
            )
        root = self.truth.spectrum.sqrt()[:, None] * wishart_factor(self.d, n, rng.at("x"))  # X^T X = root root^T
        z = self.noise * rng.at("noise").normal(self.d).double()
        rest = self.noise**2 * rng.at("rest").chi2(n - self.d)
        w = self._weights(teacher)
        along = (root.mT @ w[..., None])[..., 0]
        answers = along + z  # the part of y in the column space of X
        weight = torch.full(rng.batch, float(n), dtype=torch.float64, device=w.device)
        xy = (root @ answers[..., None])[..., 0]
        return Corpus.of_sums(Products(weight, gram(root.mT), xy, answers.pow(2).sum(-1) + rest))

    def expect(self, x):
        return (x.double() @ self.truth.w[..., None])[..., 0]

    def answer(self, x, rng):
        return self.expect(x)

    def observe(self, y, rng):
        return y + self.noise * rng.normal(y.shape[-1])

    def verify(self, x, y):
        return (y - self.expect(x)).abs() <= 2 * self.noise

    def judge(self, teacher, rng):
        if teacher.linear:
            gap = self._weights(teacher) - self.truth.w
            return {"excess_risk": (self.truth.spectrum * gap**2).sum(-1)}
        x = rng.normal(2048, self.d).double() * self.truth.spectrum.sqrt()
        return {"excess_risk": (teacher.expect(x) - self.expect(x)).pow(2).mean(-1)}

    def describe(self, teacher):
        if not teacher.linear:
            return {}
        return {"signal_variance": (self.truth.spectrum * self._weights(teacher) ** 2).sum(-1)}

    def _weights(self, teacher):
        """The weights of a linear teacher, (R, d): its answers at the unit vectors."""
        w = self.truth.w
        basis = torch.eye(self.d, dtype=torch.float64, device=w.device).expand(*w.shape[:-1], self.d, self.d)
        return teacher.expect(basis)


@hookimpl
def collapse_generators():
    return {"linear": Linear}
