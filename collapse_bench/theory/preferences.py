"""Two preferences that contradict each other, each held by a part of those who choose.

Every row is chosen among k answers of the last model.  A share q of the choices prefers one set of
answers, the others prefer the rest: a preferred answer is chosen with e^s times the odds.  Only the
share x of answers in the first set matters, in the limit of many rows.
"""

from __future__ import annotations

import math

import numpy as np

from ._law import UNPUBLISHED, law, number, whole
from ._special import binomial

CANDIDATES = whole("answers per choice", 2, 10_000).or_none
STRENGTH = number("log odds s of a preferred answer", "(0, 500]")

FALAHATI = "Falahati et al., arXiv 2605.07724"
FINITE = FALAHATI + ", for k = None; finite k " + UNPUBLISHED


@law("EXACT", FINITE, s=STRENGTH, k=CANDIDATES)
def least_share(s, k=None) -> float:
    """The smallest q at which the set that a share q prefers does not die out.

    Both sets survive for kappa < q < 1 - kappa.  A rare set grows by the factor q g1 + (1 - q) g2,
    with g1 = k w/(w + k - 1), g2 = k/(1 + (k-1) w), w = e^s; so kappa = (1 - g2)/(g1 - g2).  It is
    1/(1 + w) for k = None, the limit of many answers, and 1/2 for k = 2, where one preference
    always wins.  A probability; exact for infinitely many rows.
    """
    w = math.exp(-s)  # of an answer that is not preferred
    if k is None:
        return w / (1 + w)
    g1, g2 = k / (1 + (k - 1) * w), k * w / (w + k - 1)
    return (1 - g2) / (g1 - g2)


@law(
    "ASYM",
    FINITE,
    x=number("share of the first set in the truth", "[0, 1]"),
    q=number("share of the choices that prefer the first set", "[0, 1]"),
    s=STRENGTH,
    t=whole("rounds of choices", 0, 100_000),
    k=CANDIDATES,
)
def share(x, q, s, t, k=None) -> float:
    """The share of the first set after t rounds of choices under two preferences.

    x' = q A(x) + (1 - q) (1 - A(1 - x)), where A(x) is the chance that the chosen one of k answers
    is in a preferred set of share x: E[N w/(N w + k - N)] with N binomial, and x w/(1 - x + x w)
    for k = None, w = e^s.  A probability; valid for many rows.
    """
    for _ in range(t):
        x = q * _chosen(x, s, k) + (1 - q) * (1 - _chosen(1 - x, s, k))
        x = min(max(x, 0.0), 1.0)
    return x


def _chosen(x: float, s: float, k: int | None) -> float:
    """The chance that the chosen answer is in a preferred set of share x."""
    w = math.exp(-s)
    if k is None:
        return x / (x + (1 - x) * w) if x else 0.0
    if x in (0.0, 1.0):
        return x
    N = np.arange(k + 1.0)
    return float((binomial(N, k, x) * N / (N + (k - N) * w).clip(1e-300)).sum())
