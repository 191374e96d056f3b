"""Ridge regression on a mean loss; lam multiplies |w|^2, for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Model
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.lib.linear.regression import LinearTeacher, mean_loss, solve, solve_dual
from collapse_bench.lib.rounding import settled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Ridge(Model):
    """min (1/N) sum w_i (y_i - x_i.w)^2 + lam |w|^2, N the sum of the weights; no intercept.

    scikit-learn's alpha is N lam.  Solved in float64 by the normal equations, or by the dual where
    there are fewer rows than columns.
    """

    lam: float = param(0.1, "penalty on |w|^2, added to a mean loss", ge=0)

    kinds = ("regression",)
    vectorized = True
    estimator = "ridge"
    reads_sums = True

    def fit(self, corpus, rng, before=None):
        if self.lam and corpus.has_rows and corpus.n < corpus.width:
            return LinearTeacher(solve_dual(corpus, self.lam))
        sums = corpus.products()
        return LinearTeacher(solve(sums, self.lam * sums.weight))

    def with_validation(self, corpus):
        return TunedRidge(self.lam, corpus)


@dataclass(frozen=True)
class TunedRidge(Model):
    """Ridge whose lam is tuned per chain on validation rows, over lam times 10^-3 .. 10^3."""

    lam: float
    rows: Corpus

    kinds = ("regression",)
    vectorized = True

    def fit(self, corpus, rng, before=None):
        sums, exam = corpus.products(), self.rows.products()
        values, vectors = torch.linalg.eigh(sums.xx)
        steps = torch.arange(-12, 13, dtype=torch.float64, device=values.device) / 4
        grid = max(self.lam, 1e-6) * 10.0**steps  # (L,)
        # (R, L, d)
        shrunk = values.clamp_min(0)[..., None, :] + grid[:, None] * sums.weight[..., None, None]
        along = (vectors.mT @ sums.xy[..., None])[..., 0]  # (R, d)
        candidates = (along[..., None, :] / shrunk) @ vectors.mT  # (R, L, d)
        # A loss is a difference of terms as large as the mean square of the answers.
        loss = settled(mean_loss(exam, candidates), (exam.yy / exam.weight)[..., None])
        best = loss.argmin(-1)[..., None, None]
        return LinearTeacher(
            candidates.gather(-2, best.expand(*best.shape[:-1], candidates.shape[-1]))[..., 0, :]
        )


@hookimpl
def collapse_models():
    return {"ridge": Ridge}
