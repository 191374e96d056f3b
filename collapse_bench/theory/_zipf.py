"""Zipf laws on finitely many symbols, and the survival probability of a rare symbol."""

from __future__ import annotations

import math

import numpy as np


def zipf(K: int, beta: float) -> np.ndarray:
    """p_i proportional to i^-beta, i = 1 .. K, (K,)."""
    p = np.arange(1.0, K + 1) ** -beta
    return p / p.sum()


def survival(k: int) -> float:
    """1 - q_k, the probability that a Poisson(1) branching process survives k steps; about 2/k.

    q_0 = 0 and q' = exp(q - 1).
    """
    alive = 1.0
    for _ in range(k):
        alive = -math.expm1(-alive)
    return alive
