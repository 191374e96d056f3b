"""Accumulating data bounds the risk by pi^2/6 times that of one fit; replacing does not."""

from __future__ import annotations

import math

from collapse_bench.papers.figure import Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian, regression


def pi_squared_over_six(scale, data=None):
    """Replace against accumulate: least squares, a Gaussian, and sampled labels."""
    T, chains = (20, 200) if scale == "quick" else (50, 1000)
    d, rows, M, few, labels = 10, 111, 100, 2, 1000

    def least_squares(protocol, fresh, law):
        spec = f"linear(d={d}, fresh={fresh}) | ols | {protocol} @ n={rows} T={T}"
        return over_time(spec, "excess_risk", T, law)

    def density(protocol, law):
        spec = f"gaussian | gaussian-fit(ddof=0) | {protocol} @ n={M} T={T}"
        return over_time(spec, "w2", T, law)

    def logistic(protocol, law):
        spec = f"glm(d={few}) | glm-fit | {protocol} @ n={labels} T={T}"
        return over_time(spec, "kl", T, law)

    def limit(one_fit):
        """What accumulation tends to: pi^2/6 times the risk of one fit."""
        return Curve(
            "\u03c0\u00b2/6 times one fit",
            [Point(t, None, predicted=math.pi**2 / 6 * one_fit) for t in (0, T)],
        )

    fits = [
        Curve(
            "replace",
            least_squares("replace", "true", lambda k: regression.ols_replace(d, rows, k)),
        ),
        Curve(
            "accumulate, fresh x",
            least_squares("accumulate", "true", lambda k: regression.ols_accumulate(d, rows, k)),
        ),
        Curve(
            "accumulate, the same x",
            least_squares(
                "accumulate", "false", lambda k: regression.ols_accumulate(d, rows, k, same_x=True)
            ),
        ),
        limit(regression.ols_accumulate(d, rows, 1)),
    ]
    return Figure(
        "Accumulating data keeps the risk below \u03c0\u00b2/6 times that of one fit",
        "Gerstgrasser et al. 2024 (arXiv 2404.01413), Theorem 1; Dey and Donoho (arXiv 2410.22812)",
        [
            Panel(
                f"least squares, d = {d}, {rows} rows",
                "generation",
                "excess risk (noise variances)",
                fits,
                "y",
            ),
            Panel(
                f"Gaussian, {M} rows, maximum likelihood",
                "generation",
                "squared W2 distance (\u03c3\u00b2)",
                [
                    Curve("replace", density("replace", lambda k: gaussian.w2_mean(M, k, ddof=0))),
                    Curve(
                        "accumulate", density("accumulate", lambda k: gaussian.acc_w2_leading(M, k))
                    ),
                    limit(gaussian.acc_w2_leading(M, 1)),
                ],
                "y",
            ),
            Panel(
                f"logistic regression, d = {few}, {labels} sampled labels",
                "generation",
                "KL divergence (nats per label)",
                [
                    Curve(
                        "replace",
                        logistic("replace", lambda k: regression.glm_replace(few, labels, k)),
                    ),
                    Curve(
                        "accumulate",
                        logistic("accumulate", lambda k: regression.glm_accumulate(few, labels, k)),
                    ),
                    limit(regression.glm_accumulate(few, labels, 1)),
                ],
                "y",
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"pi-squared-over-six": pi_squared_over_six}
