"""Resampled kernel density estimates spread or collapse, depending on their bandwidth."""

from __future__ import annotations

from collapse_bench.papers.figure import Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import kde

M = 50  # rows per generation


def kde_bandwidth(scale, data=None):
    """Variance and squared error over generations: fixed, scaled, Silverman's and no bandwidth."""
    T, chains = (20, 200) if scale == "quick" else (50, 1000)
    silverman, scaled = (4 / (3 * M)) ** 0.2, 0.1  # in standard deviations

    def cell(rule, h):
        return f"gaussian | kde(rule={rule}, h={h}) | replace @ n={M} T={T}"

    def wide(label, rule, h, law):
        return Curve(label, over_time(cell(rule, h), "variance", T, law))

    def square(label, rule, h, law=None, last=T):
        return Curve(label, over_time(cell(rule, h), "ise", last, law))

    def fixed(h):
        """The law is for the variance of the rows; the estimate adds the variance of its kernel."""
        return wide(f"h = {h} \u03c3", "fixed", h, lambda k: kde.var(M, h, k) + h**2)

    def multiple(label, rule, h, b):
        return wide(label, rule, h, lambda k: (1 + b**2) * kde.var_scaled(M, b, k))

    return Figure(
        "The bandwidth decides whether a resampled density estimate spreads or collapses",
        "setting of Kazdan et al. 2024 (arXiv 2410.16713); laws derived here",
        [
            Panel(
                f"variance of the estimate, {M} rows",
                "generation",
                "variance (\u03c3\u00b2)",
                [
                    multiple("Silverman", "silverman", 1.0, silverman),
                    fixed(0.6),
                    fixed(0.3),
                    multiple(f"h = {scaled} s", "scaled", scaled, scaled),
                    wide("h = 0", "fixed", 0.0, lambda k: kde.var(M, 0.0, k)),
                ],
                "y",
            ),
            Panel(
                f"error of the estimate, {M} rows",
                "generation",
                "integrated squared error (1/\u03c3)",
                [
                    # Beyond generation 35 the density is too wide for the integration grid.
                    square("Silverman", "silverman", 1.0, last=min(T, 35)),
                    square("h = 0.6 \u03c3", "fixed", 0.6, lambda k: kde.mise(M, 0.6, k)),
                    square("h = 0.3 \u03c3", "fixed", 0.3, lambda k: kde.mise(M, 0.3, k)),
                    square(f"h = {scaled} s", "scaled", scaled),
                    Curve("h = 0", []),  # a bootstrap has no density
                ],
                "y",
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"kde-bandwidth": kde_bandwidth}
