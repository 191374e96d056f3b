"""Linear regression in closed form, shared by the models that solve it: a linear teacher and its normal equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .corpus import Corpus
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


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """gram (R, d, d) = sum w x x^T, cross (R, d) = sum w x y, squares (R,) = sum w y^2, weight (R,) = sum w."""

    gram: Tensor
    cross: Tensor
    squares: Tensor
    weight: Tensor

    @classmethod
    def of(cls, corpus: Corpus) -> NormalEquations:
        sums = corpus.moments()
        total = sums.about_zero()
        return cls(total[..., :-1, :-1], total[..., :-1, -1], total[..., -1, -1], sums.weight)

    def loss(self, w: Tensor) -> Tensor:
        """Mean squared residual of weights ``w (R, ..., d)``, (R, ...)."""
        extra = w.ndim - self.cross.ndim
        gram = self.gram.reshape(*self.gram.shape[:-2], *(1,) * extra, *self.gram.shape[-2:])
        cross = self.cross.reshape(*self.cross.shape[:-1], *(1,) * extra, -1)
        quadratic = (w[..., None, :] @ gram @ w[..., None])[..., 0, 0]
        squares = self.squares.reshape(*self.squares.shape, *(1,) * extra)
        weight = self.weight.reshape(*self.weight.shape, *(1,) * extra)
        return (quadratic - 2 * (w * cross).sum(-1) + squares) / weight

    def solve(self, penalty: Tensor | float = 0.0) -> Tensor:
        """argmin of the sum of squares plus ``penalty`` (R,) |w|^2; (R, d).

        Where the matrix is singular to working precision: the solution of least norm.
        """
        eye = torch.eye(self.gram.shape[-1], dtype=self.gram.dtype, device=self.gram.device)
        penalty = torch.as_tensor(penalty, dtype=self.gram.dtype, device=self.gram.device)
        matrix = self.gram + penalty[..., None, None] * eye
        factor, info = torch.linalg.cholesky_ex(matrix)
        diagonal = factor.diagonal(dim1=-2, dim2=-1)
        singular = (info > 0) | (diagonal.amin(-1) < 1e-7 * diagonal.amax(-1))
        w = torch.cholesky_solve(self.cross[..., None], factor)[..., 0]
        if singular.any():
            least = torch.linalg.pinv(matrix[singular], hermitian=True, rtol=1e-12) @ self.cross[singular][..., None]
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
