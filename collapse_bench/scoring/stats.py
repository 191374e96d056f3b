"""Small-sample statistics: Student's t, Tukey's range, Holm's method, Welch's degrees of freedom.

Everything is vectorised; infinite t and NaN raise no warning.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

Array = NDArray[np.float64]


def t_critical(df: ArrayLike, level: float = 0.95) -> Array:
    """Half width of a two-sided interval in standard errors, at ``df`` degrees of freedom (...)."""
    return np.asarray(stdtrit(np.asarray(df, float), 0.5 + level / 2))


def t_p(t: ArrayLike, df: ArrayLike) -> Array:
    """Two-sided p (...) of Student's t."""
    return np.asarray(2.0 * stdtr(np.asarray(df, float), -np.abs(np.asarray(t, float))))


def tukey_p(t: ArrayLike, rows: int, df: ArrayLike) -> Array:
    """p (...) of a pair, corrected for all pairs of ``rows`` rows.

    It is P(range of ``rows`` standard normals > z sqrt 2), where z is the normal deviate with the
    same tail probability as t.  Tukey's studentized range would divide all pairs by one standard
    deviation.  Here each pair has its own variance, and among many variances some are too small:
    boards of equal methods would be split in 6.4 % (28 rows, 31 df) or 11 % (30 rows, 9 df).

    With two rows, p is that of Student's t.  With infinite df it equals
    ``scipy.stats.studentized_range.sf(z * sqrt(2), rows, inf)``.
    """
    p = t_p(t, df)
    if rows <= 2:
        return p
    u, w = _nodes(96)
    x = 18 * u - 9  # the largest of the normals
    width = np.sqrt(2) * -ndtri(p / 2)  # infinite for p = 0
    within = ndtr(x) - ndtr(x - width[..., None])
    inside = within ** (rows - 1) @ (rows * np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * 18 * w)
    return np.asarray(np.clip(1 - inside, 0.0, 1.0))


@lru_cache
def _nodes(n: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on (0, 1), (n,) each."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


def holm(p: ArrayLike) -> Array:
    """p (n,) adjusted for n comparisons by Holm's method; NaN stays NaN and is not counted."""
    p = np.asarray(p, float)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return out


def welch(parts: ArrayLike, df: ArrayLike) -> tuple[Array, Array]:
    """The sum (...) of independent variance estimates (..., G) with df (G,), and its df (...).

    If all parts are zero, the df are added, since no part then has more weight than another.
    """
    parts, df = np.asarray(parts, float), np.asarray(df, float)
    total = parts.sum(-1)
    share = np.divide(parts, total[..., None], out=np.zeros_like(parts), where=total[..., None] > 0)
    spent = (share**2 / df).sum(-1)
    return total, np.divide(1.0, spent, out=np.full(total.shape, df.sum()), where=spent > 0)
