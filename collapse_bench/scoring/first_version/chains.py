"""The score of each chain by the first version of the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...status import Status
from ..grid import Grid
from ..measured import Measured
from ..rules import CALIBRATED, LEAST_GAP, LEAST_GAP_ERRORS, WORST, Code
from ..task import Task, log_of_loss


def taking_part(
    losses: pd.DataFrame, grid: Grid, tasks: Mapping[str, Task], none: int, planned: int | None
) -> tuple[dict[str, str], list[str]]:
    """Excluded tasks with the reason, and notes on excluded chains (rule 2)."""
    excluded = {
        name: f"{name} is not calibrated: run `collapse-bench suite calibrate`"
        for name in sorted(set(losses["task"].unique()) - set(tasks))
    }
    notes = []
    for k, name in enumerate(grid.tasks):
        run = int((grid.state[:, k] != Code.ABSENT).any(0).sum())
        chains = int(grid.done[none, k].sum())
        if not run:
            excluded[name] = f"{name} has not been run"
        elif not chains:
            excluded[name] = f"{name} has no chain with a finite loss of {grid.entries[none]}"
        elif reason := nothing_to_avert(tasks[name], planned or chains):
            excluded[name] = f"{name} has {reason}"
        elif run > chains:
            notes.append(
                f"{name}: {run - chains} of {run} chains are left out, since "
                f"{grid.entries[none]} has no finite loss in them"
            )
    return excluded, notes


def measured_on(grid: Grid, tasks: Sequence[Task], none: int) -> Measured:
    """Score every chain of the grid; ``none`` is the index of the entry that scores 0."""
    floor, gap, log_loss = (
        np.array([getattr(task, what) for task in tasks])[:, None] for what in CALIBRATED
    )
    live = grid.done[none]
    done, failed = grid.done & live, grid.failed & live
    skips = grid.state == Code.SKIPPED
    skipped = skips.any(-1) & (skips | (grid.state == Code.ABSENT)).all(-1)
    known = done | failed | (skipped[..., None] & live)
    over, broken = (
        ((grid.state == code) & live).any(-1) for code in (Code.OVER_BUDGET, Code.BROKEN)
    )
    whole = (known | ~live).all(-1)
    status = np.select(
        [skipped, whole, over, broken],
        [Status.SKIPPED.value, Status.DONE.value, Status.OVER_BUDGET.value, "re-run"],
        "incomplete",
    )

    a = log_of_loss(np.where(done, grid.loss, np.nan), floor, log_loss)
    a = np.where(failed, a[none] - WORST * gap, np.where(skipped[..., None], a[none], a))
    s = np.where(failed, WORST, np.maximum((a[none] - a) / gap, WORST))
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
        s,
        np.stack([gap[:, 0], gap[:, 0]]),
    )


def nothing_to_avert(task: Task, chains: int) -> str | None:
    """Why a task is not scored with this many planned chains; None if it is (rule 2)."""
    se = task.gap_sd / math.sqrt(chains)
    figures = (
        f"nothing to avert: the gap between none and nature is {task.gap:.3g} nats, with a "
        f"standard error of {se:.2g} at {chains} chains"
    )
    if not task.gap >= LEAST_GAP:
        return f"{figures}; a task needs log 1.05 = {LEAST_GAP:.3g} nats or more"
    if not task.gap >= LEAST_GAP_ERRORS * se:
        return (
            f"{figures}; that is {task.gap / se:.2f} standard errors, and a task needs "
            f"{LEAST_GAP_ERRORS:g} or more"
        )
    return None
