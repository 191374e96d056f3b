"""A memory of limited capacity loses rare items, however often it reads them."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


def tails_capacity(scale, data=None):
    """Error of an associative memory against dimension and training set (Cabannes et al. 2023)."""
    beta, enough = 1.5, 10**9
    K, dimensions, chains = (
        (300, (32, 64, 128, 256), 16) if scale == "quick" else (2000, (32, 64, 128, 256, 512), 32)
    )
    world = f"zipf-memory(beta={beta}, K={K}, sampler=exact-law)"

    def against_dimension(rho):
        return [
            Point(
                d,
                f"{world} | associative-memory(d={d}, rho={rho}) | replace @ n={enough} T=0",
                "error",
                predicted=tails.memory_error(beta, d, K, rho),
            )
            for d in dimensions
        ]

    def against_size(model, law=None):
        sizes = [round(10 ** (step / 2)) for step in range(3, 13)]
        spec = f"{world} | {model} | replace @ n="
        points = [
            Point(T, f"{spec}{T} T=0", "error", predicted=law and law(beta, T, N=K)) for T in sizes
        ]
        return [point for point in points if point.predicted is None or point.predicted > 1e-3]

    return Figure(
        "Limited capacity sets a floor at any amount of data",
        "Cabannes et al. 2023 (arXiv 2310.02984); the left law is heuristic, too high at small d",
        [
            Panel(
                f"{K} items, exponent {beta}, all read",
                "dimension d",
                "test error (probability)",
                [
                    Curve(f"strength p to the {rho:g}", against_dimension(rho))
                    for rho in (1.0, 0.5, 0.25)
                ],
                "xy",
                SHARE,
            ),
            Panel(
                "strength p",
                "training inputs T",
                "test error (probability)",
                [
                    *(
                        Curve(f"d = {d}", against_size(f"associative-memory(d={d})"))
                        for d in dimensions[::2]
                    ),
                    Curve("unlimited", against_size("memory", tails.hutter)),
                ],
                "xy",
                SHARE,
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"tails-capacity": tails_capacity}
