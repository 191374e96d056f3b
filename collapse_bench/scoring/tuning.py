"""Choose a configuration of a method for each family, on chains that no board ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..status import Status
from .grid import checked
from .rules import REFUSED
from .score import score
from .task import Task

MOST_TUNINGS = 4  #: configurations of one method; the first is its default
TUNED, HINDSIGHT = "(tuned)", "(best in hindsight)"  #: added to the name of a method

#: method -> its configurations, by the names of their rows; the first is the default
Tunings = Mapping[str, Sequence[str]]


def picks(
    losses: pd.DataFrame,
    tasks: Mapping[str, Task],
    tunings: Tunings,
    planned: int | None = None,
) -> pd.DataFrame:
    """The configuration of each method with the highest score in each family.

    losses and planned: as for ``score``, of all configurations on the calibration seeds.  Returns
    columns method, family, entry (the configuration), S and chains.  The earlier one wins a tie, so
    that the default stays where nothing is better.  A family that no configuration fits, or whose
    chains are not complete, has no row.

    Raises UsageError for more than four configurations or none, and what ``score`` raises.
    """
    for method, names in tunings.items():
        if not 1 <= len(names) <= MOST_TUNINGS:
            raise UsageError(
                f"{method} has {len(names)} tunings; a method may have 1 to {MOST_TUNINGS}, of "
                "which the first is its default"
            )
    table = score(losses, tasks, planned=planned).per_family
    places = [*zip(table.entry, table.family, strict=True)]
    found = dict(zip(places, table.S.astype(float), strict=True))
    chains = dict(zip(places, table.chains, strict=True))
    rows = []
    for method, names in tunings.items():
        for name in sorted({task.family for task in tasks.values()}):
            known = [e for e in names if np.isfinite(found.get((e, name), np.nan))]
            if known:
                best = known[int(np.argmax([found[e, name] for e in known]))]  # the first of equals
                rows.append((method, name, best, found[best, name], chains[best, name]))
    return pd.DataFrame(rows, columns=["method", "family", "entry", "S", "chains"])


def tuned(
    losses: pd.DataFrame,
    tasks: Mapping[str, Task],
    tunings: Tunings,
    chosen: pd.DataFrame,
    suffix: str = TUNED,
) -> pd.DataFrame:
    """Rows of losses of ``<method> (tuned)`` and the like: on each task, those of the configuration
    picked for its family; the default's where none was picked.

    losses: those of the exam.  chosen: what ``picks`` returned.
    """
    losses = checked(losses)
    picked = dict(zip(zip(chosen.method, chosen.family, strict=True), chosen.entry, strict=True))
    family = {name: task.family for name, task in tasks.items()}
    pieces, places = [losses.iloc[:0]], losses.task.unique()
    for method, names in tunings.items():
        at = {task: picked.get((method, family.get(task)), names[0]) for task in places}
        entry = losses.task.map(at)
        pieces.append(losses[losses.entry == entry].assign(entry=f"{method} {suffix}"))
    return pd.concat(pieces, ignore_index=True)


def in_hindsight(losses: pd.DataFrame, tasks: Mapping[str, Task], tunings: Tunings) -> pd.DataFrame:
    """Rows of losses of ``<method> (best in hindsight)``, picked on the exam itself.

    It is an upper limit of what tuning could reach, and never ranked.
    """
    return tuned(losses, tasks, tunings, picks(losses, tasks, tunings), HINDSIGHT)


def tuning_fits(usage: pd.DataFrame, tunings: Tunings) -> dict[str, float]:
    """method -> the fits that its choice took: those of all chains of all its configurations.

    usage: columns entry and fits, one row per chain that was run to choose.  A method with one
    configuration has nothing to choose and is charged nothing.
    """
    total = usage.groupby("entry").fits.sum()
    return {
        method: float(sum(total.get(entry, 0.0) for entry in names)) if len(names) > 1 else 0.0
        for method, names in tunings.items()
    }


def complete(losses: pd.DataFrame, tunings: Tunings) -> list[str]:
    """One sentence for each configuration that has chains without an end of its own.

    A choice among configurations is fair only if all of them ran on the same chains.
    """
    ended = losses[losses.status.isin([Status.DONE, Status.FAILED, Status.STARVED])]
    chains = ended.groupby(["task", "entry"]).seed.nunique()
    unfit = losses[losses.status.isin([Status.SKIPPED, REFUSED])]
    skipped = set(zip(unfit.task, unfit.entry, strict=True))
    most = chains.groupby(level="task").max()
    return [
        f"{entry} has {chains.get((task, entry), 0)} of {most[task]} chains on {task}, so that it "
        "cannot be chosen there fairly; run it again"
        for names in tunings.values()
        for entry in names
        for task in most.index
        if (task, entry) not in skipped and chains.get((task, entry), 0) < most[task]
    ]
