"""Students of students unlearn greatest common divisors one by one: accuracy is lost in steps."""

from __future__ import annotations

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gcd

READINGS = {
    "T = 0.7": "temperature(t=0.7)",
    "T = 1": None,
    "T = 1.3": "temperature(t=1.3)",
    "top-p 0.9": "top-p(p=0.9)",
}


def gcd_unlearning(scale, data=None):
    """Transformers trained on sampled labels of the previous one (Dohmatob et al. 2024).

    Shown are the learned greatest common divisors up to 100 (>= 95 % right) and the error on
    uniform pairs, at several temperatures and top-p, for replace and with half of the rows real.
    Dashed, with nature: the sieve rule with all divisors of the base known.
    """
    if scale == "quick":
        base, N, T, chains = 60, 10_000, 4, 2
        world = f"gcd(base={base}, max={N}, test=2000, each=20)"
        model = (
            "transformer(layers=1, width=64, heads=4, epochs=6, lr=0.003, cosine=true, warmup=0.05)"
        )
        rows, mixed = 10_000, ("T = 1.3",)
    else:
        base, N, T, chains = 1000, 10**6, 8, 5
        world = f"gcd(base={base}, max={N})"
        model = "transformer(layers=4, width=256, batch=256, lr=0.001, cosine=true, warmup=0.02)"
        rows, mixed = 3_000_000, tuple(READINGS)

    def curves(protocol, readings, metric, law, **more):
        """One curve for each decoding, and one for nature."""
        inside, sizes = protocol.partition("(")[2].rstrip(")"), f"@ n={rows} T={T}"
        measured = {}
        for label in readings:
            decode = READINGS[label] and f"decode={READINGS[label]}"
            parameters = ", ".join(filter(None, (inside, decode)))
            name = protocol.partition("(")[0] + (f"({parameters})" if parameters else "")
            measured[label] = over_time(f"{world} | {model} | {name} {sizes}", metric, T, **more)
        perfect = over_time(
            f"{world} | {model} | replace | nature {sizes}", metric, T, lambda k: law, **more
        )
        lines = [Curve(label, points) for label, points in measured.items()]
        return [*lines, Curve("nature", perfect)]

    learned = gcd.learned_count(D=base, powers=False)
    error = 1 - gcd.accuracy(D=base, powers=False, N=N)
    panels = []
    for title, protocol, readings in (
        ("replace", "replace", READINGS),
        ("half real rows", "mix(real=0.5)", mixed),
    ):
        skills = curves(protocol, readings, "unlearned", learned, times=-1.0, plus=100.0)
        panels.append(
            Panel(
                f"{title}: skills",
                "generation",
                "GCDs up to 100 learned",
                skills,
                bounds=(0.0, 100.0),
            )
        )
        panels.append(
            Panel(
                f"{title}: loss",
                "generation",
                "1 - accuracy",
                curves(protocol, readings, "error", error),
                "y",
                SHARE,
            )
        )
    return Figure(
        f"Transformers unlearn greatest common divisors (base {base}, operands to {N}, {rows} rows "
        "a generation)",
        "after Dohmatob et al. 2024 (arXiv 2402.07043), section 6",
        panels,
        chains,
    )


@hookimpl
def collapse_figures():
    return {"gcd-unlearning": gcd_unlearning}
