"""Kernel density estimation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import REPLACE, Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Lacking
from collapse_bench.laws.claims import Claim, fits, recursion
from collapse_bench.lib.distributions.gaussians import fitted, root_of
from collapse_bench.lib.distributions.mixtures import drawn_by
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian

BUDGET = 1 << 22  # distances per chunk
DIRECT = "donot_use_mm_for_euclid_dist"


@dataclass(frozen=True)
class KDE(Model):
    """Gaussian kernels on the M rows (M the sum of weights); sampling is a bootstrap of the rows
    plus N(0, H).

    The kernel's covariance H is ``h``^2 times

    - ``fixed``: the identity, h in units of the data;
    - ``shrinking``: the identity times M^(-2/(d+4)), the rate of the best bandwidth;
    - ``scaled``: the covariance of the rows (over M);
    - ``silverman``: that covariance times (4/((d + 2) M))^(2/(d+4)), best for a Gaussian truth
      (Silverman 1986);
    - ``scott``: that covariance times M^(-2/(d+4)) (Scott 1992);
    - ``sklearn-silverman``, ``sklearn-scott``: the identity times these two factors.  This is what
      scikit-learn's KernelDensity means by "silverman" and "scott": bandwidths that ignore the
      scale of the data.  Kazdan et al. (arXiv 2410.16713) use them.

    h = 0 is the plain bootstrap, which has no density.
    """

    rule: Literal[
        "fixed",
        "shrinking",
        "scaled",
        "silverman",
        "scott",
        "sklearn-silverman",
        "sklearn-scott",
    ] = param("silverman", "the bandwidth that h multiplies")
    h: float = param(1.0, "bandwidth, in the units of the rule", ge=0)

    kinds = ("density",)
    vectorized = True
    estimator = "kde"

    def fit(self, corpus: Corpus, rng, before=None) -> KDETeacher:
        rows = fitted(corpus)
        d = rows.mean.shape[-1]
        unit = rows.factor
        if self.rule not in ("scaled", "silverman", "scott"):
            unit = torch.eye(d, dtype=torch.float64, device=rows.mean.device)
        kernel = (self.h * self.narrowing(corpus.mass, d))[..., None, None] * unit
        points = corpus.y.reshape(*corpus.chain_shape, corpus.n, -1).double()
        mass = None if corpus.unit else corpus.multiplicity
        return KDETeacher(points, mass, rows.mean, rows.factor, kernel, self.h > 0)

    def narrowing(self, M: Tensor, d: int) -> Tensor:
        """The bandwidth of the rule for this number of rows."""
        match self.rule.removeprefix("sklearn-"):
            case "shrinking" | "scott":
                return M ** (-1 / (d + 4))
            case "silverman":
                return (4 / ((d + 2) * M)) ** (1 / (d + 4))
        return torch.ones_like(M)


@dataclass(frozen=True, eq=False)
class KDETeacher(Teacher):
    """points (R, n, d) with mass (R, n) (None: all one), their mean (R, d) and factor (R, d, d).

    kernel (R, d, d) is a factor of the kernel's covariance.  All float64.  ``blurred`` is False for
    the plain bootstrap.
    """

    points: Tensor
    mass: Tensor | None
    mean: Tensor
    factor: Tensor
    kernel: Tensor
    blurred: bool

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        n, (rows, d) = x.shape[len(rng.chain_shape)], self.points.shape[-2:]
        u = rng.at("row").uniform(n)
        which = (
            (u * rows).long().clamp_max(rows - 1) if self.mass is None else drawn_by(self.mass, u)
        )
        blur = rng.at("blur").normal(n, d).double() @ self.kernel.mT
        return blur.add_(self.points.gather(-2, which[..., None].expand(*which.shape, d)))

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of each row, nats, (R, n, 1)."""
        if not self.blurred:
            raise Lacking(
                "a kernel density estimate without bandwidth has no density; choose h > 0",
                type(self),
            )
        rows, d = self.points.shape[-2:]
        kernel = _solid(self.kernel)
        z, points = (
            _whitened(value.double() - self.mean[..., None, :], kernel)
            for value in (y, self.points)
        )
        total = math.log(rows) if self.mass is None else self.mass.sum(-1).log()
        weight = None if self.mass is None else self.mass.log().reshape(-1, 1, rows)
        norm = (
            total
            + kernel.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            + 0.5 * d * math.log(2 * math.pi)
        )
        return (_log_sum(z, points, weight).reshape(y.shape[:-1]) - norm[..., None])[..., None]

    def mean_answer(self, x: Tensor) -> Tensor:
        return self.mean[..., None, :].expand(*x.shape[:-1], self.mean.shape[-1])

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance factor: the covariance of the rows (over M) plus the kernel's."""
        return self.mean, root_of(torch.cat([self.factor.mT, self.kernel.mT], -2))


