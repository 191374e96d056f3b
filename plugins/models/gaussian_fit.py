"""A Gaussian fitted by its sample mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.corpus import Corpus, Moments
from collapse_bench.gaussians import GaussianTeacher
from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Model, param


@dataclass(frozen=True)
class GaussianFit(Model):
    """Mean and covariance of the rows; the sum of weights counts as the sample size.

    The covariance divides by (size - ddof): ddof=1 is unbiased (Bessel), ddof=0 is maximum likelihood.
    """

    ddof: int = param(1, "subtracted from the sample size", ge=0, le=1)

    kinds = ("density",)
    replicates = "native"
    reads_sums = True

    def fit(self, corpus: Corpus, rng, before=None) -> GaussianTeacher:
        sums = corpus.moments()
        size = (sums.weight - self.ddof).clamp_min(1e-300)[..., None, None]
        if sums.mean.shape[-1] == 1:
            root = sums.scatter.sqrt() if sums.factor is None else sums.factor
        else:
            root = _factor(sums, corpus) if sums.factor is None else sums.factor
        # one row alone shows no spread, whatever is divided by
        return GaussianTeacher(
            sums.mean, torch.where(sums.weight[..., None, None] > self.ddof, root / size.sqrt(), 0.0)
        )


def _factor(sums: Moments, corpus: Corpus) -> torch.Tensor:
    """A lower factor of the scatter (R, p, p).  Where it is nearly singular, from the rows themselves by QR.

    Cholesky squares the condition: after some generations the thin directions would be rounding noise.
    """
    factor, info = torch.linalg.cholesky_ex(sums.scatter)
    diagonal = factor.diagonal(dim1=-2, dim2=-1).abs()
    thin = (info > 0) | (diagonal.amin(-1) < 1e-4 * diagonal.amax(-1))
    if not thin.any():
        return factor
    if not corpus.has_rows:
        values, vectors = torch.linalg.eigh(sums.scatter)
        by_eigen = vectors * values.clamp_min(0).sqrt()[..., None, :]
        return torch.where(thin[..., None, None], by_eigen, factor)
    weight, rows = corpus.multiplicity[thin], corpus.y.reshape(*corpus.batch, corpus.n, -1)[thin].double()
    centred = weight.sqrt()[..., None] * (rows - sums.mean[thin][..., None, :])
    short = centred.shape[-1] - centred.shape[-2]
    if short > 0:
        centred = torch.cat([centred, centred.new_zeros(*centred.shape[:-2], short, centred.shape[-1])], -2)
    upper = torch.linalg.qr(centred, mode="r").R
    out = factor.clone()
    out[thin] = upper.mT
    return out


@hookimpl
def collapse_models():
    return {"gaussian-fit": GaussianFit}
