"""One pair of rows, compared chain by chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import UsageError
from .rules import ALPHA, Array, nearest
from .stats import t_critical, t_p
from .sums import Rows, t_statistic


@dataclass(frozen=True)
class Comparison:
    """Row ``a`` minus row ``b``: the difference of their scores, its 95 % interval, two-sided p."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    t: float
    df: float
    p: float

    @property
    def verdict(self) -> str:
        """Whether ``a`` beats ``b``: yes, no, or cannot tell."""
        return verdict_of(self.p, self.difference > 0)


class Means(Protocol):
    """Scores of rows, and their differences."""

    @property
    def mean(self) -> Array:
        """(N,) the score of each row, NaN where it has none."""

    def difference(self, rows: Rows, others: Rows) -> tuple[Array, Array, Array]:
        """Rows minus others: difference, standard error and degrees of freedom, (M,) each."""


def compared(entries: Sequence[str], means: Means, a: str, b: str) -> Comparison:
    """Row a against row b, by Student's t.

    Raises UsageError if there is no such row, if it has no score, or if no task fits both.
    """
    for name in (a, b):
        if name not in entries:
            raise UsageError(f"there is no row {name!r}{nearest(name, entries)}")
    i, j = entries.index(a), entries.index(b)
    for name, at in ((a, i), (b, j)):
        if np.isnan(means.mean[at]):
            raise UsageError(
                f"{name} has no score to compare, since some of its chains are missing, or it fits "
                "no task"
            )
    difference, se, df = (float(x[0]) for x in means.difference([i], [j]))
    if np.isnan(difference):
        raise UsageError(f"{a} and {b} cannot be compared, since they fit no task in common")
    t = float(t_statistic(difference, se))
    half = float(t_critical(df)) * se
    return Comparison(
        a, b, difference, difference - half, difference + half, t, df, float(t_p(t, df))
    )


def verdict_of(p: float, above: bool) -> str:
    """yes, no, or cannot tell: whether a row is better, given p and the sign of the difference."""
    return "cannot tell" if not p < ALPHA else "yes" if above else "no"
