"""Losses of chains as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import NothingMatched, UsageError
from ..status import Status
from .rules import CODE, COLUMNS, Array, Code, Mask


@dataclass(frozen=True)
class Grid:
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
        """Chains (N, K, C) that failed, starved, or are done without a finite loss."""
        not_finite = (self.state == Code.DONE) & ~np.isfinite(self.loss)
        return np.asarray((self.state == Code.FAILED) | not_finite)

    def only(self, kept: Sequence[int]) -> Grid:
        """The grid of these tasks only."""
        tasks = tuple(self.tasks[k] for k in kept)
        return Grid(self.entries, tasks, self.seeds, self.loss[:, kept], self.state[:, kept])


def checked(losses: pd.DataFrame) -> pd.DataFrame:
    """The losses, if they can be scored; else UsageError, or NothingMatched if there are none."""
    if missing := [name for name in COLUMNS if name not in losses]:
        raise UsageError(
            f"losses have no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}"
        )
    if losses.empty:
        raise NothingMatched("there are no losses to score")
    if unknown := sorted(set(losses["status"].unique()) - set(CODE), key=str):
        raise UsageError(f"unknown status {unknown[0]!r}; possible are {', '.join(CODE)}")
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


def grid_of(losses: pd.DataFrame, tasks: Sequence[str]) -> Grid:
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
    return Grid(tuple(entries), tuple(tasks), tuple(seeds), loss, state)
