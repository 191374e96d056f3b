"""The control real-only: a model trained only on as many real rows as an entry used."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from ..records.manifest import ManifestTask
from ..status import Status
from .render import named_rows

#: task -> rows -> seed -> loss: the learning curve of real-only, chain by chain
Curves = Mapping[str, Mapping[int, Mapping[int, float]]]
#: name of the control of an entry: this, followed by the name of the entry
REAL_ONLY = "real-only @ "


def _curve(points: Mapping[int, Mapping[int, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The learning curve of one chain: log of the number of rows, log of the loss."""
    sizes = [m for m in sorted(points) if seed in points[m] and points[m][seed] > 0]
    return np.log(sizes), np.log([points[m][seed] for m in sizes])


def real_only(
    losses: pd.DataFrame,
    usage: pd.DataFrame,
    curves: Curves,
    tasks: Mapping[str, ManifestTask],
    beyond: set[str],
    controls: Collection[str] = (),
) -> pd.DataFrame:
    """Losses of the real-only control of every entry, with the columns of ``losses``.

    Each is the learning curve at the number of unique real rows in the ledger of the entry.
    Entries that used more than the measured curve covers are added to ``beyond``.  ``controls``
    have no control of their own.
    """
    rows: list[dict[str, Any]] = []
    spent = {} if usage.empty else usage.set_index(["task", "entry", "seed"]).real_unique.to_dict()
    for chain, m in spent.items():
        task, entry, seed = cast(tuple[str, str, int], chain)
        if entry in ("none", "nature") or task not in curves:
            continue
        sizes, values = _curve(curves[task], seed)
        if len(sizes) < 2:
            continue
        if tasks[task].log_loss:
            values = np.exp(values)  # losses in nats are interpolated without the logarithm
        if not sizes[0] - 1e-9 <= math.log(max(m, 1)) <= sizes[-1] + 1e-9:
            # The curve is never extrapolated; without all its chains the control has no score.
            # A chain that failed early has drawn fewer rows than any fit reads.
            if math.log(max(m, 1)) > sizes[-1]:
                beyond.add(entry)
            continue
        at = float(np.interp(math.log(max(m, 1)), sizes, values))
        loss = at if tasks[task].log_loss else math.exp(at)
        rows.append(
            {
                "task": task,
                "entry": REAL_ONLY + entry,
                "seed": seed,
                "loss": loss,
                "status": Status.DONE.value,
            }
        )
    skipped = losses[(losses.status == Status.SKIPPED.value) & ~losses.entry.isin(controls)]
    for task, entry in named_rows(skipped[["task", "entry"]].drop_duplicates()):
        rows.append(
            {
                "task": task,
                "entry": REAL_ONLY + entry,
                "seed": None,
                "loss": math.nan,
                "status": Status.SKIPPED.value,
            }
        )
    return pd.DataFrame(rows, columns=losses.columns).astype({"loss": float})
