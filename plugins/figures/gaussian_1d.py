"""One Gaussian refitted to its own samples: growth of the risk, decay of the spread."""

from __future__ import annotations

import math

from collapse_bench.papers.figure import Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian

M, FEW = 100, 50  # rows per generation


def gaussian_1d(scale, data=None):
    """Risk under three sample-size schedules; mean square, mean, median and log of s."""
    T, late, chains = (40, 80, 800) if scale == "quick" else (100, 100, 8000)

    def risk(growth, label):
        spec = f"gaussian(sampler=exact-law) | gaussian-fit | replace @ n={M} T={T} growth={growth}"
        return Curve(
            label, over_time(spec, "w2", T, lambda k: gaussian.w2_mean(M, k, growth=growth))
        )

    def spread(label, metric, law, ddof=1, **more):
        spec = (
            f"gaussian(sampler=exact-law) | gaussian-fit(ddof={ddof}) | replace @ n={FEW} T={late}"
        )
        return Curve(label, over_time(spec, metric, late, law, **more))

    def log_spread(ddof, label):
        return spread(
            label,
            "log_variance",
            lambda k: gaussian.logsigma_mean(FEW, k, ddof=ddof),
            ddof,
            times=0.5,
        )

    return Figure(
        "A Gaussian fitted to its own samples: the risk grows, the spread vanishes",
        "Shumailov et al. 2024 (Nature 631); Suresh et al. 2024 (arXiv 2412.17646)",
        [
            Panel(
                f"risk, M = {M} at first",
                "generation t",
                "squared W2 distance (\u03c3\u00b2)",
                [risk(0, "M rows"), risk(1, "M (t + 1) rows"), risk(2, "M (t + 1)\u00b2 rows")],
                "y",
            ),
            Panel(
                f"spread s, M = {FEW}, unbiased",
                "generation t",
                "s\u00b2 (\u03c3\u00b2), or s (\u03c3)",
                [
                    spread("mean of s\u00b2: constant", "variance", lambda k: 1.0),
                    spread("mean of s: exp(-k/4M)", "sd", lambda k: gaussian.sigma_mean(FEW, k)),
                    spread(
                        "median of s: exp(-k/2M)",
                        "sd",
                        lambda k: math.exp(gaussian.logsigma_mean(FEW, k)),
                        statistic="median",
                    ),
                ],
                "y",
            ),
            Panel(
                f"log spread, M = {FEW}",
                "generation t",
                "mean of ln(s/\u03c3)",
                [log_spread(1, "unbiased: -k/2M"), log_spread(0, "maximum likelihood: -k/M")],
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"gaussian-1d": gaussian_1d}
