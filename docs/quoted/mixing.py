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
        ("replace", ("adaptive-ridge", "ecosystem", "replay", "growing(power=1)")),
        ("mix(real=0.1)", ("golden-ratio", "tuned-weighting", "ratio-cap")),
    ):
        rows.append([protocol, *row(protocol)])
        for method in methods:
            note = " (8 validation rows)" if method == "adaptive-ridge" else ""
            rows.append([f"+ {method}{note}", *row(f"{protocol} | {method}")])
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
