"""How long a symbol survives when a distribution is resampled from itself."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import discrete


def discrete_survival(scale, data=None):
    """Surviving symbols under five protocols, and survival of a rare one (Suresh et al. 2024)."""
    K, M, beta, T, chains = (
        (1000, 1000, 1.0, 20, 32) if scale == "quick" else (10_000, 10_000, 1.5, 100, 64)
    )

    def symbols(protocol, law=None):
        spec = f"zipf(K={K}, beta={beta}, sampler=exact-law) | counts | {protocol} @ n={M} T={T}"
        return over_time(spec, "support", T, law)

    def alive(copies, many=500):
        spec = (
            f"zipf(K={many}, beta=0, sampler=exact-law) | counts | replace @ n={copies * many} "
            f"T={T}"
        )
        law = [None] + [discrete.survive_count(copies, k) for k in range(1, T + 1)]
        return [Point(k, spec, "support", k, law[k], times=1 / many) for k in range(1, T + 1)]

    # 1 - exp(-n p g) with g iterated from x to 1 - e^-x, which is the law of the curves above.  The
    # better known 1 - exp(-c/k) is a corollary, too low by a factor of about two.
    bound = [Point(k, None, predicted=discrete.survive_count(5, k)) for k in range(1, T + 1)]
    return Figure(
        "Resampling loses symbols; more real data, or all data, keep them",
        "Suresh et al. 2024 (arXiv 2412.17646); Wright and Fisher's model",
        [
            Panel(
                f"Zipf law on {K} symbols, {M} draws",
                "generation",
                "surviving symbols",
                [
                    Curve("accumulate", symbols("accumulate")),
                    Curve("10 % fresh real", symbols("mix(real=0.1)")),
                    Curve("replace", symbols("replace", lambda k: discrete.support(K, beta, M, k))),
                    Curve(
                        "replace, temperature 0.9", symbols("replace(decode=temperature(t=0.9))")
                    ),
                    Curve("replace, top-p 0.95", symbols("replace(decode=top-p(p=0.95))")),
                ],
                "y",
            ),
            Panel(
                "a symbol with c copies in the real sample",
                "fits after the first, k",
                "survival probability",
                [
                    *(Curve(f"c = {copies}", alive(copies)) for copies in (20, 5, 1)),
                    Curve("Theorem 1 of Suresh et al., c = 5", bound),
                ],
                "xy",
                SHARE,
            ),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"discrete-survival": discrete_survival}
