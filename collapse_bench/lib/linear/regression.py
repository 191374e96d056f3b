"""Linear regression in closed form: data generator, linear teacher, normal equations."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from ...core.components import BiasedVerifier, DataGenerator, Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...core.sums import Products, gram
from ...errors import Incompatible
from ..distributions.gaussians import wishart_factor

WIDE = 100  # from this many columns on, solving chain by chain is faster


@dataclass(frozen=True)
class LinearWorld(DataGenerator):
    """y = x.w + noise z with x ~ N(0, diag(spectrum)); x (R, n, d), y (R, n).

    A subclass draws the truth:

    - w (R, d) and spectrum (d,), float64, and noise, a standard deviation;
    - questions: the stream of questions that never change, or None if every draw asks new ones;
    - verifier_rng, unless it is a flawed source: the stream of the direction from w to the center
      of an imperfect verifier.

    Loss ``excess_risk``: E (x.w_hat - x.w)^2 over the distribution of x, without label noise, in
    units of y^2.  Exact for a linear teacher; for any other teacher a mean over 2048 fixed
    questions.  The verifier accepts a label if |y - x.w| <= 2 noise.
    """

    kind = "regression"
    family = "regression"
    primary = "excess_risk"
    linear = True

    @property
    def width(self) -> int:
        """d, the number of covariates."""
        return self.truth.w.shape[-1]

    def ask(self, n, rng):
        stream = rng if self.truth.questions is None else self.truth.questions.at("fixed")
        x = stream.normal(n, self.width).double()
        return x if (self.truth.spectrum == 1).all() else x.mul_(self.truth.spectrum.sqrt())

    def summary(self, teacher, n, rng):
        """Sums over n rows labelled by a linear teacher, drawn without drawing the rows.

        X^T X is Wishart.  Given X^T X, X^T noise is normal with that covariance, and the part of
        the squared noise outside the column space of X is chi-squared with n - d degrees of
        freedom.  Raises Incompatible unless the teacher is linear, questions are fresh and n > d.
        """
        d, noise = self.width, self.truth.noise
        if n == 0:
            nothing = torch.zeros(
                *rng.chain_shape, d, d + 1, dtype=torch.float64, device=rng.device
            )
            return Corpus.of_sums(
                Products(nothing[..., 0, 0], nothing[..., :d], nothing[..., d], nothing[..., 0, 0])
            )
        if not (teacher.linear and self.truth.questions is None and n > d):
            raise Incompatible(
                "sampler=exact-law of linear needs a linear teacher, fresh=true and n > d; use "
                "sampler=explicit"
            )
        # X^T X = root root^T
        root = self.truth.spectrum.sqrt()[:, None] * wishart_factor(d, n, rng.at("x"))
        z = noise * rng.at("noise").normal(d).double()
        rest = noise**2 * rng.at("rest").chi2(n - d)
        w = self.weights(teacher)
        along = (root.mT @ w[..., None])[..., 0]
        answers = along + z  # the part of y in the column space of X
        weight = torch.full(rng.chain_shape, float(n), dtype=torch.float64, device=w.device)
        xy = (root @ answers[..., None])[..., 0]
        return Corpus.of_sums(Products(weight, gram(root.mT), xy, answers.pow(2).sum(-1) + rest))

    def mean_answer(self, x):
        return (x.double() @ self.truth.w[..., None])[..., 0]

    def answer(self, x, rng):
        return self.mean_answer(x)

    def observe(self, y, rng):
        return y + self.truth.noise * rng.normal(y.shape[-1])

    def verify(self, x, y):
        return (y - self.mean_answer(x)).abs() <= 2 * self.truth.noise

    def trivial(self):
        """Zero weights; the excess risk is the variance of x.w."""
        return LinearTeacher(torch.zeros_like(self.truth.w))

    def verifier_center(self, shift: float | Tensor) -> Tensor:
        """Weights (R, d) at distance ``shift`` from the true ones, in a direction per seed.

        shift is a number or (R, 1).
        """
        return self.truth.w + shift * self._verifier_direction

    @property
    def _verifier_direction(self) -> Tensor:
        direction = self.truth.verifier_rng.at("direction").normal(self.width).double()
        return direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)

    def _verifier_shift(self, centre: BiasedVerifier) -> float | Tensor:
        """The distance of the center from the truth, a number or (R, 1)."""
        if centre.no_better_than is None:
            return centre.shift
        risk = self.losses(centre.no_better_than, self.truth.verifier_rng.at("exam"))
        of_unit = (self.truth.spectrum * self._verifier_direction**2).sum(-1)
        shift = (risk["excess_risk"] / of_unit.clamp_min(1e-300)).sqrt()
        return shift.clamp_min(centre.shift)[..., None]

    def within(self, x, y, centre):
        """|y - x.w_c| <= radius |x| + slack, with w_c the verifier's center.

        Yi et al., arXiv 2510.16657.
        """
        x = x.double()
        w = self.verifier_center(self._verifier_shift(centre))
        gap = (y - (x @ w[..., None])[..., 0]).abs()
        return gap <= centre.radius * torch.linalg.vector_norm(x, dim=-1) + centre.slack

    def losses(self, teacher, rng):
        if teacher.linear:
            gap = self.weights(teacher) - self.truth.w
            return {"excess_risk": (self.truth.spectrum * gap**2).sum(-1)}
        x = rng.normal(2048, self.width).double() * self.truth.spectrum.sqrt()
        return {"excess_risk": (teacher.mean_answer(x) - self.mean_answer(x)).pow(2).mean(-1)}

    def diagnostics(self, teacher):
        if not teacher.linear:
            return {}
        return {"signal_variance": (self.truth.spectrum * self.weights(teacher) ** 2).sum(-1)}

    def weights(self, teacher: Teacher) -> Tensor:
        """The weights of a linear teacher, (R, d), read from its answers at the unit vectors."""
        w = self.truth.w
        if teacher is self:
            return w
        basis = torch.eye(self.width, dtype=torch.float64, device=w.device)
        return teacher.mean_answer(basis.expand(*w.shape[:-1], self.width, self.width))


@dataclass(frozen=True)
class LinearSource(LinearWorld):
    """A flawed model of linear data, for use as the first teacher; it cannot be the data itself."""

    def incompatibility(self, cell):
        return (
            f"{self.title()} is a flawed source for other data: "
            f"give it as the first teacher, first={self.title()}"
        )

    def real_truth(self, nature: DataGenerator | None, rng: Stream) -> SimpleNamespace:
        """The truth of the data; without data 10 covariates of variance 1, signal 1 and noise 1."""
        if nature is None:
            w = rng.at("w").normal(10).double() / 10**0.5
            return SimpleNamespace(
                w=w, spectrum=power_spectrum(10, 0, rng.device), noise=1.0, questions=None
            )
        if not isinstance(nature, LinearWorld):
            raise Incompatible(
                f"{self.title()} perturbs linear weights, and {nature.title()} has none; "
                "use it with linear data"
            )
        return nature.truth


def power_spectrum(d: int, exponent: float, device="cpu") -> Tensor:
    """j^-exponent, j = 1 .. d, float64."""
    return torch.arange(1, d + 1, dtype=torch.float64, device=device) ** -exponent


@dataclass(frozen=True, eq=False)
class LinearTeacher(Teacher):
    """w (R, d) float64.  The mean answer is x.w; the data generator adds the label noise."""

    w: Tensor

    linear = True

    def mean_answer(self, x: Tensor) -> Tensor:
        return (x.double() @ self.w[..., None])[..., 0]

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.mean_answer(x)

    def blend(self, other: LinearTeacher, w: float) -> LinearTeacher:
        return LinearTeacher(torch.lerp(self.w, other.w, w))


def mean_loss(sums: Products, w: Tensor) -> Tensor:
    """Mean squared residual of weights ``w (R, L, d)``, (R, L)."""
    quadratic = (w @ sums.xx * w).sum(-1)
    return (quadratic - 2 * (w @ sums.xy[..., None])[..., 0] + sums.yy[..., None]) / sums.weight[
        ..., None
    ]


def solve(sums: Products, penalty: Tensor | float = 0.0) -> Tensor:
    """argmin of the sum of squares plus ``penalty`` (R,) |w|^2, (R, d), by the normal equations.

    If the matrix is singular to working precision, the solution of least norm.
    """
    matrix = sums.xx.clone()
    matrix.diagonal(dim1=-2, dim2=-1).add_(
        torch.as_tensor(penalty, dtype=matrix.dtype, device=matrix.device)[..., None]
    )
    by_lapack = matrix.device.type == "cpu" and matrix.shape[-1] >= WIDE
    w, diagonal = (_solved_one_by_one if by_lapack else _solved_together)(matrix, sums.xy)
    singular = ~(diagonal.amin(-1) > 1e-7 * diagonal.amax(-1))
    if singular.any():
        least = (
            torch.linalg.pinv(matrix[singular], hermitian=True, rtol=1e-12)
            @ sums.xy[singular][..., None]
        )
        w = w.clone()
        w[singular] = least[..., 0]
    return w


def _solved_together(matrix: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """The solution, and the diagonal of the Cholesky factor (zero if the factorisation fails)."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    w = torch.cholesky_solve(xy[..., None], factor)[..., 0]
    return w, factor.diagonal(dim1=-2, dim2=-1).where((info == 0)[..., None], 0.0)


