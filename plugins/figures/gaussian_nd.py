"""A Gaussian in d dimensions refitted to its own samples: risk and lost volume."""

from __future__ import annotations

from collapse_bench.papers.figure import Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian

M, FEW = 1000, 50  # rows per generation


def gaussian_nd(scale, data=None):
    """Risk in 2, 4 and 8 dimensions; risk under growing samples; mean log-eigenvalue."""
    T, chains = (10, 200) if scale == "quick" else (20, 2000)

    def cell(d, rows, growth=0):
        return (
            f"gaussian(d={d}, sampler=exact-law) | gaussian-fit | replace @ n={rows} T={T} "
            f"growth={growth}"
        )

    def risk(d):
        return Curve(
            f"d = {d}",
            over_time(cell(d, M), "w2", T, lambda k: gaussian.nd_frechet_leading(d, M, k)),
        )

    def grown(growth, label):
        # To leading order a fit to M_i rows adds M/M_i times the risk of a fit to M rows.
        first = gaussian.nd_frechet_leading(4, M, 1)

        def law(k):
            return first * sum((i + 1.0) ** -growth for i in range(k))

        return Curve(label, over_time(cell(4, M, growth), "w2", T, law))

    def volume(d):
        law = over_time(
            cell(d, FEW), "log_variance", T, lambda k: gaussian.nd_logdet(d, FEW, k) / d
        )
        return Curve(f"d = {d}", law)

    return Figure(
        "A Gaussian in d dimensions, fitted to its own samples",
        "Shumailov et al. 2024 (Nature 631); rates: Newman 1986 (Commun. Math. Phys. 103)",
        [
            Panel(
                f"risk, M = {M}",
                "generation t",
                "squared W2 distance (\u03c3\u00b2)",
                [risk(d) for d in (2, 4, 8)],
                "y",
            ),
            Panel(
                f"risk, d = 4, M = {M} at first",
                "generation t",
                "squared W2 distance (\u03c3\u00b2)",
                [grown(0, "M rows"), grown(1, "M (t + 1) rows"), grown(2, "M (t + 1)\u00b2 rows")],
            ),
            Panel(
                f"volume, M = {FEW}",
                "generation t",
                "ln det \u03a3 / d, true value 0 (nats)",
                [volume(d) for d in (2, 4, 8)],
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"gaussian-nd": gaussian_nd}
