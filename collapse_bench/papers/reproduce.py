"""Reproduce a figure of a paper: run its cells and write PNG, SVG and the numbers as CSV.

Chains that were run before are read from the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..board.render import csv
from ..core.cell import Cell
from ..core.loop import generations, nature
from ..core.rng import Stream
from ..errors import UsageError
from ..extras import require
from ..records.record import BLOCK
from ..records.settings import SuiteModel
from ..records.store import Store
from ..registry.discovery import Registry
from ..running.execute import execute, jobs_of
from ..running.jobs import Job, JobOutcome, Options
from ..suite.expand import Entry, Suite
from ..suite.plan import CellPlan, plan
from .draw import draw
from .figure import Figure, Gallery, Point, Scale


def reproduce(
    name: str,
    registry: Registry,
    *,
    scale: Scale = "quick",
    data: Path | None = None,
    output: Path = Path("figures"),
    n_jobs: int = 1,
    plugins: Sequence[str] = (),
    device: str = "cpu",
    on_plan: Callable[[list[CellPlan], list[Job]], None] | None = None,
    on_outcome: Callable[[JobOutcome], None] | None = None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Run the cells of a figure and draw it; returns (numbers, files written).

    data: folder of real images, for the figures that use them.  on_plan, on_outcome: called with
    the plan before the run, and with every finished job.

    Raises UsageError if matplotlib is not installed, or if a cell of the figure is incompatible.
    """
    figure = registry.figure(name)(scale, data)
    require("plots", f"figure {name}")
    store = Store(output.absolute() / "records").create()
    seeds = list(range(figure.chains))
    cells = {spec: registry.cell(spec, device=device) for spec in dict.fromkeys(_specs(figure))}
    for spec, cell in cells.items():
        if (reason := cell.incompatibility()) is not None:
            raise UsageError(f"figure {name} needs the cell {spec}, which cannot run: {reason}")
    entries = tuple(Entry(cell, spec, name, "entry") for spec, cell in cells.items())
    steps = plan(Suite(SuiteModel(name="figure"), entries), store, seeds)
    jobs = jobs_of(steps)
    if on_plan is not None:
        on_plan(steps, jobs)
    for outcome in execute(jobs, Options(store.path, tuple(plugins)), n_jobs):
        if on_outcome is not None:
            on_outcome(outcome)
    numbers = numbers_of(figure, {spec: cell.id for spec, cell in cells.items()}, store)
    stem = output / (name if scale == "quick" else f"{name}-{scale}")
    stem.with_suffix(".csv").write_text(f"{csv(numbers)}\n", encoding="utf-8")
    pictures = {
        g.title: _pictures(g, registry.cell(g.spec, device=device), store) for g in figure.galleries
    }
    return numbers, [stem.with_suffix(".csv"), *draw(figure, numbers, stem, pictures)]


def _specs(figure: Figure) -> list[str]:
    return [
        p.spec
        for panel in figure.plots
        for curve in panel.curves
        for p in curve.points
        if p.spec is not None
    ]


def _pictures(gallery: Gallery, cell: Cell, store: Store) -> np.ndarray:
    """The pictures of a gallery, (1 + generations, many, numbers), the real ones first.

    Records hold only metrics, so the chain is run again.  Its pictures are saved next to the
    records.
    """
    file = (
        store.path
        / cell.id
        / f"gallery-{'-'.join(map(str, gallery.generations))}-{gallery.many}.npy"
    )
    if not file.exists():
        cell = cell.for_seeds([0])
        data, rng = nature(cell), Stream(cell.seeds, device=cell.device).at("gallery")
        x = data.ask(gallery.many, rng.at("x"))
        rows = [data.answer(x, rng.at("real"))]
        for now in generations(cell, None, data):
            if now.t in gallery.generations:
                rows.append(now.teacher.answer(x, rng.at("y")))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, torch.stack([row[0].float().cpu() for row in rows]).numpy())
    return np.load(file)


def numbers_of(figure: Figure, ids: dict[str, str], store: Store) -> pd.DataFrame:
    """One row per point.

    Columns: panel, curve, x, measured, low and high (95 % interval over chains, within the bounds
    of the panel), chains,
    predicted, ratio, z, metric, generation, cell.
    """
    samples: dict[str, pd.DataFrame] = {}
    rows = []
    for panel in figure.plots:
        for curve in panel.curves:
            for point in curve.points:
                sample = np.empty(0)
                if point.spec is not None:
                    if point.spec not in samples:
                        samples[point.spec] = _numbers(store, ids[point.spec], figure.chains)
                    frame = samples[point.spec]
                    rows_here = (frame.metric == point.metric) & (frame.generation == point.t)
                    sample = point.times * frame.value[rows_here].to_numpy() + point.plus
                rows.append(
                    {
                        "panel": panel.title,
                        "curve": curve.label,
                        "x": point.x,
                        **_statistics(point, sample, panel.bounds),
                    }
                )
    return pd.DataFrame(rows)


def _numbers(store: Store, cell_id: str, chains: int) -> pd.DataFrame:
    records = [store.read(cell_id, block) for block in range(-(-chains // BLOCK))]
    frames = [
        pd.DataFrame(
            {"generation": r.generation, "metric": r.metric, "value": r.value, "seed": r.seed}
        )
        for r in records
        if r is not None
    ]
    frame = (
        pd.concat(frames)
        if frames
        else pd.DataFrame(columns=["generation", "metric", "value", "seed"])
    )
    return frame[frame.seed < chains]


def _statistics(point: Point, sample: np.ndarray, bounds: tuple[float, float]) -> dict:
    """Measured value, interval and comparison with the law, from one value per chain.

    The interval ends at ``bounds``: no rate is above 1.
    """
    n = len(sample)
    value, error = math.nan, math.nan
    if n and point.statistic == "median":
        value = float(np.median(sample))
        low, high = np.quantile(sample, np.clip(0.5 + np.array([-0.98, 0.98]) / math.sqrt(n), 0, 1))
        error = float(high - low) / 3.92  # width of a 95 % interval in standard errors
    elif n:
        if point.statistic == "variance":
            sample = (sample - sample.mean()) ** 2 * n / max(n - 1, 1)
        value = float(sample.mean())
        error = float(sample.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        low, high = np.clip((value - 1.96 * error, value + 1.96 * error), *bounds)
    else:
        low = high = math.nan
    predicted = math.nan if point.predicted is None else point.predicted
    return {
        "measured": value,
        "low": low,
        "high": high,
        "chains": n,
        "predicted": predicted,
        "ratio": value / predicted if predicted else math.nan,
        "z": (value - predicted) / error if error else math.nan,
        "metric": point.metric,
        "generation": point.t,
        "cell": point.spec or "",
    }
