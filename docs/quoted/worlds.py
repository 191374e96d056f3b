"""Numbers of docs/worlds.md."""

from __future__ import annotations

import numpy as np

from collapse_bench.theory import worlds

from . import Number, Table, computed
from .measure import mean, number, values

PAGE = "docs/worlds.md"


def _measured(sample: np.ndarray, digits: int) -> Number:
    found = number(sample, f".{digits}f")
    return Number(found.value, f"{found.text} ± {found.error:.{digits}f}", found.error)


@computed(PAGE, "worlds-drift")
def drift() -> Table:
    def row(how: str, law: float, sampler: str = ", sampler=exact-law") -> list[str | Number]:
        task = f"gaussian(drift=0.01{sampler}) | gaussian-fit(sigma=1)"
        sample = values(f"{task} | {how} @ n=100 T=60", 4000, None, 60)
        return [f"`{how}`", _measured(sample, 4), f"{law:.4f}"]

    best = worlds.best_weight(10, 90, 0.01)
    golden = worlds.weighted_e(10, 90, 0.618, 60, 0.01)
    weighted = worlds.weighted_e(10, 90, 0.366, 60, 0.01)
    return Table(
        [
            ["", "measured", "law"],
            row("replace", worlds.mix_e(100, 0.0, 60, 0.01)),
            row("mix(real=0.1) | frozen", worlds.frozen_e(100, 60, 0.01)),
            row("mix(real=0.1)", worlds.mix_e(100, 0.1, 60, 0.01)),
            row("mix(real=0.1) | golden-ratio(w=0.618)", golden, ""),
            [
                *row("mix(real=0.1) | golden-ratio(w=0.366)", weighted, "")[:2],
                f"{weighted:.4f} (best w {best:.3f})",
            ],
            row("mix(real=0.1) | tracking(drift=0.01)", worlds.kalman_e(100, 10, 60, 0.01), ""),
            row("mix(real=0.1) | nature", 0.01),
        ]
    )


@computed(PAGE, "worlds-web", long=True)
def web() -> Table:
    def row(how: str, law: float, sampler: str = "") -> list[str | Number]:
        task = f"gaussian{sampler} | gaussian-fit(sigma=1)"
        sample = values(f"{task} | accumulate(real=0.2){how} @ n=100 T=20", 4000, None, 20)
        return [f"`accumulate(real=0.2){how}`", _measured(100 * sample, 3), f"{100 * law:.3f}"]

    exact = "(sampler=exact-law)"
    return Table(
        [
            ["", "measured", "law"],
            row(" | frozen", worlds.frozen_e(100, 20), exact),
            row("", worlds.accumulate_e(100, 0.2, 20), exact),
            row(" | mix-weights(synthetic=0)", worlds.kalman_e(100, 20, 20)),
            row(" | nature", worlds.accumulate_e(100, 1.0, 20), exact),
        ]
    )


@computed(PAGE, "worlds-symbols", long=True)
def symbols() -> Table:
    def row(how: str, *laws: float) -> list[str | Number]:
        cells: list[str | Number] = [f"`{how}`"]
        for t, law in zip((5, 10, 20), laws, strict=True):
            spec = f"zipf(K=200, novel=0.05) | counts | {how} @ n=1000 T=20"
            cells += [mean(spec, 100, t, "missing_mass"), f"{law:.3f}"]
        return cells

    def law(name: str, **more: float) -> list[float]:
        formula = getattr(worlds, f"novel_{name}_missing")
        return [formula(K=200, beta=1.5, M=1000, t=t, h=0.05, **more) for t in (5, 10, 20)]

    return Table(
        [
            ["", "t = 5", "law", "t = 10", "law", "t = 20", "law"],
            row("replace | frozen", *law("frozen")),
            row("replace", *law("mix", pi=0.0)),
            row("mix(real=0.1)", *law("mix", pi=0.1)),
            row("accumulate(real=0.1)", *law("kept", m=100)),
        ]
    )
