"""Losses of chains as arrays, and what is measured of each."""

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
    """Every chain in its place."""

    entries: tuple[str, ...]  # N
    tasks: tuple[str, ...]  # K
    seeds: tuple[int, ...]  # C
    loss: Array  # (N, K, C), NaN where there is none
    state: NDArray[np.int8]  # (N, K, C)

    @property
    def done(self) -> Mask:
        """Chains with a finite loss (N, K, C)."""
        return np.asarray((self.state == Code.DONE) & np.isfinite(self.loss))

    @property
    def failed(self) -> Mask:
        """Chains that are -3: failed, starved, or finished without a finite loss (N, K, C)."""
        endless = (self.state == Code.DONE) & ~np.isfinite(self.loss)
        return np.asarray((self.state == Code.FAILED) | endless)

    def only(self, kept: Sequence[int]) -> _Grid:
        """These tasks."""
        tasks = tuple(self.tasks[k] for k in kept)
        return _Grid(self.entries, tasks, self.seeds, self.loss[:, kept], self.state[:, kept])


def checked(losses: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in COLUMNS if name not in losses]:
        raise UsageError(
            f"losses lack the column(s) {', '.join(missing)}; they need {', '.join(COLUMNS)}"
        )
    if losses.empty:
        raise NothingMatched("there are no losses to score")
    if unknown := sorted(set(losses["status"].unique()) - set(Status), key=str):
        raise UsageError(f"no chain has the status {unknown[0]!r}; they are {', '.join(Status)}")
    twice = losses.duplicated(["task", "entry", "seed"])
    if twice.any():
        first = losses[twice].iloc[0]
        raise UsageError(
            f"{first['entry']} has two rows for seed {first['seed']} of {first['task']}; keep the latest"
        )
    if ((losses["status"] == Status.DONE) & losses["seed"].isna()).any():
        raise UsageError("a chain that is done names its seed")
    return losses


def grid_of(losses: pd.DataFrame, tasks: Sequence[str]) -> _Grid:
    entry, entries = pd.factorize(losses["entry"], sort=True)
    seed, seeds = pd.factorize(losses["seed"], sort=True)  # -1 where a row names none
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
    """Why tasks take no part, task -> sentence, and notes on chains that do not (rule 2)."""
    excluded = {
        name: f"{name} has no calibration: `collapse-bench suite calibrate` measures its gap and its floor"
        for name in sorted(set(losses["task"].unique()) - set(tasks))
    }
    notes = []
    for k, name in enumerate(grid.tasks):
        run = int((grid.state[:, k] != Code.ABSENT).any(0).sum())
        chains = int(grid.done[none, k].sum())
        if not run:
            excluded[name] = f"{name} has not been run"
        elif not chains:
            excluded[name] = f"{name} has no chain in which {grid.entries[none]} has a finite loss"
        elif reason := nothing_to_avert(tasks[name], planned or chains):
            excluded[name] = f"{name} has {reason}"
        elif run > chains:
            notes.append(
                f"{name}: {run - chains} of {run} chains have no finite loss of {grid.entries[none]}; left out"
            )
    return excluded, notes


@dataclass(frozen=True)
class Measured:
    """Every chain scored (rules 1 and 3).  What counts are the chains in which ``none`` has a finite loss."""

    entries: tuple[str, ...]  # N
    tasks: tuple[Task, ...]  # K
    names: tuple[str, ...]  # K
    seeds: tuple[int, ...]  # C
    none: int  # which entry
    live: Mask  # (K, C) the chains that count
    failed: Mask  # (N, K, C)
    skipped: Mask  # (N, K)
    known: Mask  # (N, K, C) has a score
    status: NDArray[np.str_]  # (N, K) done, skipped, over-budget, re-run, incomplete
    a: Array  # (N, K, C) nats; of a failed chain the one that -3 stands for
    s: Array  # (N, K, C), NaN where not known

    @cached_property
    def chains(self) -> NDArray[np.int64]:
        """R_k (K,)."""
        return np.asarray(self.live.sum(-1))

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """Chains of each entry that have a loss or failed (N, K); 0 where skipped."""
        return np.where(self.skipped, 0, self.known.sum(-1))

    @cached_property
    def s_k(self) -> Array:
        """S_k (N, K), over the chains there are."""
        return mean_where(self.s, self.known)


def measured_on(grid: _Grid, tasks: Sequence[Task], none: int) -> Measured:
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
