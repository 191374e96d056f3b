"""Losses of chains as arrays, and the score of each chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import NothingMatched, UsageError
from ..status import Status
from .rules import (
    CALIBRATED,
    CODE,
    COLUMNS,
    WORST,
    Array,
    Code,
    Mask,
    mean_where,
)
from .task import Task, log_of_loss, nothing_to_avert


@dataclass(frozen=True)
class _Grid:
    """Loss and ending of every chain, by entry, task and seed."""

    entries: tuple[str, ...]  # N
    tasks: tuple[str, ...]  # K
    seeds: tuple[int, ...]  # C
    loss: Array  # (N, K, C), NaN if there is none
    state: NDArray[np.int8]  # (N, K, C)

    @property
    def done(self) -> Mask:
        """Chains with a finite loss (N, K, C)."""
        return np.asarray((self.state == Code.DONE) & np.isfinite(self.loss))

    @property
    def failed(self) -> Mask:
        """Chains that count -3 (N, K, C): failed, starved, or done without a finite loss."""
        not_finite = (self.state == Code.DONE) & ~np.isfinite(self.loss)
        return np.asarray((self.state == Code.FAILED) | not_finite)

    def only(self, kept: Sequence[int]) -> _Grid:
        """The grid of these tasks only."""
        tasks = tuple(self.tasks[k] for k in kept)
        return _Grid(self.entries, tasks, self.seeds, self.loss[:, kept], self.state[:, kept])


def checked(losses: pd.DataFrame) -> pd.DataFrame:
    """The losses, if they can be scored; else UsageError, or NothingMatched if there are none."""
    if missing := [name for name in COLUMNS if name not in losses]:
        raise UsageError(
            f"losses have no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}"
        )
    if losses.empty:
        raise NothingMatched("there are no losses to score")
    if unknown := sorted(set(losses["status"].unique()) - set(Status), key=str):
        raise UsageError(f"unknown status {unknown[0]!r}; possible are {', '.join(Status)}")
    twice = losses.duplicated(["task", "entry", "seed"])
    if twice.any():
        first = losses[twice].iloc[0]
        raise UsageError(
            f"{first['entry']} has two rows for seed {first['seed']} of {first['task']}; keep only "
            "the latest"
        )
    if ((losses["status"] == Status.DONE) & losses["seed"].isna()).any():
        raise UsageError("a row with status done has no seed; give every such row a seed")
    return losses


def grid_of(losses: pd.DataFrame, tasks: Sequence[str]) -> _Grid:
    """The losses of these tasks as arrays.

    A row without a seed sets the status of all chains of its entry and task without their own row.
    """
    entry, entries = pd.factorize(losses["entry"], sort=True)
    seed, seeds = pd.factorize(losses["seed"], sort=True)  # -1 if a row has no seed
    task = pd.Index(tasks).get_indexer(pd.Index(losses["task"]))
    code = losses["status"].map(CODE).to_numpy(np.int8)
    value = pd.to_numeric(losses["loss"]).to_numpy(float, na_value=np.nan)
    shape = len(entries), len(tasks), max(len(seeds), 1)
    loss, state = np.full(shape, np.nan), np.full(shape, Code.ABSENT, np.int8)
    one, whole = (seed >= 0) & (task >= 0), (seed < 0) & (task >= 0)
    loss[entry[one], task[one], seed[one]] = value[one]
    state[entry[one], task[one], seed[one]] = code[one]
    for n, k, c in zip(entry[whole], task[whole], code[whole], strict=True):
        state[n, k, state[n, k] == Code.ABSENT] = c
    return _Grid(tuple(entries), tuple(tasks), tuple(seeds), loss, state)


def taking_part(
    losses: pd.DataFrame, grid: _Grid, tasks: Mapping[str, Task], none: int, planned: int | None
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


@dataclass(frozen=True)
class Measured:
    """The score of every chain (rules 1 and 3).

    Only chains in which ``none`` has a finite loss count.
    """

    entries: tuple[str, ...]  # N
    tasks: tuple[Task, ...]  # K
    names: tuple[str, ...]  # K
    seeds: tuple[int, ...]  # C
    none: int  # index of the entry `none`
    live: Mask  # (K, C) the chains that count
    failed: Mask  # (N, K, C)
    skipped: Mask  # (N, K)
    known: Mask  # (N, K, C) chains that have a score
    status: NDArray[np.str_]  # (N, K) done, skipped, over-budget, re-run, incomplete
    a: Array  # (N, K, C) nats; for a failed chain the value that gives a score of -3
    s: Array  # (N, K, C), NaN if not known

    @cached_property
    def chains(self) -> NDArray[np.int64]:
        """R_k (K,), the number of chains that count."""
        return np.asarray(self.live.sum(-1))

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """Chains of each entry that have a loss or failed (N, K); 0 where skipped."""
        return np.where(self.skipped, 0, self.known.sum(-1))

    @cached_property
    def s_k(self) -> Array:
        """S_k (N, K), the mean over the chains that have a score."""
        return mean_where(self.s, self.known)


def measured_on(grid: _Grid, tasks: Sequence[Task], none: int) -> Measured:
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
    )
