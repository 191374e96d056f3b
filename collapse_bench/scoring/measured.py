"""What the chains of a board measured: the score of each chain, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .rules import Array, Mask, mean_where, ratio_where
from .stats import t_critical
from .task import Task


@dataclass(frozen=True)
class Measured:
    """The score of every chain (rules 1 to 3)."""

    entries: tuple[str, ...]  # N
    tasks: tuple[Task, ...]  # K
    names: tuple[str, ...]  # K
    seeds: tuple[int, ...]  # C
    none: int  # index of the entry `none`
    live: Mask  # (K, C) the chains that count
    failed: Mask  # (N, K, C)
    skipped: Mask  # (N, K) the entry does not fit the task
    known: Mask  # (N, K, C) chains that have a score
    status: NDArray[np.str_]  # (N, K) done, skipped, refused, over-budget, re-run, incomplete
    a: Array  # (N, K, C) nats; for a failed chain the value as which it counts
    s: Array  # (N, K, C), NaN if not known
    units: Array  # (2, K) nats: of a mean that is worse than none's, and of one that is not

    @cached_property
    def stretch(self) -> Array:
        """Factors (2, N, K) on the deviations of s, for the lower and the upper end of an interval.

        A mean near 0 changes its unit within its own 95 % interval.  The factor is the slope of the
        score from the mean to the end of that interval, over its slope at the mean; 1 elsewhere.
        """
        harm, gap = self.units
        unit = np.where(self.s_k < 0, harm, gap)
        n = self.known.sum(-1)
        squares = np.where(self.known, (self.s - self.s_k[..., None]) ** 2, 0.0).sum(-1)
        se = np.sqrt(ratio_where(squares, n * (n - 1), n > 1, 0.0))
        reach = t_critical(np.maximum(n - 1, 1)) * se * unit  # nats
        ends = self.s_k * unit + np.array([-1, 1])[:, None, None] * reach
        moved = np.abs(np.where(ends < 0, ends / harm, ends / gap) - self.s_k)
        return ratio_where(moved * unit, reach, reach > 0, 1.0)

    @cached_property
    def chains(self) -> NDArray[np.int64]:
        """R_k (K,), the number of chains that count."""
        return np.asarray(self.live.sum(-1))

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """Chains of each entry that have a loss or failed (N, K); 0 where skipped."""
        return np.where(self.skipped, 0, self.known.sum(-1))

    @cached_property
    def s_k(self) -> Array:
        """S_k (N, K), the mean over the chains that have a score."""
        return mean_where(self.s, self.known)
