"""A few real inputs in a training set with a cut tail: a plateau that ends late."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


def tails_mixing(scale, data=None):
    """Error of a memoriser with a share pi of real inputs, the rest cut (Dohmatob et al. 2024)."""
    beta, k = 1.5, 100
    K, last, chains = (200_000, 15, 8) if scale == "quick" else (1_000_000, 17, 16)
    world = f"zipf(beta={beta}, K={K}, truth_is=fixed, sampler=exact-law) | counts | replace"

    def share(pi):
        source = f"zipf(beta={beta}, K={K}, read=top-k(k={k}), plain={pi}, sampler=exact-law)"
        sizes = [round(10 ** (step / 2)) for step in range(4, last)]
        law = [tails.hutter(beta, T, kind="mix", k=k, pi=pi, N=K) for T in sizes]
        return [
            Point(T, f"{world} @ n={T} T=0 first={source}", "missing_mass", predicted=error)
            for T, error in zip(sizes, law, strict=True)
        ]

    curves = [Curve(f"\u03c0 = {pi:g}", share(pi)) for pi in (0.0, 0.001, 0.01, 0.1, 1.0)]
    return Figure(
        "A share \u03c0 of real inputs ends the plateau at T \u2248 k\u1d5d/\u03c0",
        "Dohmatob et al. 2024 (arXiv 2402.07043)",
        [
            Panel(
                f"share \u03c0 real, rest cut at rank {k}",
                "training inputs T",
                "test error (probability)",
                curves,
                "xy",
                SHARE,
            )
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"tails-mixing": tails_mixing}
