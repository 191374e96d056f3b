"""Scores of rows over the tasks that they fit, and of pairs over the tasks that both fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .measured import Measured
from .rules import Array, Mask
from .stats import t_critical, tukey_p
from .sums import Rows, Sums, sums_of, t_statistic
from .weights import Weighting

Indices = NDArray[np.intp]


class Efficacies:
    """What rows score on the tasks that they fit (rules 4 to 6).

    fits: (N, K), where a row takes part; a refused task is one of them.  All rows that fit the same
    tasks share one weighted mean, so that few of them are computed.
    """

    def __init__(self, measured: Measured, weighting: Weighting):
        self.measured, self.weighting = measured, weighting
        inside = np.isin(np.arange(len(measured.names)), weighting.part)
        self.fits: Mask = ~measured.skipped & inside
        self._known: dict[bytes, Sums] = {}

    def over(self, tasks: Mask) -> Sums:
        """The means of all rows over these tasks (K,); NaN for a row that misses one of them."""
        key = tasks.tobytes()
        if key not in self._known:
            part = np.flatnonzero(tasks).tolist()
            self._known[key] = sums_of(self.measured, part, self.weighting.of(tasks))
        return self._known[key]

    @cached_property
    def coverage(self) -> Array:
        """Share of the weight of the suite that each row fits, (N,)."""
        return self.weighting.coverage(self.fits)

    @cached_property
    def weights(self) -> Array:
        """w_k of each row (N, K)."""
        unique, which = np.unique(self.fits, axis=0, return_inverse=True)
        return np.stack([self.weighting.of(tasks) for tasks in unique])[which.ravel()]

    @cached_property
    def mean(self) -> Array:
        """S (N,), NaN for a row that fits no task or lacks chains."""
        return self._each(self.fits, lambda sums, rows: [sums.mean[rows]], 1)[0]

    @cached_property
    def spread(self) -> tuple[Array, Array]:
        """Standard error and degrees of freedom of S, (N,) each."""
        se, df = self._each(
            self.fits, lambda sums, rows: sums.standard_error(sums.deviations[rows]), 2
        )
        return se, df

    @cached_property
    def interval(self) -> tuple[Array, Array]:
        """The 95 % interval of S over chains, (N,) each; wider on the side of the smaller unit
        where a task near 0 has two units within its interval."""

        def ends(sums: Sums, rows: Indices) -> list[Array]:
            se, df = sums.standard_error(sums.stretched[:, rows])
            half = t_critical(df) * se
            return [sums.mean[rows] - half[0], sums.mean[rows] + half[1]]

        low, high = self._each(self.fits, ends, 2)
        return low, high

    def difference(self, rows: Rows, others: Rows) -> tuple[Array, Array, Array]:
        """Rows minus others on the tasks that both fit: difference, standard error, df, (M,) each.

        Paired by chain.  Either side may be a single row.  NaN for rows without a common task.
        """
        indices = np.asarray(rows, np.intp), np.asarray(others, np.intp)
        i, j = np.broadcast_arrays(*indices)
        difference, se, df = self._each(
            self.fits[i] & self.fits[j], lambda sums, at: sums.difference(i[at], j[at]), 3
        )
        return difference, se, df

    def _each(
        self, tasks: Mask, of: Callable[[Sums, Indices], Sequence[Array]], values: int
    ) -> list[Array]:
        """``of(sums, rows)`` for the rows of each set of tasks among ``tasks`` (M, K), put together
        again: ``values`` arrays (M,), NaN where the set is empty."""
        found = [np.full(len(tasks), np.nan) for _ in range(values)]
        if len(tasks):
            unique, which = np.unique(tasks, axis=0, return_inverse=True)
            for number in np.flatnonzero(unique.any(-1)):
                rows = np.flatnonzero(which.ravel() == number)
                for out, value in zip(found, of(self.over(unique[number]), rows), strict=True):
                    out[rows] = value
        return found

    def common(self, i: int, j: int) -> Mask:
        """The tasks (K,) that both rows fit."""
        return np.asarray(self.fits[i] & self.fits[j])

    def p(self, rows: Rows, others: Rows, size: int = 2) -> tuple[Array, Array]:
        """(difference, p), (M,) each, of pairs picked from ``size`` rows (Tukey; Student for 2)."""
        difference, se, df = self.difference(rows, others)
        return difference, tukey_p(t_statistic(difference, se), size, df)