def _solved_one_by_one(matrix: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """The same by LAPACK's posv, chain by chain.

    For wide systems torch takes 1.5 times as long, mostly in the triangular substitutions.
    """
    from scipy.linalg.lapack import dposv

    d = matrix.shape[-1]
    w, diagonal = torch.empty_like(xy), torch.empty_like(xy)
    flat = zip(
        matrix.reshape(-1, d, d),
        xy.reshape(-1, d),
        w.view(-1, d),
        diagonal.view(-1, d),
        strict=True,
    )
    for one, right, solved, pivots in flat:
        # The matrix is symmetric, so its transpose is a free view in LAPACK's column order.
        factor, x, info = dposv(one.numpy().T, right.numpy())
        solved.copy_(torch.from_numpy(x.reshape(-1)))
        pivots.copy_(torch.from_numpy(factor.diagonal().copy())) if info == 0 else pivots.zero_()
    return w, diagonal


def solve_dual(corpus: Corpus, lam: float) -> Tensor:
    """Ridge weights (R, d) by the dual n x n system, for fewer rows than columns.

    ``lam > 0`` is the penalty relative to the mean loss.
    """
    weight = corpus.multiplicity
    root = weight.sqrt()[..., None]
    rows, answers = corpus.x.double() * root, corpus.y.double()[..., None] * root
    kernel = rows @ rows.mT
    kernel.diagonal(dim1=-2, dim2=-1).add_(lam * weight.sum(-1, keepdim=True))
    factor = torch.linalg.cholesky(kernel)
    return (rows.mT @ torch.cholesky_solve(answers, factor))[..., 0]
