"""Linear regression in closed form, shared by the models that solve it: a linear teacher and the normal equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .corpus import Corpus, Products
from .nouns import Teacher
from .streams import Stream


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
    factor, info = torch.linalg.cholesky_ex(matrix)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    singular = (info > 0) | (diagonal.amin(-1) < 1e-7 * diagonal.amax(-1))
    w = torch.cholesky_solve(sums.xy[..., None], factor)[..., 0]
    if singular.any():
        least = torch.linalg.pinv(matrix[singular], hermitian=True, rtol=1e-12) @ sums.xy[singular][..., None]
        w = w.clone()
        w[singular] = least[..., 0]
    return w


def solve_dual(corpus: Corpus, lam: float) -> Tensor:
    """Ridge by its dual, (R, d): an n x n system, for fewer rows than columns; ``lam > 0`` times the mean loss."""
    weight = corpus.multiplicity
    root = weight.sqrt()[..., None]
    rows, answers = corpus.x.double() * root, corpus.y.double()[..., None] * root
    kernel = rows @ rows.mT
    kernel.diagonal(dim1=-2, dim2=-1).add_(lam * weight.sum(-1, keepdim=True))
    factor = torch.linalg.cholesky(kernel)
    return (rows.mT @ torch.cholesky_solve(answers, factor))[..., 0]
