"""Classification by least squares on one-hot labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Model
from collapse_bench.lib.linear.classification import LinearClassifier, class_sums, second_moments
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LeastSquares(Model):
    """min sum w_i |W x_i - e_(y_i)|^2 over W with one-hot rows e_c; the largest score wins.

    For two classes, +1 and -1, this is the sign of x.w with w from least squares on y.  There is no
    intercept.  With too few rows it is the solution of least norm.
    """

    kinds = ("classification",)
    vectorized = True
    estimator = "least-squares"

    def fit(self, corpus, rng, before=None):
        return LinearClassifier(_solved(second_moments(corpus), class_sums(corpus).mT).mT)


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
