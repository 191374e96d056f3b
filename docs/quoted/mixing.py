"""Numbers of docs/mitigations-mixing.md, most by the function ``curve`` of that page."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from . import ROOT, Table, computed
from .measure import mean

PAGE = "docs/mitigations-mixing.md"


@cache
def _curve() -> Callable[..., list[tuple[float, float]]]:
    """The function on the page."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    [code] = [c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def curve" in c]
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[..., list[tuple[float, float]]] = names["curve"]
    return found


def _plain(value: float, digits: int) -> str:
    """A number without the 0 before the point."""
    return f"{value:.{digits}f}".removeprefix("0")


def _with_error(pair: tuple[float, float], digits: int, times: float = 1.0) -> str:
    return " ± ".join(_plain(times * number, digits) for number in pair)


@computed(PAGE, "mixing-weights")
def weights() -> Table:
    def row(method: str) -> str:
        task = "gaussian | gaussian-fit(sigma=1)"
        [pair] = _curve()(task, method, "w2", "n=200 T=15", (15,), 4000)
        return _with_error(pair, 3, 100)

    half = "mix(real=0.5)"
    return Table(
        [
            ["", "measured", "law"],
            ["mix(real=0.5)", row(half), ".667"],
            ["+ golden-ratio", row(f"{half} | golden-ratio"), ".618"],
            ["+ ratio-cap(lam=0.5), w = 2/3", row(f"{half} | ratio-cap(lam=0.5)"), ".625"],
            ["+ tuned-weighting, 20 validation rows", row(f"{half} | tuned-weighting"), ""],
            ["only fresh rows (real=1, so 200 of them)", row("mix(real=1)"), ".5"],
        ]
    )


@computed(PAGE, "mixing-regression")
def regression() -> Table:
    def row(method: str) -> list[str]:
        task = "linear(d=40, beta=1) | ridge(lam=0.05)"
        points = _curve()(task, method, "excess_risk", "n=80 T=10", (0, 1, 5, 10), 64)
        return [_with_error(pair, 3) for pair in points]

    rows = [["", "0", "1", "5", "10"]]
    for protocol, methods in (
        ("replace", ("adaptive-ridge", "tuned-penalty", "ecosystem", "replay", "growing(power=1)")),
        ("mix(real=0.1)", ("golden-ratio", "tuned-weighting", "ratio-cap")),
    ):
        rows.append([protocol, *row(protocol)])
        for method in methods:
            note = " (8 validation rows)" if method == "tuned-penalty" else ""
            rows.append([f"+ {method}{note}", *row(f"{protocol} | {method}")])
    return Table(rows)


CURVE = (  # task, metric, settings, generation, chains, factor
    ("gaussian | gaussian-fit(sigma=1)", "w2", "n=100 T=20", 20, 2000, 100.0),
    ("linear(d=40, beta=1) | ridge(lam=0.05)", "excess_risk", "n=80 T=10", 10, 64, 1.0),
    ("zipf | counts", "total_variation", "n=1000 T=10", 10, 32, 1.0),
)


@computed(PAGE, "mixing-curve")
def curve_over_w() -> Table:
    """The share w of the weight on real rows, and where the rules of methods lie on the curve."""

    def row(name: str, method: str) -> list[str]:
        pairs = []
        for task, metric, settings, at, chains, times in CURVE:
            [pair] = _curve()(task, f"mix(real=0.1) | {method}", metric, settings, (at,), chains)
            pairs.append(_with_error(pair, 3, times))
        return [name, *pairs]

    rows = [["mix(real=0.1), generation T", *(f"`{task}`" for task, *_ in CURVE)]]
    for w in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
        weight = f"{w * 0.9 / (0.1 * (1 - w)):.6g}"
        rows.append(row(f"w = {w}", f"mix-weights(real={weight}, synthetic=1)"))
    for method in ("golden-ratio", "ratio-cap", "ratio-cap(lam=4)", "distrust", "mix-weights"):
        rows.append(row(method, method))
    return Table(rows)


PUBLISHED = {  # means over 10 chains in the paper
    "replace": "595 452 260 183 124; .091",
    "mix(real=0.1)": "578 453 348 331 329; .052",
    "replay": "570 429 316 294 285; .057",
}


@computed(PAGE, "mixing-support", long=True)
def support() -> Table:
    ends = ["missing mass", "total variation", "published"]
    rows = [["", "0", "1", "5", "10", "20", *ends]]
    mitigations = (
        "replay",
        "replay(redrawn=false)",
        "real-anchor(share=0.1)",
        "real-anchor(share=0.1, fixed=true)",
        "real-anchor(share=1, fixed=true)",
        "growing(power=1)",
        "growing(power=2)",
        "tail-injection",
        "ecosystem",
    )
    methods = {
        "replace": "replace",
        "mix(real=0.1)": "mix(real=0.1)",
        **{name: f"replace | {name}" for name in mitigations},
        "mix(real=0.1) + ratio-cap": "mix(real=0.1) | ratio-cap",
        "mix(real=0.1) + golden-ratio": "mix(real=0.1) | golden-ratio",
    }
    for name, method in methods.items():
        spec = f"zipf(K=10000, beta=1.5, sampler=exact-law) | counts | {method} @ n=10000 T=20"
        counts = (mean(spec, 32, t, "support", ".0f") for t in (0, 1, 5, 10, 20))
        lost = (mean(spec, 32, 20, m) for m in ("missing_mass", "total_variation"))
        rows.append(
            [
                name,
                *(f"{found.text} ± {found.error:.0f}" for found in counts),
                *(found.text.removeprefix("0") for found in lost),
                PUBLISHED.get(name, ""),
            ]
        )
    return Table(rows)


@computed(PAGE, "mixing-cut")
def cut() -> Table:
    def lost(method: str, n: int) -> list[str]:
        task = "zipf(K=100000, beta=1.5, sampler=exact-law) | counts"
        points = _curve()(task, method, "missing_mass", f"n={n} T=5", (0, 5), 10)
        return [_plain(value, 4) for value, _ in points]

    reading = "replace(decode=top-k(k=100))"
    acts = ("tail-injection", "real-anchor(share=0.1)")
    rows = [["n", "no cut", f"`{reading}`", *(f"+ {act}" for act in acts)]]
    for power in (3, 4, 5, 6):
        n = 10**power
        first, last = lost("replace", n)
        others = (lost(method, n)[1] for method in (reading, *(f"{reading} | {a}" for a in acts)))
        rows.append([f"10^{power}", f"{last} ({first})", *others])
    return Table(rows)


@computed(PAGE, "mixing-classes")
def classes() -> Table:
    rows = [["", "error, 0", "1", "5", "rarest class, 0", "1", "5"]]
    for method in (
        "replace",
        "star-quotas",
        "star-quotas(oversample=4)",
        "deliberate-practice",
        "boosted-labels(beta=0.05)",
        "boosted-labels(beta=0.05, filtered=false)",
        "oracle-verify",
        "real-anchor(share=0.05)",
    ):
        act = method if method == "replace" else f"replace | {method}"
        cells = []
        for metric, digits in (("error_rate", 3), ("error_rarest_class", 2)):
            task = "digits(minority=0.02) | least-squares"
            points = _curve()(task, act, metric, "n=300 T=5", (0, 1, 5))
            cells += [_with_error(pair, digits) for pair in points]
        rows.append([method, *cells])
    return Table(rows)
