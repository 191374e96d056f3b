"""Regression on labels of the previous model: each round adds a constant; ridge also forgets."""

from __future__ import annotations

from collapse_bench.papers.figure import Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import regression, strong


def regression_generations(scale, data=None):
    """Excess risk over generations: least squares under four protocols, ridge at four penalties."""
    T, chains, d, n = (12, 100, 100, 200) if scale == "quick" else (30, 500, 200, 400)
    rows, columns, mixed, s = 20, 400, 0.5, 0.5

    def squares(protocol, law, fresh="true"):
        spec = f"linear(d={rows}, fresh={fresh}) | ols | {protocol} @ n={columns} T={T}"
        return over_time(spec, "excess_risk", T, law)

    def ridge(lam, beta, n):
        spec = f"linear(d={d}, noise={s}, beta={beta}) | ridge(lam={lam}) | replace @ n={n} T={T}"
        return over_time(
            spec,
            "excess_risk",
            T,
            lambda k: regression.ridge_iterated(d, n, lam, k, beta=beta, s=s),
        )

    def real(T, k):
        """The stationary risk with fixed real rows, drawn once the start is forgotten."""
        return regression.ols_mix_fixedreal(rows, T, mixed) if k > 6 else None

    least = [
        Curve("replace", squares("replace", lambda k: regression.ols_replace(rows, columns, k))),
        Curve(
            "accumulate",
            squares("accumulate", lambda k: regression.ols_accumulate(rows, columns, k)),
        ),
        Curve(
            "half the same real rows",
            squares(f"mix(real={mixed}, fresh=false)", lambda k: real(columns, k)),
        ),
        Curve(
            "half fresh real rows",
            squares(
                f"mix(real={mixed})", lambda k: strong.iter_mix(rows, columns, 1 - mixed, k, c2=0.0)
            ),
        ),
    ]
    shrunk = [
        Panel(
            f"ridge, d = {d}, {many} rows, \u03b2 = {beta:g}",
            "generation",
            "excess risk (signal variances)",
            [Curve(f"\u03bb = {lam:g}", ridge(lam, beta, many)) for lam in penalties],
        )
        for beta, many, penalties in (
            (1.0, n, (0.001, 0.01, 0.1, 1.0)),
            (0.0, 6 * d // 10, (0.001, 0.1, 1.0)),
        )
    ]
    return Figure(
        "Regression on labels of the previous generation",
        "Dohmatob et al. (arXiv 2402.07712); accumulate: Gerstgrasser et al. (2404.01413)",
        [
            Panel(
                f"least squares, d = {rows}, {columns} rows",
                "generation",
                "excess risk (noise variances)",
                least,
            ),
            *shrunk,
        ],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"regression-generations": regression_generations}
