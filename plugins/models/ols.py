"""Ordinary least squares."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Model
from collapse_bench.lib.linear.regression import LinearTeacher, solve
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class OLS(Model):
    """min sum w_i (y_i - x_i.w)^2, without intercept; with too few rows, the solution of
    least norm."""

    kinds = ("regression",)
    vectorized = True
    estimator = "ols"
    reads_sums = True

    def fit(self, corpus, rng, before=None):
        return LinearTeacher(solve(corpus.products()))


@hookimpl
def collapse_models():
    return {"ols": OLS}
