"""A Gaussian teacher, stored as mean and factor.

A collapsing covariance underflows long before its factor does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...core.sums import Moments, gram
from ...errors import Unsupported
from .decoding import truncates


@dataclass(frozen=True, eq=False)
class GaussianTeacher(Teacher):
    """mean (R, d) and factor (R, d, d), where factor factor^T is the covariance; both float64.

    A draw is mean + factor z, so the factor decides which row a z becomes.  Fits and blends
    therefore use the one factor that depends on the covariance only, see ``root_of``.

    ``temperature`` scales the covariance: the density to the power 1 / temperature is Gaussian too.
    """

    mean: Tensor
    factor: Tensor
    temperature: float = 1.0

    @property
    def _read_factor(self) -> Tensor:
        return self.factor if self.temperature == 1 else self.factor * math.sqrt(self.temperature)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Rows mean + factor z, (R, n, d) float64.

        Only the standardised z is drawn in float32.  Rounding it costs a relative error of 1e-7,
        while float32 rows would lose a thin direction about a large mean.
        """
        n, d = x.shape[len(rng.chain_shape)], self.mean.shape[-1]
        z = rng.normal(n, d)
        if d == 1:
            return torch.addcmul(self.mean[..., None, :], z, self._read_factor)
        # (R, d, n): torch multiplies twice as fast in this order.
        columns = self._read_factor @ z.double().mT
        return columns.add_(self.mean[..., None]).mT

    def sample_sufficient(self, n: int, rng: Stream) -> Corpus:
        """n rows as their mean and scatter, drawn from their exact distributions.

        The mean is mean + factor z / sqrt n; the scatter is Wishart, drawn by Bartlett's factor.
        """
        d, factor = self.mean.shape[-1], self._read_factor
        times = torch.mul if d == 1 else torch.matmul  # avoids a BLAS call for scalars
        weight = torch.full(rng.chain_shape, float(n), dtype=torch.float64, device=self.mean.device)
        gap = rng.at("mean").normal(d).double()
        root = times(factor, wishart_factor(d, n - 1, rng.at("scatter")))
        mean = torch.add(self.mean, times(factor, gap[..., None])[..., 0], alpha=n**-0.5)
        return Corpus.of_sums(Moments(weight, mean, root * root if d == 1 else gram(root.mT), root))

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of each row in nats, (R, n, 1); -inf where the covariance is singular."""
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
                "be truncated: a Gaussian supports temperature only",
            )
        return self if temperature is None else replace(self, temperature=temperature)

    def blend(self, other: GaussianTeacher, w: float) -> GaussianTeacher:
        """(1 - w) of this Gaussian and w of the other, in mean and covariance.

        For w outside [0, 1] the covariance can become negative along an axis; it is then 0 there.

        With factors A and B and the QR decomposition [A B] = R^T [P Q], where [P Q] has orthonormal
        rows, the covariance is R^T ((1 - w) P P^T + w Q Q^T) R.  Only the inner matrix is formed.
        Its eigenvalues are of order one however small the Gaussians are, so nothing underflows.
        Its eigenvectors have arbitrary signs, and an arbitrary basis where eigenvalues are equal;
        the result depends on neither.
        """
        d = self.mean.shape[-1]
        Q, R = torch.linalg.qr(torch.cat([self.factor.mT, other.factor.mT], -2))
        mine, theirs = Q[..., :d, :], Q[..., d:, :]
        values, vectors = torch.linalg.eigh((1 - w) * gram(mine) + w * gram(theirs))
        rows = (vectors * values.clamp_min(0).sqrt()[..., None, :]).mT @ R
        return replace(self, mean=torch.lerp(self.mean, other.mean, w), factor=root_of(rows))


def fitted(corpus: Corpus, ddof: int = 0) -> GaussianTeacher:
    """Mean and covariance of the rows.  The sum of weights is the sample size; ddof is subtracted.

    Raises Incompatible if the rows answer questions.
    """
    answers_only(corpus)
    sums = corpus.moments()
    size = (sums.weight - ddof).clamp_min(1e-300)[..., None, None]
    if sums.factor is not None:
        root = sums.factor
    else:
        root = sums.scatter.sqrt() if sums.mean.shape[-1] == 1 else _factor(sums, corpus)
    # A single row has no spread, so the factor is 0 there instead of 0/0.
    return GaussianTeacher(
        sums.mean, torch.where(sums.weight[..., None, None] > ddof, root / size.sqrt(), 0.0)
    )


def answers_only(corpus: Corpus) -> None:
    """Raise Incompatible for rows that answer questions: one density is fitted to all answers."""
    if corpus.width:
        raise Unsupported(
            "one density is fitted to all answers, but each of these answers a question of "
            f"{corpus.width} numbers"
        )


def _factor(sums: Moments, corpus: Corpus) -> Tensor:
    """A lower factor of the scatter, (R, p, p); by QR of the rows where it is nearly singular.

    The scatter has the squared condition number of the rows, so its Cholesky factor is rounding
    noise in directions that have become thin after some generations.
    """
    factor, info = torch.linalg.cholesky_ex(sums.scatter)
    diagonal = factor.diagonal(dim1=-2, dim2=-1).abs()
    thin = (info > 0) | (diagonal.amin(-1) < 1e-4 * diagonal.amax(-1))
    if not thin.any():
        return factor
    if not corpus.has_rows:
        values, vectors = torch.linalg.eigh(sums.scatter)
        # what is left of an eigenvalue 0 after rounding is no direction of the rows
        noise = values.shape[-1] * torch.finfo(values.dtype).eps * values[..., -1:]
        values = torch.where(values > noise, values, 0.0)
        by_eigen = root_of((vectors * values.sqrt()[..., None, :]).mT)
        return torch.where(thin[..., None, None], by_eigen, factor)
    weight, rows = (
        corpus.multiplicity[thin],
        corpus.y.reshape(*corpus.chain_shape, corpus.n, -1)[thin].double(),
    )
    out = factor.clone()
    out[thin] = root_of(weight.sqrt()[..., None] * (rows - sums.mean[thin][..., None, :]))
    return out


def root_of(rows: Tensor) -> Tensor:
    """The lower factor (R, d, d) of rows^T rows with a diagonal >= 0, for rows (R, m, d).

    This is Cholesky's factor, a function of the product only: unlike eigenvectors or the factor
    that QR returns, it has no sign or basis for rounding or a library to choose.  By QR, since
    forming the product would square the condition number.

    A singular product has many factors with a diagonal >= 0.  This one has a column of zeros
    wherever the diagonal is 0 to rounding, which again leaves no choice.
    """
    d = rows.shape[-1]
    if d == 1:
        return torch.linalg.vector_norm(rows, dim=-2, keepdim=True)
    short = d - rows.shape[-2]
    if short > 0:
        rows = torch.cat([rows, rows.new_zeros(*rows.shape[:-2], short, d)], -2)
    R = torch.linalg.qr(rows, mode="r").R
    noise = _NOISE * d * torch.finfo(R.dtype).eps  # as a part of a column
    scale = R.abs().amax(-2, keepdim=True)
    left = ~(R.abs() <= noise * scale)  # also NaN is left, which a column has from bad rows
    R = torch.where(left.any(-1, keepdim=True), R, 0.0)
    singular = (left.any(-1) & ~left.diagonal(dim1=-2, dim2=-1)).any(-1)
    if singular.any():
        scale = torch.where(scale > 0, scale, 1.0)[singular]
        R[singular] = _echelon(R[singular] / scale, noise) * scale
    return R.mT * torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)[..., None, :]


_NOISE = 16  # QR leaves less than 16 d eps of a column that depends on those before it


def _echelon(R: Tensor, noise: float) -> Tensor:
    """An upper factor (B, d, d) of R^T R by Gram and Schmidt, for columns of about length 1; its
    rows are 0 where no more than ``noise`` of a column is left.

    QR takes an arbitrary direction for such a row, and later columns have a share in it.
    """
    rest, out = R, torch.zeros_like(R)
    for j in range(R.shape[-1]):
        column = rest[..., j]
        length = torch.linalg.vector_norm(column, dim=-1, keepdim=True)
        direction = torch.where(length > noise, column / length, 0.0)
        out[..., j, j:] = (direction[..., None, :] @ rest[..., j:])[..., 0, :]
        rest = rest - direction[..., None] * out[..., j, None, :]
    return out


def wishart_factor(d: int, df: int, rng: Stream) -> Tensor:
    """Bartlett's lower triangular A with A A^T ~ Wishart(I, df), (R, d, d) float64.

    The rank is df if df < d.
    """
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
