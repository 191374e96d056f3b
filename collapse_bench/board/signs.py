"""The grid of signs from its chains: their units are measured on the same chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..errors import NothingMatched, UsageError
from ..records.manifest import Manifest, ManifestTask
from ..records.signs import SignGrid
from ..records.store import Store
from ..scoring.rules import CALIBRATION_CHAINS, TRIVIAL, UNITS
from ..scoring.score import score
from ..scoring.stability import GENERATIONS, ROWS
from ..scoring.task import Task, floor_and_gap
from ..scoring.tuning import TUNED
from ..status import BROKEN_OFF
from .collect import losses_of

FACTORS = tuple((rows, ends) for rows in ROWS for ends in GENERATIONS)  #: of the nine cells


@dataclass(frozen=True)
class SignCell:
    """One cell of the grid, as its chains were run."""

    manifest: Manifest  # of the tasks that can run there
    places: Mapping[str, str]  # task of the manifest -> task of the suite
    lacking: Mapping[str, str]  # task of the suite -> why it cannot run there


def sign_grid(store: Store, cells: Sequence[SignCell], methods: Mapping[str, str]) -> SignGrid:
    """The score of each entry in the cells, which are those of ``FACTORS``; None where one of its
    tasks cannot run.

    methods: picked configuration -> its method, whose tuned row has the score.
    """
    tuned = {name: f"{method} {TUNED}" for name, method in methods.items()}
    middle = cells[FACTORS.index((1.0, 1.0))]
    fits = _fits(middle, tuned)
    scores: dict[str, list[float | None]] = {entry: [] for entry in fits}
    notes: list[str] = []
    for (rows, ends), cell in zip(FACTORS, cells, strict=True):
        at = f"signs: at {rows:g} n and {ends:g} T"
        found, unmeasured, unscored = _scores(store, cell, tuned)
        lacking = {**cell.lacking, **{cell.places[task]: why for task, why in unmeasured.items()}}
        notes += [
            f"{at}, {task} cannot run, so that the cell agrees with none of the entries that fit "
            f"it: {why}"
            for task, why in lacking.items()
        ]
        notes += [
            f"{at}, {cell.places[task]} is not scored: {why}" for task, why in unscored.items()
        ]
        there = _fits(cell, tuned)
        for entry, tasks in fits.items():
            value = found.get(entry, math.nan)
            runs = tasks <= there.get(entry, set()) - set(lacking)
            scores[entry].append(value if runs and math.isfinite(value) else None)
    return SignGrid(
        len(middle.manifest.seeds),
        tuple(middle.places.values()),
        {entry: tuple(values) for entry, values in scores.items()},
        tuple(notes),
        _ids(middle, tuned),
    )


def _ids(cell: SignCell, tuned: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Row -> the ids of its cells."""
    ids: dict[str, tuple[str, ...]] = {}
    for entry in cell.manifest.entries:
        if entry.role == "entry" and entry.skip is None:
            name = tuned.get(entry.name, entry.name)
            ids[name] = (*ids.get(name, ()), entry.id)
    return ids


def _fits(cell: SignCell, tuned: Mapping[str, str]) -> dict[str, set[str]]:
    """Row -> the tasks of the suite that it fits in this cell."""
    fits: dict[str, set[str]] = {}
    for entry in cell.manifest.entries:
        if entry.role == "entry":
            tasks = fits.setdefault(tuned.get(entry.name, entry.name), set())
            if entry.skip is None or entry.declined:
                tasks.add(cell.places[entry.task])
    return fits


def _scores(
    store: Store, cell: SignCell, tuned: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """(entry -> S, task -> why it could not be measured, task -> why it is not scored).

    Floor, gap and harm of a task are those of ``none``, ``nature`` and ``trivial`` in these chains.
    Whether a task is too noisy is judged as if it were calibrated with 256 chains: its unit is only
    needed to weigh it against other tasks, not to compare rows.
    """
    if not cell.places:
        return {}, {}, {}
    losses, _, _ = losses_of(store, cell.manifest)
    losses = losses[losses.entry != "frozen"]  # it is no row of the grid
    losses = losses.assign(entry=losses.entry.map(lambda name: tuned.get(name, name)))
    tasks: dict[str, Task] = {}
    unmeasured: dict[str, str] = {}
    for name, about in cell.manifest.tasks.items():
        try:
            tasks[name] = _measured(name, about, losses[losses.task == name], cell.manifest.seeds)
        except UsageError as problem:
            unmeasured[name] = str(problem)
    if not tasks:
        return {}, unmeasured, {}
    try:
        found = score(
            losses[losses.task.isin(list(tasks))],
            tasks,
            controls=UNITS,
            planned=CALIBRATION_CHAINS,
        )
    except NothingMatched as problem:
        return {}, unmeasured, dict.fromkeys(tasks, str(problem))
    rows = found.rows[~found.rows.control]
    return (
        dict(zip(rows.entry, rows.S.astype(float), strict=True)),
        unmeasured,
        dict(found.excluded),
    )


def _measured(name: str, about: ManifestTask, losses: pd.DataFrame, seeds: tuple[int, ...]) -> Task:
    """A task with the units that its controls have in these chains.

    Raises UsageError where they cannot be measured.
    """
    chains = {}
    for control in UNITS:
        rows = losses[(losses.entry == control) & losses.seed.notna()].set_index("seed")
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
        least=len(seeds),
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
