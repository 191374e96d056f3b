"""Strong model collapse: a small share of synthetic rows sets a floor for the risk at any size."""

from __future__ import annotations

from dataclasses import replace

from collapse_bench.papers.figure import Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import regression, strong

SOURCE = "Dohmatob et al., Strong Model Collapse (arXiv 2410.04840)"
RISK = "excess risk (signal variances)"
SHARE = "share of synthetic rows, p\u2082"
ROWS = "rows, n"
WIDTH = "random features, m"


def mixed(x, d, n, p2, lam, c2, s, m=None, weight=None):
    """One ridge fit to a mixture, and its deterministic equivalent.

    ``weight`` is the weight of a synthetic row; a real row has weight 1.
    """
    large = (
        all(rows == 0 or rows > d for rows in (n - round(p2 * n), round(p2 * n))) and weight is None
    )
    world = (
        f"linear(d={d}, noise={s}, "
        f"sampler={'exact-law' if large and (m or 0) <= n else 'explicit'})"
    )
    model = f"ridge(lam={lam})" if m is None else f"random-projection(width={m}, lam={lam})"
    act = "" if weight is None else f" | mix-weights(real=1, synthetic={weight})"
    real = round(1 - p2, 9)
    spec = f"{world} | {model} | mix(real={real}){act} @ n={n} T=0 first=linear-surrogate(c2={c2})"
    mean = 1.0 if weight is None else real + p2 * weight
    a1, a2 = 1 / mean, (1.0 if weight is None else weight) / mean
    law = strong.mixture(d, n, lam, p2, c2=c2, s1=s, s2=s, a1=a1, a2=a2, m=m)
    return Point(x, spec, "excess_risk", 0, law)


# -- more rows -------------------------------------------------------------------------------------


def strong_collapse_ridge(scale, data=None):
    """Excess risk against the number of rows, for shares and qualities of synthetic rows."""
    d, lam, s, chains = 100, 1e-4, 0.1, 30 if scale == "quick" else 100
    sizes = [50, 70, 140, 200, 400, 800, 1600, 3200, 6400, 12800]
    sizes += [25600, 51200] if scale == "paper" else []
    panels = [
        Panel(
            f"labels with error c\u00b2 = {c2:g}",
            ROWS,
            RISK,
            [
                Curve(f"p\u2082 = {p2:g}", [mixed(n, d, n, p2, lam, c2, s) for n in sizes])
                for p2 in (0, 0.01, 0.1, 0.5, 1)
            ],
            "xy",
        )
        for c2 in (1.0, 0.1)
    ]
    return Figure(
        "A share of synthetic rows sets a floor for the risk of ridge", SOURCE, panels, chains
    )


# -- more features ---------------------------------------------------------------------------------


def strong_collapse_width(scale, data=None):
    """Excess risk and its terms against the number of random features, through double descent."""
    lam, c2, s, chains = 1e-3, 1.0, 0.5, 40 if scale == "quick" else 400
    shares = (0, 0.1, 0.3, 1)

    def panel(d, n, widths, log="xy"):
        curves = [
            Curve(f"p\u2082 = {p2:g}", [mixed(m, d, n, p2, lam, c2, s, m=m) for m in widths])
            for p2 in shares
        ]
        return Panel(f"d = {d}, {n} rows", WIDTH, RISK, curves, log)

    d, n, p2 = 200, 100, 0.3
    widths = [10, 20, 35, 50, 65, 80, 90, 97, 103, 110, 125, 150, 200, 300, 500, 1000]
    widths += [2000, 4000] if scale == "paper" else []
    parts = {
        m: strong.mixture_parts(d, n, lam, p2, c2=c2, s1=s, s2=s, m=m)
        for m in range(10, widths[-1] + 1, 5)
    }
    curves = [
        Curve(name, [Point(m, None, predicted=terms[i]) for m, terms in parts.items()])
        for i, name in enumerate(("bias B", "variance V", "wrong labels \u03b6"))
    ]
    fewer = [10, 20, 40, 60, 80, 100, 130, 170, 220, 290, 310, 400, 600, 1000]
    return Figure(
        "No width reduces the risk to that of real rows",
        SOURCE,
        [
            panel(d, n, widths),
            Panel(f"terms of the risk at p\u2082 = {p2:g}", WIDTH, RISK, curves, "xy"),
            panel(100, 300, fewer, "x"),
        ],
        chains,
    )


# -- better labels ---------------------------------------------------------------------------------


