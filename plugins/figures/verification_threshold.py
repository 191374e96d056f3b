"""Selected labels lead to a perfect or an inverted classifier; a verifier shifts the threshold."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import verification


def verification_threshold(scale, data=None):
    """Accuracy against label error for verifiers, sizes and generations (Feng et al. 2024).

    The dashed curves of finite sizes are the limit of infinite ridge in El Firdoussi et al. (2025).
    """
    rows, d, chains, steps = (4000, 100, 24, 20) if scale == "quick" else (10_000, 200, 50, 25)
    mu2, T = 2.0, 10
    errors = [round(i / steps, 4) for i in range(steps + 1)]

    def against_error(label, phi, psi, N):
        rule = (
            f"half-space(d={d}, mu2={mu2}) | averaging | verify-filter(oversample=1, phi={phi}, "
            f"psi={psi})"
        )
        return Curve(
            label,
            [
                Point(
                    p,
                    f"{rule} @ n={N} T=0 first=noisy-labels(p={p})",
                    "accuracy",
                    predicted=verification.acc_average(p, phi, psi, mu2, d, N),
                )
                for p in errors
            ],
        )

    def in_time(label, phi, psi):
        p, faint, N = 0.55, 1.0, 4 * d
        rule = (
            f"half-space(d={d}, mu2={faint}) | averaging | verify-filter(oversample=1, phi={phi}, "
            f"psi={psi})"
        )

        def law(k):
            return verification.acc_average_iterated(k - 1, faint, d, N, p, phi, psi)

        return Curve(
            label,
            over_time(
                f"{rule} @ n={N} T={T} first=noisy-labels(p={p})",
                "accuracy",
                T,
                law,
                statistic="median",
            ),
        )

    verifiers = [(1.0, 1.0), (0.9, 0.3), (0.7, 0.05)]
    named = ["no verifier", *(f"φ = {phi:g}, ψ = {psi:g}" for phi, psi in verifiers[1:])]
    panels = [
        Panel(
            f"Threshold at p* = φ/(φ + ψ); {rows} labels",
            "share p of wrong labels",
            "accuracy",
            [
                against_error(label, *rule, rows)
                for label, rule in zip(named, verifiers, strict=True)
            ],
            bounds=SHARE,
        ),
        Panel(
            "Fewer labels: a sigmoid of width √f; φ = 0.9, ψ = 0.3",
            "share p of wrong labels",
            "accuracy",
            [against_error(f"{N} labels", 0.9, 0.3, N) for N in (100, 300, 900)],
            bounds=SHARE,
        ),
        Panel(
            f"Students of students, from p = 0.55; |μ| = 1, {4 * d} labels",
            "generation",
            "accuracy, median",
            [in_time(label, *rule) for label, rule in zip(named, verifiers, strict=True)],
            bounds=SHARE,
        ),
    ]
    return Figure(
        "Verified labels: perfect below the threshold",
        "Feng et al., arXiv 2406.07515; finite sizes: El Firdoussi et al., arXiv 2410.08942",
        panels,
        chains,
    )


@hookimpl
def collapse_figures():
    return {"verification-threshold": verification_threshold}
