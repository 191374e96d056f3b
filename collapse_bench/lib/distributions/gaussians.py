"""A teacher that is a Gaussian, kept as mean and factor: a covariance underflows long before its factor does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...core.sums import Moments, gram
from ...errors import Incompatible
from .decoding import truncates


@dataclass(frozen=True, eq=False)
class GaussianTeacher(Teacher):
    """mean (R, d), factor (R, d, d) with factor factor^T the covariance; both float64.

    ``temperature`` widens the covariance: the density to the power 1 / temperature is again Gaussian.
    """

    mean: Tensor
    factor: Tensor
    temperature: float = 1.0

    @property
    def _read_factor(self) -> Tensor:
        return self.factor if self.temperature == 1 else self.factor * math.sqrt(self.temperature)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Rows mean + factor z, (R, n, d) float64; only the standardised z is drawn in float32."""
        n, d = x.shape[len(rng.chain_shape)], self.mean.shape[-1]
        z = rng.normal(n, d)
        if d == 1:
            return torch.addcmul(self.mean[..., None, :], z, self._read_factor)
        columns = (
            self._read_factor @ z.double().mT
        )  # (R, d, n): in this order torch multiplies twice as fast
        return columns.add_(self.mean[..., None]).mT

    def sample_sufficient(self, n: int, rng: Stream) -> Corpus:
        """n rows as their mean and scatter: mean + factor z / sqrt n, and a Wishart scatter by Bartlett's factor."""
        d, factor = self.mean.shape[-1], self._read_factor
        times = torch.mul if d == 1 else torch.matmul  # a product of numbers needs no call of BLAS
        weight = torch.full(rng.chain_shape, float(n), dtype=torch.float64, device=self.mean.device)
        gap = rng.at("mean").normal(d).double()
        root = times(factor, wishart_factor(d, n - 1, rng.at("scatter")))
        mean = torch.add(self.mean, times(factor, gap[..., None])[..., 0], alpha=n**-0.5)
        return Corpus.of_sums(Moments(weight, mean, root * root if d == 1 else gram(root.mT), root))

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of each row, nats, (R, n, 1); -inf where the model has lost a dimension and gives no density."""
        d, factor = self.mean.shape[-1], self._read_factor
        z, info = torch.linalg.solve_ex(factor, (y - self.mean[..., None, :]).mT)
        log_det = torch.linalg.slogdet(factor).logabsdet[..., None]
        logp = -0.5 * (z**2).sum(-2) - log_det - 0.5 * d * math.log(2 * math.pi)
        return torch.where(info[..., None] == 0, logp, -torch.inf)[..., None]

    def mean_answer(self, x: Tensor) -> Tensor:
        return self.mean[..., None, :].expand(*x.shape[:-1], self.mean.shape[-1])

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        return self.mean, self._read_factor

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        if truncates(top_p, top_k, min_p, processor):
            raise self._lacks(
                "decoded",
                "be truncated: of the decoder's settings a Gaussian knows temperature alone",
            )
        return self if temperature is None else replace(self, temperature=temperature)

    def blend(self, other: GaussianTeacher, w: float) -> GaussianTeacher:
        """Mean and covariance averaged; outside of [0, 1], where the covariance would be negative along an axis, it is 0.

        With factors A, B and [A B] = R^T [P Q] of orthonormal rows, it is R^T ((1 - w) P P^T + w Q Q^T) R, which is never
        formed: only the matrix within is, whose eigenvalues are of order one however thin the Gaussians are.
        """
        d = self.mean.shape[-1]
        Q, R = torch.linalg.qr(torch.cat([self.factor.mT, other.factor.mT], -2))
        mine, theirs = Q[..., :d, :], Q[..., d:, :]
        values, vectors = torch.linalg.eigh((1 - w) * gram(mine) + w * gram(theirs))
        factor = R.mT @ (vectors * values.clamp_min(0).sqrt()[..., None, :])
        return replace(self, mean=torch.lerp(self.mean, other.mean, w), factor=factor)


def fitted(corpus: Corpus, ddof: int = 0) -> GaussianTeacher:
    """Mean and covariance of the rows, the sum of weights counting as the sample size; divided by (size - ddof)."""
    answers_alone(corpus)
    sums = corpus.moments()
    size = (sums.weight - ddof).clamp_min(1e-300)[..., None, None]
    if sums.factor is not None:
        root = sums.factor
    else:
        root = sums.scatter.sqrt() if sums.mean.shape[-1] == 1 else _factor(sums, corpus)
    # one row alone shows no spread, whatever is divided by
    return GaussianTeacher(
        sums.mean, torch.where(sums.weight[..., None, None] > ddof, root / size.sqrt(), 0.0)
    )


def answers_alone(corpus: Corpus) -> None:
    """Refuse rows that answer a question: what is fitted here is one law of answers."""
    if corpus.width:
        raise Incompatible(
            f"one density is fitted to all answers, and each of these answers a question of {corpus.width} numbers"
        )


def _factor(sums: Moments, corpus: Corpus) -> Tensor:
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
    weight, rows = (
        corpus.multiplicity[thin],
        corpus.y.reshape(*corpus.chain_shape, corpus.n, -1)[thin].double(),
    )
    out = factor.clone()
    out[thin] = root_of(weight.sqrt()[..., None] * (rows - sums.mean[thin][..., None, :]))
    return out


def root_of(rows: Tensor) -> Tensor:
    """A lower factor (R, d, d) of rows^T rows, for rows (R, m, d), without forming that product."""
    d = rows.shape[-1]
    if d == 1:
        return torch.linalg.vector_norm(rows, dim=-2, keepdim=True)
    short = d - rows.shape[-2]
    if short > 0:
        rows = torch.cat([rows, rows.new_zeros(*rows.shape[:-2], short, d)], -2)
    return torch.linalg.qr(rows, mode="r").R.mT


def wishart_factor(d: int, df: int, rng: Stream) -> Tensor:
    """Bartlett's lower triangular A with A A^T ~ Wishart(I, df), (R, d, d) float64; of rank df where df < d."""
    rows = max(0, min(d, df))
    scale = (
        rng.at("diagonal").chi2([df - j for j in range(rows)]).sqrt()
        if rows
        else torch.zeros(*rng.chain_shape, 0)
    )
    if d == 1:
        return (
            scale[..., None]
            if rows
            else torch.zeros(*rng.chain_shape, 1, 1, dtype=torch.float64, device=rng.device)
        )
    factor = rng.at("below").normal(d, d).double().tril_(-1)
    factor[..., rows:] = 0
    factor.diagonal(dim1=-2, dim2=-1)[..., :rows] = scale
    return factor
