"""Do the laws of worlds that move or grow, and of synthetic data that helps, hold at 4000 chains?

    python benchmarks/worlds_laws.py          # all seven parts, six minutes on one core
    python benchmarks/worlds_laws.py 400      # on fewer chains

Every line is a claim like those of ``collapse-bench verify-laws`` and is checked by the same code,
at the settings of docs/worlds.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from collapse_bench.laws.claims import Claim
from collapse_bench.laws.verify import Verdict, groups, verdicts
from collapse_bench.registry.discovery import registry

CHUNK = 250  # chains that are run at once, so that the rows of 2000 by 100 inputs fit in memory


@dataclass(frozen=True)
class Line:
    """A claim, and how the table names what is measured."""

    name: str
    claim: Claim


def web(a: float = 0.2, M: int = 100, t: int = 20) -> Iterator[Line]:
    """The error of a mean in the growing web, in units of that of one fit."""
    for name, act, law, given, sampler in (
        ("blind, least squares", "", "worlds.accumulate_e", {"real": a}, "exact-law"),
        ("share known", " | ratio-debias", "growing.share_known", {"a": a}, "exact-law"),
        (
            "provenance known",
            " | mix-weights(synthetic=0)",
            "growing.provenance_known",
            {"a": a},
            "explicit",
        ),
        ("nature", " | nature", "worlds.accumulate_e", {"real": 1.0}, "exact-law"),
        ("frozen", " | frozen", "worlds.frozen_e", {}, "exact-law"),
    ):
        spec = (
            f"gaussian(sampler={sampler}) | gaussian-fit(sigma=1) | accumulate(real={a}){act} "
            f"@ n={M} T={t}"
        )
        yield Line(name, Claim(law, {"M": M, "t": t, **given}, spec, "w2", t))


def drift(q: float = 0.01, M: int = 100, p: float = 0.1, t: int = 60) -> Iterator[Line]:
    """The error of a mean that drifts."""
    m = round(p * M)
    weighted = {"n1": m, "n2": M - m, "q": q}
    for name, act, law, given, sampler in (
        ("mix", "", "worlds.mix_e", {"M": M, "pi": p, "t": t, "q": q}, "exact-law"),
        *(
            (
                f"mix, weight {w} on real rows",
                f" | golden-ratio(w={w})",
                "worlds.weighted_e",
                {**weighted, "w": w, "t": t},
                "explicit",
            )
            for w in (0.618, 0.3658817)
        ),
        (
            "mix, Kalman filter",
            f" | tracking(drift={q})",
            "worlds.kalman_e",
            {"M": M, "m": m, "t": t, "q": q},
            "explicit",
        ),
        ("frozen", " | frozen", "worlds.frozen_e", {"M": M, "t": t, "q": q}, "exact-law"),
    ):
        spec = (
            f"gaussian(drift={q}, sampler={sampler}) | gaussian-fit(sigma=1) | mix(real={p}){act} "
            f"@ n={M} T={t}"
        )
        yield Line(name, Claim(law, given, spec, "w2", t))


def symbols(h: float = 0.05, K: int = 200, M: int = 1000) -> Iterator[Line]:
    """The missing mass while new symbols come."""
    for name, how, law, more in (
        ("frozen", "replace | frozen", "frozen", {}),
        ("mix", "mix(real=0.1)", "mix", {"pi": 0.1}),
        ("all real rows kept", "accumulate(real=0.1)", "kept", {"m": 100}),
    ):
        spec = f"zipf(K={K}, novel={h}, sampler=exact-law) | counts | {how} @ n={M} T=20"
        for t in (5, 10, 20):
            given = {"K": K, "beta": 1.5, "M": M, "t": t, "h": h, **more}
            claim = Claim(f"worlds.novel_{law}_missing", given, spec, "missing_mass", t)
            yield Line(f"{name}, t = {t}", claim)


def two_stages(n: int = 2000, lam: float = 0.2, lam2: float = 0.622) -> Iterator[Line]:
    """The excess risk of ridge on labels of a surrogate, a quarter of them real."""
    first = " first=linear-surrogate(c2=0.25)"
    for name, spec, law, given in (
        (
            "all rows at once",
            f"linear(d=100) | ridge(lam=0.001) | mix(real=0.25) @ n={n} T=0{first}",
            "strong.mixture",
            {"n": n, "lam": 0.001, "p2": 0.75, "c2": 0.25},
        ),
        (
            "the real quarter only",
            f"linear(d=100, sampler=exact-law) | ridge(lam={lam}) | replace @ n={n // 4} T=0",
            "strong.mixture",
            {"n": n // 4, "lam": lam, "p2": 0.0},
        ),
        (
            "two stages",
            f"linear(d=100) | ridge(lam=0.001) | mix(real=0.25) | two-stage(lam={lam2}) @ n={n} "
            f"T=0{first}",
            "gains.two_stage",
            {"n": n, "lam": 0.001, "p2": 0.75, "lam2": lam2, "c2": 0.25},
        ),
    ):
        yield Line(name, Claim(law, {"d": 100, **given}, spec, "excess_risk", 0))


def distilled(lam: float = 0.05, best: float = 3.293) -> Iterator[Line]:
    """The excess risk of a ridge teacher and of its students on the same inputs."""
    given = {"d": 100, "n": 200, "lam": lam, "s": 1.0}
    for name, xi, law in (
        ("teacher", 0.0, 0.0),
        ("student of its answers", 1.0, 1.0),
        ("best student", best, None),
    ):
        spec = (
            f"linear(d=100, sampler=exact-law) | ridge(lam={lam}) | mix(real=1) | "
            f"self-distillation(xi={xi}) @ n=200 T=1"
        )
        yield Line(
            name, Claim("gains.self_distilled", {**given, "xi": law}, spec, "excess_risk", 1)
        )


def even(teacher, data) -> torch.Tensor:
    """The share of symbols with an even number, which the first preference wants (R,)."""
    return teacher.p[..., 0::2].sum(-1)


def preferences() -> Iterator[Line]:
    """The share of the answers that the first of two preferences wants."""
    for name, q, s, t in (
        ("two preferences, both sets live", 0.5, 1.0, 6),
        ("two preferences, the first dies out", 0.2, 1.0, 8),
        ("one preference", 1.0, 0.5, 3),
    ):
        spec = (
            f"zipf(K=2, truth_is=fixed) | counts | replace | "
            f"plural-preferences(q={q}, k=8, strength={s}) @ n=2000 T={t}"
        )
        given = {"x": 1 / (1 + 2**-1.5), "q": q, "s": s, "t": t, "k": 8}
        yield Line(name, Claim("preferences.share", given, spec, "share of even", t, read=even))


def kernels(h: float = 0.3516, M: int = 20, k: int = 20) -> Iterator[Line]:
    """The expected square of a draw from a kernel density estimate with fresh real rows."""
    read = next(c.read for c in registry().claims() if c.law == "kde.mix_drawn")
    for a in (0.1, 0.5, 0.9):
        spec = f"gaussian | kde(rule=fixed, h={h}) | mix(real={a}) @ n={M} T={k - 1}"
        given = {"M": M, "h": h, "a": a, "k": k}
        claim = Claim("kde.mix_drawn", given, spec, "square of a draw", k - 1, read=read)
        yield Line(f"share of real rows {a}", claim)


PARTS = {
    "A growing web, error of the mean": web,
    "A mean that drifts, error of the mean": drift,
    "New symbols, missing mass": symbols,
    "Two stages, excess risk": two_stages,
    "Self-distillation, excess risk": distilled,
    "Preferences, share of the first set": preferences,
    "Kernel density estimates, square of a draw": kernels,
}


def checked(lines: Sequence[Line], chains: int) -> list[Verdict]:
    """The verdict of each line, in order; every cell is run once."""
    found = {}
    for spec, _, claims in groups(line.claim for line in lines):
        for verdict in verdicts(spec, chains, claims, registry(), CHUNK):
            found[id(verdict.claim)] = verdict
    return [found[id(line.claim)] for line in lines]


def row(line: Line, verdict: Verdict) -> str:
    measured = f"{verdict.measured:.5f} +- {verdict.error:.5f}"
    mark = "" if verdict.good else "  VIOLATED"
    status = verdict.claim.status
    return f"  {line.name:36}{measured:22}{verdict.predicted:9.5f}  {status:6}{abs(verdict.z):6.1f}{mark}"


def main() -> None:
    chains = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    began, found = time.process_time(), []
    print(f"{chains} chains".ljust(38) + "measured +- error        law  status   |z|")
    for title, part in PARTS.items():
        lines = list(part())
        results = checked(lines, chains)
        print(title, *map(row, lines, results), sep="\n", flush=True)
        found += results
    z = [abs(verdict.z) for verdict in found]
    violated = sum(not verdict.good for verdict in found)
    print(
        f"{len(found)} lines, {violated} violated; |z| is at most {max(z):.1f}, and above 2 in "
        f"{sum(value > 2 for value in z)}; {time.process_time() - began:.0f} s of CPU time"
    )
    sys.exit(violated > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