def strong_collapse_pareto(scale, data=None):
    """Risk against share and error of the synthetic labels, and large models against small ones."""
    d, lam, s, chains = 100, 1e-3, 0.3, 40 if scale == "quick" else 200
    shares = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    errors = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    by_share = [
        Curve(f"n = {n}", [mixed(p2, d, n, p2, lam, 1.0, s) for p2 in shares])
        for n in (150, 300, 1000, 5000, 20000)
    ]
    by_error = [
        Curve(f"p\u2082 = {p2:g}", [mixed(c2, d, 2000, p2, lam, c2, s) for c2 in errors])
        for p2 in (0.01, 0.1, 0.5, 1)
    ]
    deep, rows, noise = 200, 100, 0.2

    def traded(c2):
        """One point per width: (its risk on real rows, its risk on synthetic rows)."""
        return [
            mixed(
                strong.mixture(deep, rows, 1e-3, 0, s1=noise, m=m),
                deep,
                rows,
                1,
                1e-3,
                c2,
                noise,
                m=m,
            )
            for m in (125, 150, 200, 300, 500, 1000, 2000)
        ]

    sizes = [Curve(f"c\u00b2 = {c2:g}", traded(c2)) for c2 in (0.0, 0.3, 1.0, 3.0)]
    return Figure(
        "Risk by share and quality of the synthetic rows",
        SOURCE,
        [
            Panel(f"by share, d = {d}, c\u00b2 = 1", SHARE, RISK, by_share, "y"),
            Panel(
                f"by quality, d = {d}, n = 2000",
                "excess risk of the labeller, c\u00b2",
                RISK,
                by_error,
                "xy",
            ),
            Panel(
                f"widths {rows * 5 // 4} (right) to {rows * 20}, d = {deep}, {rows} rows",
                "risk on real rows (law)",
                "risk on synthetic rows",
                sizes,
                "xy",
            ),
        ],
        chains,
    )


# -- mixing ----------------------------------------------------------------------------------------


def strong_collapse_mixing(scale, data=None):
    """Two ways to mix: downweight synthetic rows once, or relabel them in every round."""
    chains = 60 if scale == "quick" else 400
    d, half, c2, s = 50, 0.5, 1.0, 0.3
    weights = (0, 0.03, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
    once = [
        Curve(f"n = {n}", [mixed(a, d, n, half, 1e-4, c2, s, weight=a) for a in weights])
        for n in (150, 400, 1600, 6400)
    ]

    few, noise, rounds = 20, 1.0, 8
    first = f"first=linear-surrogate(c2={c2})"

    def real_half(n):
        return regression.ols_replace(few, round(half * n), 1, noise)

    def chain(protocol, n, sampler):
        return (
            f"linear(d={few}, noise={noise}, sampler={sampler}) | ols | {protocol} @ n={n} "
            f"T={rounds - 1} {first}"
        )

    fresh, same = f"mix(real={half})", f"iterative-mix(real={half})"
    many = 800
    again = [
        Curve(
            "fresh rows",
            over_time(
                chain(fresh, many, "exact-law"),
                "excess_risk",
                rounds - 1,
                lambda t: strong.iter_mix(few, many, 1 - half, t, c2, noise),
            ),
        ),
        Curve("the same rows", over_time(chain(same, many, "explicit"), "excess_risk", rounds - 1)),
        Curve(
            "only the real half", [Point(t, None, predicted=real_half(many)) for t in range(rounds)]
        ),
    ]
    again = [Curve(c.label, [replace(p, x=p.x + 1) for p in c.points]) for c in again]

    sizes = (100, 200, 400, 800, 1600, 3200, 6400, 12800)

    def after(t):
        return [
            Point(
                n,
                chain(fresh, n, "exact-law"),
                "excess_risk",
                t - 1,
                strong.iter_mix(few, n, 1 - half, t, c2, noise),
            )
            for n in sizes
        ]

    scaling = [Curve(f"{t} round{'s' if t > 1 else ''}", after(t)) for t in (1, 2, 4, 8)]
    scaling.append(
        Curve("only the real half", [Point(n, None, predicted=real_half(n)) for n in sizes])
    )
    return Figure(
        "Mixing once by weight, and in rounds by relabelling",
        SOURCE,
        [
            Panel(
                f"once, half synthetic, d = {d}",
                "weight of a synthetic row (real: 1)",
                RISK,
                once,
                "y",
            ),
            Panel(
                f"in rounds, half synthetic, d = {few}, {many} rows",
                "round",
                "excess risk (noise variances)",
                again,
                "y",
            ),
            Panel("in rounds, fresh rows", ROWS, "excess risk (noise variances)", scaling, "xy"),
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {
        "strong-collapse-ridge": strong_collapse_ridge,
        "strong-collapse-width": strong_collapse_width,
        "strong-collapse-pareto": strong_collapse_pareto,
        "strong-collapse-mixing": strong_collapse_mixing,
    }
