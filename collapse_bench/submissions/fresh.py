"""The level fresh: new seeds and other settings of the tasks, which nobody could tune to.

A method that helps in general helps there too; one that was fitted to the public tasks, or knows
their truths, loses its gain.  Every chain has a process of its own, and the keys of its random
numbers say nothing about its truth (``Stream.one_way``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.cell import Cell
from ..core.components import Component, Mitigation
from ..errors import UserError
from ..isolation.audit import Audit
from ..records.manifest import Manifest
from ..records.record import Record
from ..registry.discovery import Registry
from ..running.chains import run_chains
from ..running.jobs import one_thread
from ..scoring.rules import FLOOR_SHARE, TRIVIAL
from ..spec import parse_mitigations
from ..status import Status
from .levels import Level
from .sampling import drawn, number
from .submission import Submission

CHAINS = 16  # per task
FACTORS = (0.6, 0.75, 1.3, 1.6)  # of n, T and sizes of the data, one of each is drawn
SIZES = ("d", "K")  # parameters of data generators that are sizes
LEAST_ERRORS = 3.0  # of the gap between none and nature: below, a task says nothing
WIDTH = 1.96  # standard errors of a 95 % interval
LEFT = 0.5  # share of its claimed gain that a method must not surely have lost

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Averted:
    """The share of the gap between none and nature that a method averts on a task; 1: nature."""

    mean: float
    error: float  # standard error over chains


def fresh(
    submission: Submission, registry: Registry, audit: Audit | None, tasks: int, key: str
) -> Level:
    """Run the method on ``tasks`` of its tasks with new seeds and settings, and compare.

    key: from which seeds and settings are drawn.  It is secret until the report is written.
    """
    name = submission.name
    ran = [entry for entry in submission.own if entry.skip is None]
    picks = drawn(ran, [entry.id for entry in ran], tasks, key)
    faults: list[str] = []
    notes, rows, pairs = [], [], []
    with audit.offered(registry) if audit is not None else nullcontext():
        acts = registry.mitigations(parse_mitigations(name))
        for entry in picks:
            there = _claimed(submission, entry.task)
            try:
                cell = perturbed(registry.cell(entry.task), key)
                seeds = [number(key, entry.task, i) >> 193 for i in range(CHAINS)]
                here = _measured(cell, registry, acts, seeds, audit)
            except UserError as problem:
                notes.append(f"{entry.task}: cannot be run at other settings: {problem}")
                continue
            label = cell.label
            if there is None or here is None:
                notes.append(f"{label}: none and nature are too close to tell")
                continue
            rows.append(
                {"task": entry.task, "fresh": label, "claimed": there.mean, "found": here.mean}
            )
            notes.append(
                f"{label}: {here.mean:+.2f} +- {here.error:.2f}, claimed {there.mean:+.2f}"
            )
            pairs.append((there, here))
    numbers: dict[str, Any] = {"key": key, "tasks": rows, "chains": CHAINS}
    if not pairs:
        faults.append("no task could be compared at fresh settings; take more with --cells")
        return Level("fresh", tuple(faults), tuple(notes), numbers)
    claimed, found, low, high = lost(pairs)
    numbers |= {
        "claimed": claimed,
        "found": found,
        "lost": claimed - found,
        "low": low,
        "high": high,
    }
    notes.append(
        f"on average {found:+.2f} at fresh settings, {claimed:+.2f} claimed: lost "
        f"{claimed - found:+.2f}, 95 % {low:+.2f} to {high:+.2f}, of {len(pairs)} tasks with "
        f"{CHAINS} chains each"
    )
    if claimed > 0 and low > 0 and found < LEFT * claimed:
        faults.append(
            f"it averts {claimed:+.2f} of the collapse on the public tasks and {found:+.2f} with "
            f"other seeds and settings: {claimed - found:.2f} less (95 % {low:.2f} to {high:.2f})"
        )
    return Level("fresh", tuple(faults), (*notes, f"key {key} (--key repeats it)"), numbers)


def lost(pairs: list[tuple[Averted, Averted]]) -> tuple[float, float, float, float]:
    """(mean claimed, mean found, low, high): means over tasks, and the 95 % interval of their
    difference, with the larger of the error over chains and that over tasks."""
    claimed = np.array([there.mean for there, _ in pairs])
    found = np.array([here.mean for _, here in pairs])
    gap, count = claimed - found, len(pairs)
    within = sum(there.error**2 + here.error**2 for there, here in pairs) / count**2
    between = float(gap.var(ddof=1)) / count if count > 1 else 0.0
    error = math.sqrt(max(within, between))
    middle = float(gap.mean())
    return (
        float(claimed.mean()),
        float(found.mean()),
        middle - WIDTH * error,
        middle + WIDTH * error,
    )


def perturbed(cell: Cell, key: str) -> Cell:
    """The cell with other rows, generations and sizes of its data, drawn from the key."""

    def scaled(value: int, what: str, least: int) -> int:
        factor = FACTORS[number(key, cell.label, what) % len(FACTORS)]
        other = max(least, round(value * factor))
        return other if other != value else value + 1

    data, first = cell.data, cell.first_teacher
    for size in SIZES:
        if type(vars(data).get(size)) is int:
            other = scaled(vars(data)[size], size, 1)
            try:
                candidate = _resized(data, size, other)
                model = _resized(cell.model, size, other)
                trial = replace(cell, data=candidate, model=model)
                if trial.incompatibility() is None:
                    data, cell = candidate, trial
            except (UserError, ValueError):
                continue  # the generator has no such size
    n0 = None if cell.n0 is None else scaled(cell.n0, "n0", 2)
    return replace(
        cell,
        data=data,
        first_teacher=first,
        n=scaled(cell.n, "n", 4),
        generations=scaled(cell.generations, "T", 2),
        n0=n0,
        one_way=True,
    )


def _resized(component: Any, size: str, value: int) -> Any:
    """A component with another size, where it has a parameter of this name."""
    if isinstance(component, Component) and type(vars(component).get(size)) is int:
        return replace(component, **{size: value})
    return component


def _measured(
    cell: Cell,
    registry: Registry,
    acts: tuple[Mitigation, ...],
    seeds: list[int],
    audit: Audit | None,
) -> Averted | None:
    """What the method averts on a cell.  The controls run without the plugin."""
    losses = {}
    for control in ("none", "nature", TRIVIAL):
        parts = () if control == "none" else registry.mitigations(control)
        losses[control] = _final([_run(replace(cell, mitigations=parts), seeds)], cell, seeds)
    mine = replace(cell, mitigations=acts)
    records = []
    for seed in seeds:
        if audit is not None:
            audit.close()  # one chain per process
        records.append(_run(mine, [seed]))
    losses["method"] = _final(records, cell, seeds)
    return averted(losses, cell.data.resolution, cell.data.log_loss)


def _run(cell: Cell, seeds: list[int]) -> Record:
    with one_thread():
        return run_chains(cell, seeds)


def _final(records: list[Record], cell: Cell, seeds: list[int]) -> Array:
    """The primary loss at the horizon per chain; NaN where a chain is not done."""
    values: dict[int, float] = {}
    for record in records:
        values |= final(record, cell.data.primary, cell.generations)
    return np.array([values.get(seed, math.nan) for seed in seeds])


def final(record: Record, primary: str, generation: int) -> dict[int, float]:
    """Seed -> the loss at a generation, of chains that are done."""
    last = (record.metric == primary) & (record.generation == generation)
    status = record.status
    return {
        seed: value
        for seed, value in zip(record.seed[last].tolist(), record.value[last].tolist(), strict=True)
        if status[seed] is Status.DONE
    }


def averted(losses: Mapping[str, Array], resolution: float, log_loss: bool) -> Averted | None:
    """The share of the gap that a method averts, from paired losses (C,) of it and the controls.

    Logarithms, floor and the limit of a loss by that of trivial are those of the score
    (docs/score.md).  None where the gap is not larger than its error allows.
    """
    worst = losses.get(TRIVIAL)
    cut = {}
    for name, loss in losses.items():
        value = np.asarray(loss, float)
        if worst is not None and np.isfinite(worst).all():
            value = np.where(np.isfinite(value), np.minimum(value, worst), worst)
        cut[name] = value
    paired = np.isfinite(cut["none"]) & np.isfinite(cut["nature"]) & np.isfinite(cut["method"])
    if paired.sum() < 2:
        return None
    floor = max(resolution, FLOOR_SHARE * float(np.maximum(cut["nature"][paired], 0).mean()))

    def a(name: str) -> Array:
        loss = cut[name][paired]
        return loss if log_loss else np.log(np.maximum(loss, 0) + floor)

    gap, change = a("none") - a("nature"), a("none") - a("method")
    root = math.sqrt(len(gap))
    if not gap.mean() > LEAST_ERRORS * gap.std(ddof=1) / root:
        return None
    share = change - (change.mean() / gap.mean()) * gap  # the error of a ratio, by linearisation
    return Averted(float(change.mean() / gap.mean()), float(share.std(ddof=1) / root / gap.mean()))


def _claimed(submission: Submission, task: str) -> Averted | None:
    """What the method averts on a task by the records of the submission."""
    manifest: Manifest = submission.manifest
    about = manifest.tasks[task]
    losses = {}
    for entry in manifest.entries:
        role = "method" if entry.name == submission.name else entry.name
        if entry.task != task or entry.role == "curve" or role not in _ROLES:
            continue
        values: dict[int, float] = {}
        for block in dict.fromkeys(seed // 32 for seed in manifest.seeds):
            record = submission.store.read(entry.id, block)
            if record is not None:
                values |= final(record, about.primary, entry.horizon)
        losses[role] = np.array([values.get(seed, math.nan) for seed in manifest.seeds])
    if not {"none", "nature", "method"} <= set(losses):
        return None
    return averted(losses, about.resolution, about.log_loss)


_ROLES = ("none", "nature", TRIVIAL, "method")
