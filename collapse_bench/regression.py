"""Linear regression in closed form, shared by the models that solve it: a linear teacher and the normal equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .corpus import Corpus, Products
from .nouns import Teacher
from .streams import Stream

WIDE = 100  # columns from which solving chain by chain is faster


@dataclass(frozen=True, eq=False)
class LinearTeacher(Teacher):
    """w (R, d) float64; the mean answer is x.w, and the world adds its noise."""

    w: Tensor

    linear = True

    def expect(self, x: Tensor) -> Tensor:
        return (x.double() @ self.w[..., None])[..., 0]

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.expect(x)

    def blend(self, other: LinearTeacher, w: float) -> LinearTeacher:
        return LinearTeacher(torch.lerp(self.w, other.w, w))


def mean_loss(sums: Products, w: Tensor) -> Tensor:
    """Mean squared residual of weights ``w (R, L, d)``, (R, L)."""
    quadratic = (w @ sums.xx * w).sum(-1)
    return (quadratic - 2 * (w @ sums.xy[..., None])[..., 0] + sums.yy[..., None]) / sums.weight[..., None]


def solve(sums: Products, penalty: Tensor | float = 0.0) -> Tensor:
    """argmin of the sum of squares plus ``penalty`` (R,) |w|^2, (R, d), by the normal equations.

    Where the matrix is singular to working precision: the solution of least norm.
    """
    matrix = sums.xx.clone()
    matrix.diagonal(dim1=-2, dim2=-1).add_(
        torch.as_tensor(penalty, dtype=matrix.dtype, device=matrix.device)[..., None]
    )
    by_lapack = matrix.device.type == "cpu" and matrix.shape[-1] >= WIDE
    w, diagonal = (_solved_one_by_one if by_lapack else _solved_together)(matrix, sums.xy)
    singular = ~(diagonal.amin(-1) > 1e-7 * diagonal.amax(-1))
    if singular.any():
        least = torch.linalg.pinv(matrix[singular], hermitian=True, rtol=1e-12) @ sums.xy[singular][..., None]
        w = w.clone()
        w[singular] = least[..., 0]
    return w


def _solved_together(matrix: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """The solution, and the diagonal of the Cholesky factor, zero where there is none."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    w = torch.cholesky_solve(xy[..., None], factor)[..., 0]
    return w, factor.diagonal(dim1=-2, dim2=-1).where((info == 0)[..., None], 0.0)


def _solved_one_by_one(matrix: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """The same by LAPACK's posv: for a wide system torch takes half as long again, most of it to substitute."""
    from scipy.linalg.lapack import dposv

    d = matrix.shape[-1]
    w, diagonal = torch.empty_like(xy), torch.empty_like(xy)
    flat = zip(matrix.reshape(-1, d, d), xy.reshape(-1, d), w.view(-1, d), diagonal.view(-1, d), strict=True)
    for one, right, solved, pivots in flat:
        factor, x, info = dposv(one.numpy().T, right.numpy())  # symmetric: seen transposed it is in LAPACK's order
        solved.copy_(torch.from_numpy(x.reshape(-1)))
        pivots.copy_(torch.from_numpy(factor.diagonal().copy())) if info == 0 else pivots.zero_()
    return w, diagonal


def solve_dual(corpus: Corpus, lam: float) -> Tensor:
    """Ridge by its dual, (R, d): an n x n system, for fewer rows than columns; ``lam > 0`` times the mean loss."""
    weight = corpus.multiplicity
    root = weight.sqrt()[..., None]
    rows, answers = corpus.x.double() * root, corpus.y.double()[..., None] * root
    kernel = rows @ rows.mT
    kernel.diagonal(dim1=-2, dim2=-1).add_(lam * weight.sum(-1, keepdim=True))
    factor = torch.linalg.cholesky(kernel)
    return (rows.mT @ torch.cholesky_solve(answers, factor))[..., 0]
