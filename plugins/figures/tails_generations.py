"""Each generation of memorisers costs a factor: three ways to pass knowledge on."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


def tails_generations(scale, data=None):
    """Error of a chain of memorisers against generation and T (Dohmatob et al. 2024)."""
    beta, n = 1.5, 3000
    K, generations, chains = (20_000, 10, 16) if scale == "quick" else (200_000, 50, 64)

    def chain(world, metric, model, protocol, law):
        spec = f"{world}(beta={beta}, K={K}) | {model} | {protocol} @ n={n} T={generations - 1}"
        return over_time(spec, metric, generations - 1, lambda g: law(beta, n, g, K))

    sizes = [round(10 ** (step / 2)) for step in range(6, 12)]
    deep = [g for g in (1, 3, 10, 30) if g <= generations]

    def against_size(g):
        spec = f"zipf(beta={beta}, K={K}, sampler=exact-law) | counts | replace @ n="
        return [
            Point(
                T,
                f"{spec}{T} T={deep[-1] - 1}",
                "missing_mass",
                g - 1,
                tails.gens_resample(beta, T, g, K),
            )
            for T in sizes
        ]

    return Figure(
        "Generations of memorisers lose the tail",
        "Dohmatob et al. 2024 (arXiv 2402.07043)",
        [
            Panel(
                f"T = {n} inputs, Zipf exponent {beta}",
                "generation",
                "test error (probability)",
                [
                    Curve(
                        "inputs resampled",
                        chain("zipf", "missing_mass", "counts", "replace", tails.gens_resample),
                    ),
                    Curve(
                        "fresh inputs, all labels",
                        chain("zipf-memory", "error", "memory", "replace", tails.gens_mislabel),
                    ),
                    Curve(
                        "fresh inputs, right labels",
                        chain(
                            "zipf-memory",
                            "error",
                            "memory",
                            "verify-filter(oversample=1.5)",
                            tails.gens_relabel,
                        ),
                    ),
                ],
                bounds=SHARE,
            ),
            Panel(
                "inputs resampled",
                "inputs per generation T",
                "test error (probability)",
                [Curve(f"fit {g}", against_size(g)) for g in deep],
                "xy",
                SHARE,
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"tails-generations": tails_generations}
