"""One pair of rows, by family and by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from .comparison import Comparison, compared
from .efficacy import Efficacies
from .score import Scores
from .stats import holm
from .weights import Weighting

COLUMNS = ["a", "b", "difference", "low", "high", "p", "p_holm"]


def common_tasks(scores: Scores, a: str, b: str) -> list[str]:
    """The tasks that enter the comparison of two rows, in the order of the board."""
    names = list(scores.entries)
    both = scores.efficacy.common(names.index(a), names.index(b))
    return [scores.efficacy.measured.names[k] for k in np.flatnonzero(both)]


def by_family(scores: Scores, a: str, b: str) -> pd.DataFrame:
    """Row a minus row b within each family that both fit.

    Columns: family; tasks, how many both fit; a and b, their scores on these; difference, its 95 %
    interval low to high and p (Student, paired by chain); p_holm, for all families together.
    """
    measured = scores.efficacy.measured
    groups: dict[str, list[int]] = {}
    for k in _common(scores, a, b):
        groups.setdefault(measured.tasks[k].family, []).append(k)
    table = _table(scores, a, b, dict(sorted(groups.items())))
    table.insert(0, "tasks", [len(groups[family]) for family in table.index])
    return table.rename_axis("family").reset_index()


def by_task(scores: Scores, a: str, b: str) -> pd.DataFrame:
    """Row a minus row b on each task that both fit; columns as ``by_family``, with task first."""
    measured = scores.efficacy.measured
    groups = {measured.names[k]: [k] for k in _common(scores, a, b)}
    table = _table(scores, a, b, groups)
    table.insert(0, "family", [measured.tasks[k].family for [k] in groups.values()])
    return table.rename_axis("task").reset_index()


def _common(scores: Scores, a: str, b: str) -> list[int]:
    names = list(scores.entries)
    return [*map(int, np.flatnonzero(scores.efficacy.common(names.index(a), names.index(b))))]


def _table(scores: Scores, a: str, b: str, groups: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    measured = scores.efficacy.measured
    names = list(scores.entries)
    i, j = names.index(a), names.index(b)
    rows = []
    for part in groups.values():
        efficacy = Efficacies(measured, Weighting(["one"] * len(measured.names), part))
        pair = compared(scores.entries, efficacy, a, b)
        means = efficacy.over(efficacy.common(i, j)).mean
        rows.append((float(means[i]), float(means[j]), *_numbers(pair)))
    table = pd.DataFrame(rows, list(groups), COLUMNS[:-1])
    table["p_holm"] = holm(table.p.to_numpy(float)) if len(table) else table.p
    return table


def _numbers(pair: Comparison) -> Iterable[float]:
    return pair.difference, pair.low, pair.high, pair.p
