"""Provisional scores of a run without calibration: its units come from its own chains.

A calibration measures the units on 256 chains of its own.  Here the units share their chains with
the scores, so the numbers of two runs cannot be compared with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..errors import NothingMatched, UsageError
from ..records.manifest import Manifest, ManifestTask
from ..scoring.rules import CALIBRATION_CHAINS, FOR_INTERVAL, TRIVIAL, UNITS
from ..scoring.score import Scores, score
from ..scoring.task import Task, floor_and_gap
from ..status import BROKEN_OFF


@dataclass(frozen=True)
class Provisional:
    """Scores with units of their own chains.

    whole: over all tasks that can be scored.  tasks: of each task by itself.
    """

    whole: Scores
    tasks: Mapping[str, Scores]


def provisional(
    losses: pd.DataFrame, manifest: Manifest
) -> tuple[Provisional | None, dict[str, str]]:
    """(the provisional scores of a run, None where no task can be scored; task -> why it has none).

    losses: columns task, entry, seed, loss and status, one row per chain.
    """
    controls = controls_of(manifest)
    units: dict[str, Task] = {}
    lacking: dict[str, str] = {}
    for name, about in manifest.tasks.items():
        some = losses[losses.task == name]
        try:
            units[name] = measured_task(name, about, some, manifest.seeds, FOR_INTERVAL)
        except UsageError as problem:
            lacking[name] = str(problem)
    tasks: dict[str, Scores] = {}
    for name, unit in units.items():
        try:
            tasks[name] = _scored(losses, {name: unit}, controls)
        except NothingMatched as problem:
            lacking[name] = str(problem)
    if not tasks:
        return None, lacking
    whole = _scored(losses, {name: units[name] for name in tasks}, controls)
    return Provisional(whole, tasks), lacking


def controls_of(manifest: Manifest) -> list[str]:
    named = (entry.name for entry in manifest.entries if entry.role == "control")
    return list(dict.fromkeys([*UNITS, "frozen", *named]))


def _scored(losses: pd.DataFrame, tasks: Mapping[str, Task], controls: Sequence[str]) -> Scores:
    """Whether a task is too noisy is judged as if it were calibrated with 256 chains."""
    return score(
        losses[losses.task.isin(list(tasks))],
        tasks,
        controls=controls,
        planned=CALIBRATION_CHAINS,
    )


def measured_task(
    name: str, about: ManifestTask, losses: pd.DataFrame, seeds: Sequence[int], least: int
) -> Task:
    """A task with the units that its controls have in these chains.

    Raises UsageError where they cannot be measured: a control lacks chains, or fewer than ``least``
    remain.
    """
    chains = {}
    for control in UNITS:
        rows = losses[(losses.entry == control) & losses.seed.notna()].set_index("seed")
        if rows.empty and (losses.entry == control).any():
            raise UsageError(f"the control {control} does not fit it")
        broken = rows.status.isin([str(status) for status in BROKEN_OFF])
        if broken.any() or set(seeds) - set(rows.index):
            raise UsageError(
                f"chains of {control} are missing or were interrupted; run the same command again"
            )
        chains[control] = rows.loss.reindex(list(seeds)).to_numpy(float)
    units = floor_and_gap(
        chains["none"],
        chains["nature"],
        chains[TRIVIAL],
        about.resolution,
        about.log_loss,
        least=least,
    )
    return Task(
        name,
        about.family,
        units.floor,
        units.gap,
        units.gap_sd,
        units.harm,
        units.harm_sd,
        log_loss=about.log_loss,
    )
