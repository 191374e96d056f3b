"""Scores of chains that have no calibration: their units are measured on the same chains."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..errors import NothingMatched, UsageError
from ..records.manifest import Manifest, ManifestTask
from ..records.store import Store
from ..scoring.rules import CALIBRATION_CHAINS, TRIVIAL
from ..scoring.score import score
from ..scoring.task import Task, floor_and_gap
from ..status import BROKEN_OFF
from .collect import losses_of

CONTROLS = ("none", "nature", TRIVIAL)


def scores_by_own_units(
    store: Store, manifest: Manifest, names: Mapping[tuple[str, str], str]
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """(entry -> S, task -> why it could not be measured, task -> why it is not scored).

    Floor, gap and harm of a task are those of ``none``, ``nature`` and ``trivial`` in these chains.
    Whether a task is too noisy is judged as if it were calibrated with 256 chains: its unit is only
    needed to weigh it against other tasks, not to compare rows.

    names: (task, entry) -> the name of its row, where it is another.
    """
    losses, _, _ = losses_of(store, manifest)
    losses = losses[losses.entry != "frozen"]  # it is no row of the grid
    losses = losses.assign(
        entry=[
            names.get((task, entry), entry)
            for task, entry in zip(losses.task, losses.entry, strict=True)
        ]
    )
    tasks: dict[str, Task] = {}
    unmeasured: dict[str, str] = {}
    for name, about in manifest.tasks.items():
        try:
            tasks[name] = _measured(name, about, losses[losses.task == name], manifest.seeds)
        except UsageError as problem:
            unmeasured[name] = str(problem)
    if not tasks:
        return {}, unmeasured, {}
    try:
        found = score(
            losses[losses.task.isin(list(tasks))],
            tasks,
            controls=CONTROLS,
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
    for control in CONTROLS:
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
        about.resolution,
        about.log_loss,
        chains[TRIVIAL],
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
