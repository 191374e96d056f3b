"""A Gaussian fitted by its sample mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Model
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.lib.distributions.gaussians import GaussianTeacher, answers_only, fitted
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class GaussianFit(Model):
    """Mean and covariance of the rows; the sum of weights is the sample size.

    The covariance divides by (size - ddof): ddof=1 is unbiased (Bessel), ddof=0 is maximum
    likelihood.  Where ``sigma`` is given, only the mean is learnt, and the covariance is always
    sigma^2 I.
    """

    ddof: int = param(1, "subtracted from the sample size", ge=0, le=1)
    sigma: float | None = param(
        None, "known standard deviation, the same along every axis; null: fitted", gt=0
    )

    kinds = ("density",)
    vectorized = True
    version = 2
    estimator = "gaussian-fit"
    reads_sums = True

    def fit(self, corpus: Corpus, rng, before=None) -> GaussianTeacher:
        if self.sigma is None:
            return fitted(corpus, self.ddof)
        answers_only(corpus)
        mean = corpus.moments().mean
        axes = torch.eye(mean.shape[-1], dtype=torch.float64, device=mean.device)
        return GaussianTeacher(mean, self.sigma * axes.expand(*mean.shape, -1))


@hookimpl
def collapse_models():
    return {"gaussian-fit": GaussianFit}