def _log_sum(z: Tensor, points: Tensor, weight: Tensor | None) -> Tensor:
    """Log of the sum of weight exp(-|z - point|^2 / 2) over points, for z (B, n, d) and points (B,
    m, d), (B, n)."""
    out, m = z.new_empty(z.shape[:2]), points.shape[1]
    high = max(1, min(z.shape[1], BUDGET // m))
    wide = max(1, BUDGET // (m * high))
    for r in range(0, len(z), wide):
        for i in range(0, z.shape[1], high):
            # From differences: dot products would lose the digits of narrow kernels far from the
            # mean.
            gap = torch.cdist(
                z[r : r + wide, i : i + high], points[r : r + wide], compute_mode=DIRECT
            )
            near = gap.square_().mul_(-0.5)
            if weight is not None:
                near += weight[r : r + wide]
            out[r : r + wide, i : i + high] = near.logsumexp(-1)
    return out


def _solid(kernel: Tensor) -> Tensor:
    """The lower factor with a minimal thickness of 1e-12: rows on a plane have a density."""
    lower = kernel.tril()
    diagonal = lower.diagonal(dim1=-2, dim2=-1).abs()
    least = (1e-12 * diagonal.amax(-1, keepdim=True)).clamp_min(1e-150)
    # The sign of a column does not change the covariance.
    signs = torch.where(lower.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    lower = lower * signs[..., None, :]
    lower.diagonal(dim1=-2, dim2=-1).copy_(torch.maximum(diagonal, least))
    return lower


def _whitened(rows: Tensor, kernel: Tensor) -> Tensor:
    """Rows (R, n, d) in units of the kernel, chains flattened, (B, n, d)."""
    z = (
        rows / kernel
        if rows.shape[-1] == 1
        else torch.linalg.solve_triangular(kernel, rows.mT, upper=False).mT
    )
    return z.reshape(-1, *z.shape[-2:])


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """W2^2 of the first fit to a Gaussian with d = 1, if the bandwidth is b standard deviations.

    The standard deviation of the estimate is then s sqrt(1 + b^2), with s that of a normal sample.
    Later generations have no closed form; with the oracle teacher every fit is a first one.
    """
    data, model = cell.data, cell.model
    if recursion(cell) != ("kde", REPLACE) or data.distribution != "gaussian" or data.d > 1:
        return None
    if model.h and model.rule not in ("scaled", "silverman", "scott"):
        return None
    return [
        _first(model, data.sigma, M[0]) if len(M) == 1 and M[0] > 1 else math.nan
        for M in fits(cell)
    ]


def _first(model: KDE, sigma: float, M: int) -> float:
    narrowing = float(model.narrowing(torch.tensor(float(M), dtype=torch.float64), 1))
    wider = 1 + (model.h * narrowing) ** 2
    return sigma**2 * (
        1 / M + wider * (1 - 1 / M) - 2 * wider**0.5 * gaussian.sigma_mean(M, 1, ddof=0) + 1
    )


def _square(teacher, data):
    """Expected squared distance of a draw from the true mean, per axis."""
    (mean, factor), truth = teacher.mean_and_factor(), data.mean_and_factor()[0]
    square = factor.pow(2).sum((-2, -1)) + (mean - truth).pow(2).sum(-1)
    return square / mean.shape[-1]


def _silverman(M: int) -> float:
    """Silverman's bandwidth in standard deviations, one dimension: 1.06 M^-1/5."""
    return (4 / (3 * M)) ** 0.2


@hookimpl
def collapse_claims():
    def one(
        law,
        M,
        h,
        k,
        metric="variance",
        rule="fixed",
        sigma=1.0,
        protocol="replace",
        chains=8000,
        **more,
    ):
        """``h`` is that of the spec; the laws of scaled bandwidths use b standard deviations."""
        b = h * (_silverman(M) if rule.endswith("silverman") else 1)
        unscaled = rule in ("fixed", "sklearn-silverman")
        steps = {"t" if protocol == "accumulate" else "k": k}
        given = {"M": M, "h" if unscaled else "b": b, **steps, "sigma": sigma}
        spec = f"gaussian(sigma={sigma}) | kde(rule={rule}, h={h}) | {protocol} @ n={M} T={k - 1}"
        # The laws are for the rows; the metric is for a draw from the estimate.
        if metric == "variance":
            more |= {"plus": b**2} if unscaled else {"times": 1 + b**2}
        return Claim(f"kde.{law}", given, spec, metric, k - 1, chains, **more)

    def mixed(M, h, a, k, sigma=1.0):
        given = {"M": M, "h": h, "a": a, "k": k, "sigma": sigma}
        spec = f"gaussian(sigma={sigma}) | kde(rule=fixed, h={h}) | mix(real={a}) @ n={M} T={k - 1}"
        return Claim("kde.mix_drawn", given, spec, "square of a draw", k - 1, 8000, read=_square)

    return [
        mixed(20, 0.3516, 0.1, 20),
        mixed(20, 0.5, 0.5, 8, sigma=2.0),
        mixed(10, 0.5, 0.9, 6),
        one("var", 20, 0.3, 10),
        one("var", 8, 0.0, 6, sigma=2.0),
        one("var", 10, 0.5, 40, sigma=2.0),
        one("var", 50, 1.0, 21, rule="sklearn-silverman"),
        one("var_scaled", 20, 0.2, 8, rule="scaled"),
        one("var_scaled", 20, 1.0, 6, rule="silverman", sigma=2.0),
        one("mise", 20, 0.4, 1, "ise", chains=2000),
        one("mise", 20, 0.4, 6, "ise", chains=2000),
        one("mise", 12, 0.5, 10, "ise", sigma=2.0, chains=2000),
        one("acc_var", 10, 0.5, 12, protocol="accumulate", chains=4000),
        one("acc_var", 25, 0.3, 6, sigma=2.0, protocol="accumulate", chains=4000),
    ]


@hookimpl
def collapse_models():
    return {"kde": KDE}
