"""What an entry used: rows, calls and seconds, per task and per entry."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from ..records.manifest import ManifestEntry, ManifestTask
from ..records.record import Record
from ..scoring.rules import REFUSED
from ..status import Status

#: task -> rows -> seed -> loss: the learning curve of real-only, chain by chain
Curves = Mapping[str, Mapping[int, Mapping[int, float]]]
COST = (
    *("real_rows", "real_unique", "verifier_calls", "provenance_lookups", "generated_rows"),
    "fits",
)


def usage_of(record: Record, entry: ManifestEntry, chains: list[int]) -> list[dict[str, Any]]:
    """One row per chain with what it used: rows, calls, seconds."""
    at = {seed: i for i, seed in enumerate(record.seeds)}
    sizes = (record.metric == "effective_size") & (record.generation == entry.horizon)
    size = dict(zip(record.seed[sizes].tolist(), record.value[sizes].tolist(), strict=True))
    per_chain = sum(run.get("seconds", 0.0) for run in record.runs) / max(1, len(record.seeds))
    return [
        {
            "task": entry.task,
            "entry": entry.name,
            "seed": seed,
            "lesson": size.get(seed, math.nan) / entry.rows,
            "seconds": per_chain,
            "machine": record.facts.published or "this one",
            **{what: record.facts.ledger.get(what, [0] * len(at))[at[seed]] for what in COST},
            "real_share": record.facts.ledger.get("real_unique_by_methods", [0] * len(at))[at[seed]]
            / (entry.rows * (entry.horizon + 1)),
            **{
                f"own_{what}": record.facts.ledger.get(f"{what}_by_methods", [0] * len(at))[
                    at[seed]
                ]
                for what in COST
            },
        }
        for seed in chains
    ]


def _cost(usage: pd.DataFrame) -> pd.Series[float]:
    """Seconds per chain as a multiple of those of `none`, geometric mean over tasks.

    NaN if one of the two ran here and the other comes from published records, since the times of
    two machines cannot be compared.
    """
    by_task = usage.groupby(["entry", "task"]).agg({"seconds": "mean", "machine": "first"})
    seconds, machine = by_task.seconds.unstack("task"), by_task.machine.unstack("task")
    if "none" not in seconds.index:
        return pd.Series(dtype=float)
    comparable = (seconds / seconds.loc["none"]).where(machine == machine.loc["none"])
    logs = cast(
        pd.DataFrame, np.log(comparable.where(comparable > 0))
    )  # the stubs call it an array
    return cast("pd.Series[float]", np.exp(logs.mean(axis=1)))


def usage_by_entry(
    usage: pd.DataFrame, losses: pd.DataFrame, curves: Curves, tasks: Mapping[str, ManifestTask]
) -> pd.DataFrame:
    """One row per entry: what it used, averaged over chains and tasks.

    ``effective_real`` is n_e / n, geometric mean over tasks.  n_e is the number of real rows at
    which the mean learning curve of real-only has the mean log loss of the entry.  Beyond the
    measured curve, its end is used.
    """
    if usage.empty:
        return usage
    out = usage.drop(columns=["task", "seed", "machine"]).groupby("entry").mean()
    out["cost"] = _cost(usage)
    ratios: dict[str, list[float]] = defaultdict(list)
    for names, piece in losses[~losses.status.isin([Status.SKIPPED.value, REFUSED])].groupby(
        ["task", "entry"]
    ):
        task, entry = map(str, names)
        curve = curves.get(task, {})
        sizes = [m for m in sorted(curve) if curve[m]]
        if len(sizes) < 2 or entry not in out.index:
            continue

        def logs(values, nats=tasks[task].log_loss):
            return np.asarray(values, float) if nats else np.log(np.maximum(values, 1e-300))

        mean = np.minimum.accumulate([logs(list(curve[m].values())).mean() for m in sizes])
        whole = (piece.status == Status.DONE.value).all() and np.isfinite(piece.loss).all()
        # with a failed chain, n_e is the lower end of the curve
        reached = logs(piece.loss).mean() if whole else math.inf
        ratios[entry].append(np.interp(-reached, -mean, np.log(sizes)) - math.log(tasks[task].rows))
    out["effective_real"] = pd.Series(
        {entry: math.exp(np.mean(values)) for entry, values in ratios.items()}
    )
    return out
