"""Kernel density estimates of their own samples: a repeated bootstrap of M rows plus N(0, h^2).

The truth is N(0, sigma^2).  Batch 1 is real; batch k + 1 is drawn from the estimate of batch k with
a Gaussian kernel of bandwidth h.  The mean density after k estimates is the truth convolved with
N(0, k h^2).
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from ._law import STEPS, UNPUBLISHED, law, number, whole

ROWS = whole("rows per batch", 1)
BATCHES = whole("batches, the first real; 0 leaves the truth", 0)
STD = number("true standard deviation, in units of the data", "(0, inf)")
BANDWIDTH = number("bandwidth, in units of the data", "[0, inf)")

KAZDAN = "Kazdan et al., arXiv 2410.16713"
SMOOTHED = "the variance of a smoothed bootstrap (Silverman and Young, Biometrika 1987)"


@law(
    "EXACT",
    SMOOTHED + ", k times; the setting of " + KAZDAN,
    M=ROWS,
    h=BANDWIDTH,
    k=BATCHES,
    sigma=STD,
)
def var(M, h, k, sigma=1.0) -> float:
    """Expected variance (over M) of batch k, fixed bandwidth, replace: v' = (1 - 1/M)(v + h^2).

    It tends to (M - 1) h^2, so the density spreads and does not collapse.  h = 0 is the plain
    bootstrap, sigma^2 (1 - 1/M)^k.  In units of sigma^2; valid at every M and k.
    """
    if k == 0:
        return sigma**2
    left = scipy.special.xlog1py(k - 1, -1 / M)  # ln (1 - 1/M)^(k-1)
    return sigma**2 * (1 - 1 / M) * math.exp(left) - (M - 1) * h**2 * math.expm1(left)


@law(
    "EXACT",
    SMOOTHED + ", k times; the setting of " + KAZDAN,
    M=ROWS,
    b=number("bandwidth over the batch's standard deviation (the one over M)", "[0, inf)"),
    k=BATCHES,
    sigma=STD,
)
def var_scaled(M, b, k, sigma=1.0) -> float:
    """Expected variance (over M) of batch k, bandwidth b standard deviations of a batch, replace.

    sigma^2 (1 - 1/M)^k (1 + b^2)^(k-1).  It grows if and only if b^2 > 1/(M - 1), which holds for
    Silverman's b = 1.06 M^-1/5.  In units of sigma^2; valid at every M and k.
    """
    if k == 0:
        return sigma**2
    return sigma**2 * (1 - 1 / M) * ((1 - 1 / M) * (1 + b**2)) ** (k - 1)


@law(
    "EXACT",
    "Fryer, Biometrics 1976, for k = 1; k > 1 " + UNPUBLISHED,
    M=ROWS,
    h=number("bandwidth, in units of the data", "(0, inf)"),
    k=whole("successive estimates; 0 leaves the truth", 0, STEPS),
    sigma=STD,
)
def mise(M, h, k, sigma=1.0) -> float:
    """Mean integrated squared error of the k-th estimate, fixed bandwidth, replace.

    Computed by coalescence of pairs, with q = 1 - 1/M: two points of the estimate coincide with
    probability 1/M, or their ancestors coincided j batches ago, or never.  In inverse units of the
    data; valid at every M and k.
    """
    if k == 0:
        return 0.0
    q, j = 1 - 1 / M, np.arange(1.0, k)
    met = (q**j / M * _peak(2 * (j + 1) * h**2)).sum()
    wider = k * h**2 / (2 * sigma**2)
    once, twice = (math.expm1(-0.5 * math.log1p(y)) for y in (wider, 2 * wider))
    never = math.expm1(scipy.special.xlog1py(k, -1 / M))  # q^k - 1
    return (
        _peak(2 * h**2) / M + met + _peak(2 * sigma**2) * (twice - 2 * once + never * (1 + twice))
    )


def _peak(v):
    """Density of N(0, v) at 0."""
    return 1 / np.sqrt(2 * np.pi * v)


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of " + KAZDAN,
    M=ROWS,
    h=BANDWIDTH,
    t=whole("batches, the first real; 0 leaves the truth", 0, STEPS),
    sigma=STD,
)
def acc_var(M, h, t, sigma=1.0) -> float:
    """Expected variance (over M t) of all t batches, each drawn from the estimate of the pool.

    v_t = v_{t-1} (1 - 1/(M t^2)) + (h^2/t)(1 - 1/(M t)) for t >= 2 and v_1 = sigma^2 (1 - 1/M); it
    grows like h^2 ln t.  In units of sigma^2; valid at every M and t, at a cost linear in t.
    """
    v = sigma**2 * (1 - 1 / M) if t else sigma**2
    for s in range(2, t + 1):
        v = v * (1 - 1 / (M * s**2)) + h**2 / s * (1 - 1 / (M * s))
    return v


@law(
    "EXACT",
    UNPUBLISHED,
    M=ROWS,
    h=BANDWIDTH,
    a=number("share of fresh real rows in every batch after the first", "[0, 1]"),
    k=BATCHES,
    sigma=STD,
)
def mix_drawn(M, h, a, k, sigma=1.0) -> float:
    """Expected squared distance of a draw from the true mean, after k estimates, fixed bandwidth.

    A share a of the rows of each batch is real and new, the others are drawn from the last
    estimate: v' = a sigma^2 + (1 - a) v + h^2, so v_k = sigma^2 + h^2 (1 - (1-a)^k)/a, and sigma^2
    + k h^2 for a = 0.  It stays bounded for every a > 0.  In units of sigma^2; valid at every M and
    k, with a rounded to whole rows.
    """
    a = round(a * M) / M
    steps = -math.expm1(scipy.special.xlog1py(k, -a)) / a if 0 < a < 1 else min(k, 1) if a else k
    return sigma**2 + h**2 * steps
