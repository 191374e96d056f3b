"""Weights of real and synthetic rows: the best weight is the reciprocal of the golden ratio."""

from __future__ import annotations

import math

import numpy as np

from collapse_bench.papers.figure import Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian

N = 50  # real rows per generation, and as many synthetic ones
GOLDEN = (math.sqrt(5) - 1) / 2
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def golden_ratio(scale, data=None):
    """Squared error of a mean of known variance, against the weight of real rows and over time."""
    chains, T = (400 if scale == "quick" else 4000), 40

    def cell(w):
        return (
            f"gaussian | gaussian-fit(sigma=1.0) | mix(real=0.5) | golden-ratio(w={w}) @ n={2 * N} "
            f"T={T}"
        )

    def law(w):
        return N * gaussian.weighted_mean_limit(N, N, w)

    measured = [Point(w, cell(w), "w2", T, law(w), times=N) for w in (*WEIGHTS, round(GOLDEN, 4))]
    between = [Point(w, None, predicted=law(w)) for w in np.linspace(0.08, 1, 47).round(3)]

    def settles(w):
        def step(k):  # e' = w^2/n + (1 - w)^2 (e + 1/n), from the 2n real rows of the first fit
            error = 0.5
            for _ in range(k - 1):
                error = w**2 + (1 - w) ** 2 * (error + 1)
            return error

        return Curve(f"w = {w:g}", over_time(cell(w), "w2", T, step, times=N))

    return Figure(
        "With equally many synthetic rows, real rows should have weight 0.618",
        "He, Xu and Cheng 2025 (arXiv 2502.18049)",
        [
            Panel(
                f"generation {T}, n = {N} fresh real rows",
                "weight w of the real rows",
                "n \u00d7 squared error of the mean (\u03c3\u00b2)",
                [Curve("stationary; minimum at w = 0.618", [*measured, *between])],
                "y",
            ),
            Panel(
                "approach to the stationary value",
                "generation",
                "n \u00d7 squared error of the mean (\u03c3\u00b2)",
                [settles(w) for w in (0.1, round(GOLDEN, 4), 0.9)],
                "y",
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"golden-ratio": golden_ratio}
