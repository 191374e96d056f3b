"""Power-law spectra, and kappa, the effective ridge of the deterministic equivalent."""

from __future__ import annotations

import math

import numpy as np
import scipy

from ._law import require


def power_law(d: int, beta: float) -> np.ndarray:
    """Eigenvalues j^-beta, j = 1 .. d, of the covariance of the inputs."""
    return np.arange(1.0, d + 1) ** -beta


def signal(spectrum: np.ndarray, src: float, r2: float) -> np.ndarray:
    """Second moments of the true weights, proportional to j^-src and scaled to tr(S Gamma) = r2."""
    gamma = power_law(len(spectrum), src)
    return gamma * r2 / (spectrum @ gamma)


def effective_ridge(spectrum: np.ndarray, n: int, lam: float) -> float:
    """The root of kappa = lam + kappa df_1(kappa)/n with df_1 = sum l/(l + kappa).

    With lam = 0 it is 0 if n >= d; otherwise it solves df_1 = n.  The root is bracketed and found
    in ln kappa, because fixed-point iteration converges very slowly when n is near d and lam small.
    """
    d = len(spectrum)
    if lam == 0 and n >= d:
        return 0.0
    low = max(lam, spectrum.min() * (d / n - 1))  # because df_1 >= d min l/(min l + kappa)
    high = lam + spectrum.sum() / n  # because kappa df_1 <= sum l
    if low >= high * (1 - 1e-14):
        return high  # flat spectrum without a ridge: both bounds are the root

    def excess(y: float) -> float:
        return 1 - lam * math.exp(-y) - (spectrum / (spectrum + math.exp(y))).sum() / n

    return math.exp(
        scipy.optimize.brentq(
            excess, math.log(low) - 1e-9, math.log(high) + 1e-9, xtol=1e-14, rtol=1e-15
        )
    )


def variance_factor(spectrum: np.ndarray, kappa: float, n: int, name: str = "n") -> float:
    """u = df_2/(n - df_2), the risk per unit of label-noise variance.

    Raises TheoryError where it is infinite, which is at n = d without a ridge.
    """
    df2 = ((spectrum / (spectrum + kappa)) ** 2).sum()
    require(
        df2 < n,
        name,
        n,
        f"other than d = {len(spectrum)} where lam is 0: the risk is infinite there",
    )
    return df2 / (n - df2)
