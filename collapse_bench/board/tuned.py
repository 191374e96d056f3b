"""The tuned row of a method: on each task, the configuration that was picked for its family."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from ..records.tuning import Tuned
from ..scoring.task import Task
from ..scoring.tuning import HINDSIGHT, TUNED, Tunings, in_hindsight, tuned


def usable(choices: Sequence[Tuned], entries: Collection[str]) -> tuple[list[Tuned], list[str]]:
    """The choices for methods among ``entries``, and a sentence for each that lacks its picks."""
    known = [choice for choice in choices if choice.method in entries]
    lost = {
        choice.method: sorted(set(choice.picks.values()) - set(entries))
        for choice in known
        if set(choice.picks.values()) - set(entries)
    }
    notes = [
        f"{method} has no tuned row, since the configuration that was picked is not there: "
        f"{', '.join(names)}"
        for method, names in lost.items()
    ]
    return [choice for choice in known if choice.method not in lost], notes


def tunings_of(choices: Sequence[Tuned], entries: Sequence[str]) -> Tunings:
    """method -> its configurations, of the methods whose default row is among ``entries``."""
    known = set(entries)
    return {
        choice.method: [name for name in choice.entries if name in known]
        for choice in choices
        if choice.method in known
    }


def picked(choices: Sequence[Tuned], tasks: Mapping[str, Task]) -> dict[tuple[str, str], str]:
    """(method, task) -> the configuration of its tuned row there."""
    return {
        (choice.method, name): choice.picks.get(task.family, choice.method)
        for choice in choices
        for name, task in tasks.items()
    }


def with_tuned(
    losses: pd.DataFrame, tasks: Mapping[str, Task], choices: Sequence[Tuned]
) -> tuple[pd.DataFrame, list[str]]:
    """The losses with those of the tuned rows and of the best in hindsight; and which rows are then
    not ranked: the configurations, and what was chosen on the exam itself."""
    tunings = tunings_of(choices, list(losses.entry.unique()))
    if not tunings:
        return losses, []
    rows = [(c.method, family, entry) for c in choices for family, entry in c.picks.items()]
    chosen = pd.DataFrame(rows, columns=["method", "family", "entry"])
    own = losses[losses.task.isin(list(tasks))]
    pieces = [losses, tuned(own, tasks, tunings, chosen), in_hindsight(own, tasks, tunings)]
    unranked = [name for names in tunings.values() for name in names]
    unranked += [f"{method} {HINDSIGHT}" for method in tunings]
    return pd.concat(pieces, ignore_index=True), unranked


def usage_of_tuned(
    usage: pd.DataFrame, tasks: Mapping[str, Task], choices: Sequence[Tuned]
) -> pd.DataFrame:
    """The usage with that of the tuned rows; each of their chains pays its share of the fits of the
    choice."""
    pieces = [usage]
    for choice in choices:
        at = picked([choice], tasks)
        wanted = usage.task.map({task: entry for (_, task), entry in at.items()})
        rows = usage[usage.entry == wanted]
        if len(rows):
            share = choice.fits / len(rows)
            name = f"{choice.method} {TUNED}"
            pieces.append(rows.assign(entry=name, fits=rows.fits + share))
    return pd.concat(pieces, ignore_index=True)
