"""Zipf laws on finitely many symbols, and how long a rare symbol lives."""

from __future__ import annotations

import math

import numpy as np


def zipf(K: int, beta: float) -> np.ndarray:
    """p_i proportional to i^-beta, i = 1 .. K, (K,)."""
    p = np.arange(1.0, K + 1) ** -beta
    return p / p.sum()


def survival(k: int) -> float:
    """1 - q_k: probability that a line of Poisson(1) copies is alive after k steps, q' = exp(q - 1); about 2/k."""
    alive = 1.0
    for _ in range(k):
        alive = -math.expm1(-alive)
    return alive
