"""Losses that earn planted scores, for the tests of the score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from collapse_bench.scoring.task import Task

GAP, HARM, FLOOR = 2.0, 1.0, 1e-3  # G_k and A_k in nats, r_k


def suite(
    *families: str,
    gap: float = GAP,
    harm: float = HARM,
    sd: float = 1.0,
    block: str | None = "all",
) -> dict[str, Task]:
    """One task per family named, t0, t1, ...; a block of its own each with block=None."""
    return {
        f"t{k:02d}": Task(f"t{k:02d}", f, FLOOR, gap, sd, harm, 0.1 * harm, block=block or f"b{k}")
        for k, f in enumerate(families)
    }


def frame(
    changes: dict[str, np.ndarray], tasks: dict[str, Task], none: np.ndarray | float = 0.0
) -> pd.DataFrame:
    """Losses with these changes a_none - a (K, C) in nats; a_trivial is a_none + A_k."""
    shape = next(iter(changes.values())).shape
    harm = np.array([task.harm for task in tasks.values()])[:, None]
    known = {"none": np.zeros(shape), "trivial": np.broadcast_to(-harm, shape), **changes}
    a = np.stack([none - change for change in known.values()])  # (N, K, C)
    index = pd.MultiIndex.from_product(
        [known, tasks, range(shape[-1])], names=["entry", "task", "seed"]
    )
    return pd.DataFrame({"loss": np.exp(a).ravel() - FLOOR, "status": "done"}, index).reset_index()


def mark(
    losses: pd.DataFrame, status: str, entry: str, task: str | None = None, seeds=None
) -> pd.DataFrame:
    """The same losses with some chains of one entry in another status, and without their loss."""
    where = losses["entry"] == entry
    where &= True if task is None else losses["task"] == task
    where &= True if seeds is None else losses["seed"].isin(seeds)
    return losses.assign(
        status=losses["status"].mask(where, status), loss=losses["loss"].mask(where)
    )


def row(scores, entry: str) -> pd.Series:
    return scores.rows.set_index("entry").loc[entry]


def on(scores, entry: str, task: str) -> pd.Series:
    return scores.per_task.set_index(["entry", "task"]).loc[(entry, task)]
