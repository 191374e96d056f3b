"""Resampled kernel density estimates spread or collapse, depending on their bandwidth."""

from __future__ import annotations

from collapse_bench.papers.figure import Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import kde

M = 50  # rows per generation


def kde_bandwidth(scale, data=None):
    """Variance and squared error over generations for six bandwidths (Kazdan et al. 2024).

    Their code takes scikit-learn's Silverman bandwidth, which ignores the scale of the data.
    """
    T, chains = (20, 200) if scale == "quick" else (50, 1000)
    # In standard deviations of the batch; scikit-learn takes the same number of units.
    silverman, scaled = (4 / (3 * M)) ** 0.2, 0.1

    def cell(rule, h):
        return f"gaussian | kde(rule={rule}, h={h}) | replace @ n={M} T={T}"

    def wide(label, rule, h, law):
        return Curve(label, over_time(cell(rule, h), "variance", T, law))

    def square(label, rule, h, law=None, last=T):
        return Curve(label, over_time(cell(rule, h), "ise", last, law))

    def fixed(label, rule, h, units):
        """The law is for the variance of the rows; the estimate adds the variance of its kernel."""
        return wide(label, rule, h, lambda k: kde.var(M, units, k) + units**2)

    def multiple(label, rule, h, b):
        return wide(label, rule, h, lambda k: (1 + b**2) * kde.var_scaled(M, b, k))

    return Figure(
        "The bandwidth decides whether a resampled density estimate spreads or collapses",
        "setting of Kazdan et al. 2024 (arXiv 2410.16713), whose code uses scikit-learn's rule",
        [
            Panel(
                f"variance of the estimate, {M} rows",
                "generation",
                "variance (\u03c3\u00b2)",
                [
                    multiple("Silverman, scale of the data", "silverman", 1.0, silverman),
                    fixed("Silverman, scikit-learn", "sklearn-silverman", 1.0, silverman),
                    fixed("h = 0.6 \u03c3", "fixed", 0.6, 0.6),
                    fixed("h = 0.3 \u03c3", "fixed", 0.3, 0.3),
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
                    square("Silverman, scale of the data", "silverman", 1.0, last=min(T, 35)),
                    square(
                        "Silverman, scikit-learn",
                        "sklearn-silverman",
                        1.0,
                        lambda k: kde.mise(M, silverman, k),
                    ),
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
