"""Test error against training inputs: a cut tail ends the scaling law, a narrowed one slows it."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


def tails_scaling(scale, data=None):
    """A memoriser of real, cut and narrowed Zipf data, and rows of a bigram table (Dohmatob et al.
    2024)."""
    beta = 1.5
    K, chains = (200_000, 8) if scale == "quick" else (1_000_000, 16)
    sizes = [round(10 ** (step / 2)) for step in range(4, 13 if scale == "quick" else 16)]

    def memoriser(first="", **given):
        source = first and f" first=zipf({first}, K={K}, sampler=exact-law)"
        return [
            Point(
                T,
                f"zipf(beta={beta}, K={K}, truth_is=fixed, sampler=exact-law) | counts | replace @ "
                f"n={T} T=0{source}",
                "missing_mass",
                predicted=tails.hutter(beta, T, N=K, **given),
            )
            for T in sizes
        ]

    def rows(exponent, V=100):
        visits = [round(10 ** (step / 2)) for step in range(13)]
        spec = f"bigram(K={V}, beta={exponent}, sampler=exact-law) | counts | replace @ n="
        return [
            Point(
                T,
                f"{spec}{V * T} T=0",
                "total_variation",
                predicted=tails.bigram_tv(exponent, T, V),
            )
            for T in visits
        ]

    return Figure(
        "A cut tail ends the scaling law, a narrowed tail slows it down",
        "Dohmatob et al. 2024 (arXiv 2402.07043)",
        [
            Panel(
                f"memoriser, Zipf exponent {beta}, {K} symbols",
                "training inputs T",
                "test error (probability)",
                [
                    Curve("real data", memoriser()),
                    Curve(
                        "infinitely many symbols",
                        [Point(T, None, predicted=tails.asym_real(beta, T)) for T in sizes],
                    ),
                    Curve(
                        "cut at rank 1000",
                        memoriser(f"beta={beta}, read=top-k(k=1000)", kind="cut", k=1000),
                    ),
                    Curve(
                        "cut at rank 100",
                        memoriser(f"beta={beta}, read=top-k(k=100)", kind="cut", k=100),
                    ),
                    Curve("narrowed to exponent 2", memoriser("beta=2", kind="narrow", beta2=2.0)),
                ],
                "xy",
                SHARE,
            ),
            Panel(
                "bigram table, 100 tokens",
                "visits per context T",
                "total variation (probability)",
                [Curve(f"exponent {exponent}", rows(exponent)) for exponent in (1.2, 1.5, 2.5)],
                "xy",
                SHARE,
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"tails-scaling": tails_scaling}
