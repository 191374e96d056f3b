"""Ridge regression on random projections: a two-layer network without non-linearity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.core.sums import Products
from collapse_bench.lib.linear.regression import LinearTeacher, solve, solve_dual
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RandomProjection(Model):
    """w = F v, F of shape d x width with entries N(0, 1/d), drawn again in every fit (Dohmatob et
    al., arXiv 2410.04840):

        min over v of  (1/N) sum_i w_i (y_i - x_i.F v)^2 + lam |v|^2,    N = sum_i w_i.

    It fits the same as ``random-features(activation=linear)``, but from sums of products where
    there are many rows: answers are linear in x, and ``sampler=exact-law`` works.  For lam = 0 use
    that model, which solves by orthogonal factors.
    """

    width: int = param(200, "number of projections", ge=1, le=100_000)
    lam: float = param(1e-3, "penalty on |v|^2, added to a mean loss", gt=0)

    kinds = ("regression",)
    vectorized = True
    estimator = "random-projection"
    reads_sums = True

    def fit(self, corpus, rng, before=None):
        if corpus.has_rows and corpus.n < self.width:
            F = self._drawn(corpus.width, rng)
            v = solve_dual(corpus.edited(x=corpus.x.double() @ F), self.lam)
        else:
            sums = corpus.products()
            F = self._drawn(sums.xx.shape[-1], rng)
            xy = (F.mT @ sums.xy[..., None])[..., 0]
            v = solve(
                Products(sums.weight, F.mT @ sums.xx @ F, xy, sums.yy), self.lam * sums.weight
            )
        return LinearTeacher((F @ v[..., None])[..., 0])

    def _drawn(self, d, rng):
        return rng.at("F").normal(d, self.width).double() / math.sqrt(d)


@hookimpl
def collapse_models():
    return {"random-projection": RandomProjection}
