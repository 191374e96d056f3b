"""Special functions whose textbook expressions cancel at large arguments.

For large x each one uses its asymptotic series, for small x the direct expression.
"""

from __future__ import annotations

import numpy as np
import scipy


def log_half_ratio(x):
    """ln[Gamma(x + 1/2) / (Gamma(x) sqrt x)], about -1/(8x).

    A difference of two gammaln has no correct digit at x = 1e12.
    """
    x = np.asarray(x, float)
    large = np.maximum(x, 20.0)
    y = 1 / large**2
    series = -(1 / 8 - y * (1 / 192 - y * (1 / 640 - y * (17 / 14336 - y * 31 / 18432)))) / large
    small = np.minimum(x, 20.0)
    direct = scipy.special.gammaln(small + 0.5) - scipy.special.gammaln(small) - 0.5 * np.log(small)
    return np.where(x > 20, series, direct)


def expm1_half_ratio(x):
    """g = Gamma(x + 1/2) / (Gamma(x) sqrt x) - 1, and g + 1/(8x), which is about 1/(128 x^2)."""
    log, value = log_half_ratio(x), np.expm1(log_half_ratio(x))
    large = np.maximum(x, 20.0)
    y = 1 / large**2
    # ln(1 + g) + 1/(8x) from the series, and exp(l) - 1 - l for l = ln(1 + g): their sum is
    # g + 1/(8x) without subtracting two nearly equal numbers.
    beyond = y / large * (1 / 192 - y * (1 / 640 - y * (17 / 14336 - y * 31 / 18432)))
    bent = (
        log**2 / 2 * (1 + log / 3 * (1 + log / 4 * (1 + log / 5 * (1 + log / 6 * (1 + log / 7)))))
    )
    return value, np.where(x > 20, beyond + bent, value + 1 / (8 * np.asarray(x, float)))


def digamma_minus_log(x):
    """psi(x) - ln x, about -1/(2x)."""
    x = np.asarray(x, float)
    large = np.maximum(x, 20.0)
    y = 1 / large**2
    series = -0.5 / large - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    small = np.minimum(x, 20.0)
    return np.where(x > 20, series, scipy.special.digamma(small) - np.log(small))


def stirling_error(n):
    """ln n! minus Stirling's ln[sqrt(2 pi n) (n/e)^n], for n >= 1."""
    n = np.asarray(n, float)
    large = np.maximum(n, 16.0)
    y = 1 / large**2
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / large
    small = np.clip(n, 1.0, 16.0)
    direct = (
        scipy.special.gammaln(small + 1)
        - (small + 0.5) * np.log(small)
        + small
        - 0.5 * np.log(2 * np.pi)
    )
    return np.where(n > 16, series, direct)


def binomial(x, n, p):
    """Binomial probability of x successes in n at probability p, elementwise.

    Loader's saddle-point expansion (2000), accurate to nearly all digits at any n.
    """
    x, n, p = (np.asarray(a, float) for a in (x, n, p))
    # The slow part, before broadcasting: there are few counts and many probabilities.
    whole, hits, misses = (stirling_error(np.maximum(a, 1.0)) for a in (n, x, n - x))
    x, n, p = np.broadcast_arrays(x, n, p)
    inside = (x > 0) & (x < n) & (p > 0) & (p < 1)
    xi, ni, pi = (np.where(inside, a, b) for a, b in ((x, 1.0), (n, 2.0), (p, 0.5)))
    log = whole - hits - misses + 0.5 * np.log(ni / (2 * np.pi * xi * (ni - xi)))
    log -= _deviance(xi, ni * pi) + _deviance(ni - xi, ni * (1 - pi))
    # At x = 0 or x = n the expansion divides by zero; there the probability is (1-p)^n or p^n.
    edge = scipy.special.xlogy(x, p) + scipy.special.xlog1py(n - x, -p)
    return np.exp(np.where(inside, log, edge))


def _deviance(x, mean):
    """x ln(x/mean) + mean - x."""
    return x * np.log1p((x - mean) / mean) - (x - mean)


def basel(t: int) -> float:
    """sum_{j <= t} 1/j^2, which tends to pi^2/6."""
    return float((1 / np.arange(1.0, t + 1) ** 2).sum())
