"""Classification by least squares on one-hot labels, with or without a penalty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.lib.linear.classification import LinearClassifier, class_sums, second_moments
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LeastSquares(Model):
    """min (1/N) sum w_i |W x_i - e_(y_i)|^2 + lam |W|^2 over W, with N the sum of the weights.

    e_c are one-hot rows; the largest score wins.  For two classes, +1 and -1, this is the sign of
    x.w with w from least squares on y (ridge on y).  There is no intercept.  With lam = 0 and too
    few rows it is the solution of least norm.
    """

    lam: float = param(0.0, "penalty on |W|^2, added to a mean of squares", ge=0, later=True)

    kinds = ("classification",)
    vectorized = True

    @property
    def estimator(self):
        return "ridge-classifier" if self.lam else "least-squares"

    def fit(self, corpus, rng, before=None):
        matrix = second_moments(corpus)
        if self.lam:
            eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
            matrix = matrix + self.lam * corpus.mass[..., None, None] * eye
        return LinearClassifier(_solved(matrix, class_sums(corpus).mT).mT)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right for matrix (R, d, d), right (R, d, C); by the pseudo-inverse if singular."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal(dim1=-2, dim2=-1)
    singular = (info > 0) | ~(pivots.amin(-1) > 1e-7 * pivots.amax(-1))
    out = torch.cholesky_solve(right, factor)
    if singular.any():
        out[singular] = (
            torch.linalg.pinv(matrix[singular], hermitian=True, rtol=1e-12) @ right[singular]
        )
    return out


@hookimpl
def collapse_models():
    return {"least-squares": LeastSquares}
