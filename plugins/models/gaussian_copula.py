"""Tables by a Gaussian copula within each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.lib.distributions.gaussians import answers_only, root_of
from collapse_bench.lib.distributions.mixtures import drawn_by
from collapse_bench.lib.tabular.quantiles import NARROWEST, Quantiles, quantiles_of
from collapse_bench.lib.tabular.readers import nearest_class
from collapse_bench.registry.hookspecs import hookimpl

ORDERS = 20  # of the correlation in a covariance


@dataclass(frozen=True)
class GaussianCopula(Model):
    """A Gaussian copula over marginals that are tables of quantiles; one for each class of rows.

    Where the data name a number of classes, the last column is the class.  Classes have the shares
    of the rows, and each class has its own marginals and its own copula, so that the class is never
    a number among numbers.  Elsewhere there is one copula over all columns.

    A marginal has ``cells`` cells of equal mass: inner ones of constant density between quantiles,
    the two outer ones exponential tails with the mean excess of the rows, or half the mean width of
    an inner cell where that is more.  So the density is positive everywhere.  An inner cell is at
    least 1/1000 of the column's standard deviation wide, which bounds the density of values that
    repeat.  The copula has the correlation of the normal scores of the rows, shrunk by ``shrink``
    towards independence, which keeps it regular where a class has fewer rows than columns.

    A class that the rows lack is never written again and has density 0.
    """

    cells: int = param(8, "cells of a marginal, of equal mass", ge=3, le=256)
    shrink: float = param(0.001, "share of the identity in the correlation", gt=0, le=1)

    kinds = ("density",)
    vectorized = True
    estimator = "gaussian-copula"

    def fit(self, corpus: Corpus, rng, before=None) -> CopulaTeacher:
        answers_only(corpus)
        x, mass = corpus.y.double(), corpus.multiplicity
        label, classes = torch.zeros_like(mass, dtype=torch.int64), corpus.labels or 1
        if corpus.labels is not None:
            x, label = x[..., :-1], nearest_class(x[..., -1], classes)
        own = torch.nn.functional.one_hot(label, classes).double()
        weight = (own * mass[..., None]).mT.contiguous()  # (R, C, n)
        columns = x.mT.contiguous()
        marginals = quantiles_of(columns, weight, self.cells, _narrowest(columns, mass))
        z, _ = marginals.scored(columns, label)
        share = weight.sum(-1)
        return CopulaTeacher(
            share / share.sum(-1, keepdim=True),
            marginals,
            torch.linalg.cholesky(self._correlation(z, weight)),
            corpus.labels is not None,
        )

    def _correlation(self, z: Tensor, weight: Tensor) -> Tensor:
        """Of scores z (R, d, n), weighted by (R, C, n), shrunk; (R, C, d, d)."""
        share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-300)
        about = z[..., None, :, :] - (share @ z.mT)[..., None]  # (R, C, d, n)
        about = about * share.sqrt()[..., None, :]
        covariance = about @ about.mT
        # A column without spread has correlation 0 with all others.
        scale = covariance.diagonal(dim1=-2, dim2=-1).sqrt().clamp_min(1e-9)
        out = covariance / (scale[..., None, :] * scale[..., None]) * (1 - self.shrink)
        out.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return out


def _narrowest(columns: Tensor, mass: Tensor) -> Tensor:
    """The least width of a cell of each column (R, d, n), (R, d)."""
    share = (mass / mass.sum(-1, keepdim=True))[..., None, :]
    mean = (share * columns).sum(-1)
    sd = (share * (columns - mean[..., None]).square()).sum(-1).sqrt()
    return NARROWEST * torch.maximum(sd, 1e-9 * mean.abs().clamp_min(1.0))


@dataclass(frozen=True, eq=False)
class CopulaTeacher(Teacher):
    """share (R, C) of the classes, their marginals, and their copulas' factors (R, C, d, d).

    ``labelled``: whether an answer ends with its class.
    """

    share: Tensor
    marginals: Quantiles
    factor: Tensor
    labelled: bool

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Rows (R, n, d), with the class as column d + 1 where it is labelled."""
        n, d = x.shape[len(rng.chain_shape)], self.factor.shape[-1]
        z = rng.at("z").normal(n, d).double().mT  # (R, d, n)
        label = drawn_by(self.share, rng.at("class").uniform(n))
        rows = self.marginals.values(self._by_class(label, lambda factor: factor @ z), label).mT
        return torch.cat([rows, label[..., None].double()], -1) if self.labelled else rows

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log of the density of the columns times the probability of the class, nats, (R, n, 1)."""
        y, d = y.double(), self.factor.shape[-1]
        label = torch.zeros(y.shape[:-1], dtype=torch.int64, device=y.device)
        if self.labelled:
            label = nearest_class(y[..., -1], self.share.shape[-1])
        z, logp = self.marginals.scored(y[..., :d].mT.contiguous(), label)
        white = self._by_class(
            label, lambda factor: torch.linalg.solve_triangular(factor, z, upper=False)
        )
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (R, C)
        copula = (z.square() - white.square()).sum(-2) / 2
        constant = (self.share.log() - log_det).gather(-1, label)
        return (logp.sum(-2) + copula + constant)[..., None]

    def _by_class(self, label: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
        """``of(factor (R, d, d))`` (R, d, n), each row with the factor of its class (R, n)."""
        out = of(self.factor[..., 0, :, :])
        for c in range(1, self.share.shape[-1]):
            here = label[..., None, :] == c
            out = torch.where(here, of(self.factor[..., c, :, :]), out)
        return out

    def mean_answer(self, x: Tensor) -> Tensor:
        mean = (self.share[..., None] * self._means()).sum(-2)
        return mean[..., None, :].expand(*x.shape[:-1], mean.shape[-1])

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance factor, the class as a number included where rows are labelled.

        Covariances within a class are a sum of powers of the copula's correlation, of which
        ``ORDERS`` are taken; variances are exact.
        """
        means = self._means()
        mean = (self.share[..., None] * means).sum(-2)
        r = self.factor @ self.factor.mT
        parts = self.marginals.hermite(ORDERS).movedim(-2, -3)  # (R, C, d, m)
        correlation, power = torch.zeros_like(r), torch.ones_like(r)
        for a in parts.unbind(-1):
            power = power * r
            correlation = correlation + a[..., :, None] * a[..., None, :] * power
        correlation.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        within = self.marginals.variance().mT.sqrt()[..., None] * torch.linalg.cholesky(correlation)
        if self.labelled:
            within = torch.nn.functional.pad(within, (0, 0, 0, 1))
        weight = self.share.sqrt()[..., None]
        rows = (weight[..., None] * within.mT).flatten(-3, -2)
        return mean, root_of(torch.cat([weight * (means - mean[..., None, :]), rows], -2))

    def _means(self) -> Tensor:
        """The mean of each class, (R, C, d), with the class as column d + 1 where labelled."""
        means = self.marginals.mean().mT
        if not self.labelled:
            return means
        classes = torch.arange(means.shape[-2], dtype=means.dtype, device=means.device)
        return torch.cat([means, classes.expand(means.shape[:-1])[..., None]], -1)


@hookimpl
def collapse_models():
    return {"gaussian-copula": GaussianCopula}
