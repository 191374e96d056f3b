"""The score of each chain (rules 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..status import Status
from .grid import Grid
from .measured import Measured
from .rules import REFUSED, TRIVIAL, Code, Mask, mean_where
from .task import Task, harm_unit, log_of_loss, unscored


def taking_part(
    losses: pd.DataFrame, grid: Grid, tasks: Mapping[str, Task], none: int, planned: int | None
) -> tuple[dict[str, str], list[str]]:
    """Excluded tasks with the reason, and notes on excluded chains (rule 2)."""
    excluded = {
        name: f"{name} is not calibrated: run `collapse-bench suite calibrate`"
        for name in sorted(set(losses["task"].unique()) - set(tasks))
    }
    notes = []
    live = _live(grid, none)
    for k, name in enumerate(grid.tasks):
        run = int((grid.state[:, k] != Code.ABSENT).any(0).sum())
        chains = int(live[k].sum())
        if not run:
            excluded[name] = f"{name} has not been run"
        elif _skips_trivial(grid)[k]:
            excluded[name] = (
                f"{name} has no trivial teacher, so that its score has no lower end: its data "
                f"generator must define `{TRIVIAL}`"
            )
        elif not _of_trivial(grid)[k].any():
            excluded[name] = f"{name} has no record of {TRIVIAL}: run it"
        elif not chains:
            excluded[name] = f"{name} has no finished chain of {grid.entries[none]}"
        elif reason := unscored(tasks[name], planned or chains):
            excluded[name] = f"{name} {reason}"
        elif run > chains:
            notes.append(
                f"{name}: {run - chains} of {run} chains are left out, since "
                f"{grid.entries[none]} or {TRIVIAL} did not finish in them"
            )
    return excluded, notes


def _of_trivial(grid: Grid) -> Mask:
    """The chains (K, C) in which trivial has a finite loss."""
    if TRIVIAL not in grid.entries:
        return np.zeros(grid.loss.shape[1:], bool)
    return np.asarray(grid.done[grid.entries.index(TRIVIAL)])


def _skips_trivial(grid: Grid) -> Mask:
    """The tasks (K,) for which trivial was found not to fit."""
    if TRIVIAL not in grid.entries:
        return np.zeros(len(grid.tasks), bool)
    return np.asarray(_wholly(grid, Code.SKIPPED)[grid.entries.index(TRIVIAL)])


def _live(grid: Grid, none: int) -> Mask:
    """The chains (K, C) that count: `none` ended by itself, and trivial has a finite loss."""
    return np.asarray((grid.done | grid.failed)[none] & _of_trivial(grid))


def measured_on(grid: Grid, tasks: Sequence[Task], none: int, chains: int | None) -> Measured:
    """Score every chain of the grid; ``none`` is the index of the entry that scores 0.

    chains: planned per task; None: those that count.
    """
    floor = np.array([task.floor for task in tasks])[:, None]
    log_loss = np.array([task.log_loss for task in tasks])[:, None]
    live = _live(grid, none)
    done, failed = grid.done & live, grid.failed & live
    skipped, refused = (_wholly(grid, code) for code in (Code.SKIPPED, Code.REFUSED))
    known = done | failed | (refused[..., None] & live)
    over, broken = (
        ((grid.state == code) & live).any(-1) for code in (Code.OVER_BUDGET, Code.BROKEN)
    )
    whole = (known | ~live).all(-1)
    status = np.select(
        [skipped, refused, whole, over, broken],
        [Status.SKIPPED.value, REFUSED, Status.DONE.value, Status.OVER_BUDGET.value, "re-run"],
        "incomplete",
    )

    a = log_of_loss(np.where(done, grid.loss, np.nan), floor, log_loss)
    worst = a[grid.entries.index(TRIVIAL)]
    a = np.minimum(np.where(failed, worst, a), worst)
    a = np.where(refused[..., None], a[none], a)
    change = a[none] - a  # nats; above 0 where the entry is better than none
    mean = mean_where(change, known)
    gap = np.array([task.gap for task in tasks])
    harm = np.array(
        [
            harm_unit(task, chains or int(count))
            for task, count in zip(tasks, live.sum(-1), strict=True)
        ]
    )
    unit = np.where(mean < 0, harm, gap)  # (N, K), by the sign of the mean (rule 3)
    return Measured(
        grid.entries,
        tuple(tasks),
        grid.tasks,
        grid.seeds,
        none,
        live,
        failed,
        skipped,
        known,
        status,
        a,
        change / unit[..., None],
        np.stack([harm, gap]),
    )


def _wholly(grid: Grid, code: Code) -> Mask:
    """The tasks (N, K) whose chains all ended so, as far as they have an end."""
    here = grid.state == code
    return np.asarray(here.any(-1) & (here | (grid.state == Code.ABSENT)).all(-1))
