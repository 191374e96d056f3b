"""Weighted means over tasks with their standard errors, from the scores of chains."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from ..status import Status
from .measured import Measured
from .rules import FOR_INTERVAL, FOR_TIER, REFUSED, SAME, Array, Mask, ratio_where
from .stats import welch

Rows = Sequence[int] | NDArray[np.intp]  # indices of rows


@dataclass(frozen=True)
class Sums:
    """A weighted mean over tasks, and the deviation of each chain from it (rule 5)."""

    mean: Array  # (N,) sum of w_k S_k
    # (N, P) one per (block, seed), scaled so that the squares add up to the variance of the mean
    deviations: Array
    # (P, G) 0/1: the chains of a group ran the same tasks of one block and share a variance
    group: Array
    df: Array  # (G,) degrees of freedom of each group
    # (2, N, P) the deviations as they count at the lower and the upper end of an interval
    stretched: Array

    def standard_error(self, deviations: Array) -> tuple[Array, Array]:
        """Standard error (...) and Welch's degrees of freedom (...) of deviations (..., P)."""
        variance, df = welch(deviations**2 @ self.group, self.df)
        return np.sqrt(variance), df

    def difference(self, rows: Rows, others: Rows) -> tuple[Array, Array, Array]:
        """Rows minus others, paired by chain: difference, standard error and df, (M,) each.

        Either side may be a single row, which is compared with all of the other side.
        """
        return self.mean[rows] - self.mean[others], *self.standard_error(
            self.deviations[rows] - self.deviations[others]
        )


def sums_of(measured: Measured, part: Sequence[int], weight: Array) -> Sums:
    """The weighted mean over the tasks ``part``, with ``weight (K,)``.

    If all tasks of block b run on the same R_b seeds, this is rule 5: V = sum over b of
    var(h_b) / R_b with h_bc = sum of w_k s_kc.  The deviation of chain c is
    (h_bc - mean) / sqrt(R_b (R_b - 1)), and the squares add up to V.  If seeds differ (one task
    ran longer, or `none` lost a chain), each task's share of a deviation is scaled with its own
    R_k, so that the covariance of two tasks is taken over the chains that they share.  With fewer
    than five chains the variance is NaN.
    """
    s, live, weight = measured.s[:, part], measured.live[part], weight[part]
    chains, mean = live.sum(-1), measured.s_k[:, part]
    enough = chains >= FOR_INTERVAL
    scale = np.where(enough, weight / np.sqrt(np.where(enough, chains * (chains - 1), 1)), np.nan)
    deviation = np.where(live, s - mean[..., None], 0.0) * scale[:, None]  # (N, K, C)
    stretch = measured.stretch[:, :, part]  # (2, N, K)
    deviations, stretched, serves = [], [], []
    for mine in blocks(measured, part).values():
        seeds = live[mine].any(0)
        own = deviation[:, mine][..., seeds]  # (N, K_b, P_b)
        deviations.append(own.sum(1))
        stretched.append(np.einsum("enk,nkp->enp", stretch[:, :, mine], own))
        serves.append((live & np.isin(np.arange(len(part)), mine)[:, None])[:, seeds].T)  # (P_b, K)
    kinds, which = np.unique(np.concatenate(serves), axis=0, return_inverse=True)
    group = np.eye(len(kinds))[which.ravel()]  # (P, G)
    # each mean over R chains takes one of their R degrees of freedom
    left = np.where(kinds, (chains - 1) / chains, 1.0).min(-1)
    whole = np.where(complete(measured)[:, part].all(-1), mean @ weight, np.nan)
    df = np.maximum(group.sum(0) * left, SAME)
    return Sums(whole, np.concatenate(deviations, -1), group, df, np.concatenate(stretched, -1))


def complete(measured: Measured) -> Mask:
    """Which tasks of an entry may enter a mean (N, K): only those without missing chains."""
    return np.isin(measured.status, (Status.DONE.value, Status.SKIPPED.value, REFUSED))


def blocks(measured: Measured, part: Sequence[int]) -> dict[str, list[int]]:
    """The tasks of each block, as indices into ``part``."""
    out: dict[str, list[int]] = {}
    for at, k in enumerate(part):
        out.setdefault(measured.tasks[k].block, []).append(at)
    return dict(sorted(out.items()))


def aggregated_tasks(measured: Measured, shown: Collection[str]) -> tuple[list[int], list[str]]:
    """The tasks that make up S, and notes on those that are shown by task only.

    Left out are families with too few chains (rule 7), and the tasks ``shown``, which are planned
    for only some entries.  The fewest chains that a family needs are the highest of 10, 5 and 1
    that some family reaches.  So a board of short runs still has scores, and a family with few
    chains does not keep the others from having tiers.
    """
    everyone = [k for k, name in enumerate(measured.names) if name not in shown] or list(
        range(len(measured.names))
    )
    fewest: dict[str, tuple[int, str]] = {}
    for k in everyone:
        task, name, n = measured.tasks[k], measured.names[k], int(measured.chains[k])
        fewest[task.family] = min(fewest.get(task.family, (n, name)), (n, name))
    most = max(n for n, _ in fewest.values())
    needed = max(n for n in (1, FOR_INTERVAL, FOR_TIER) if n <= most)
    notes = [
        f"family {family} is shown, not aggregated: {name} has {n} chain(s) and needs {needed}"
        for family, (n, name) in sorted(fewest.items())
        if n < needed
    ]
    if some := len(measured.names) - len(everyone):
        notes.append(
            f"{some} task(s) planned for only some entries are shown by task, not aggregated"
        )
    return [k for k in everyone if fewest[measured.tasks[k].family][0] >= needed], notes


def risk_scores(measured: Measured, ceiling: int | None) -> Array:
    """log(mean E_none / mean E_entry) / log(mean E_none / mean E_nature), (N, K) (rule 4).

    Means are taken before logarithms.  So if one chain in a hundred explodes, this score falls and
    S hardly changes.  E includes the floor r_k, so that a loss of 0 gives a finite score; it never
    changes the sign.  Losses in nats are averaged as perplexities.  A failed chain has the loss
    that it counts as in S.  NaN if ``nature`` (row ``ceiling``) is absent, or is no
    better than ``none`` in these chains.
    """
    if ceiling is None:
        return np.full(measured.a.shape[:2], np.nan)
    summed = logsumexp(np.where(measured.live, measured.a, -np.inf), axis=-1)
    level = summed - np.log(measured.chains)  # (N, K)
    gap = level[measured.none] - level[ceiling]
    return ratio_where(level[measured.none] - level, gap, gap > 0)


def t_statistic(difference: ArrayLike, se: ArrayLike) -> Array:
    """t (...); 0 for equal means, infinite if means differ and the standard error is 0."""
    difference, se = np.broadcast_arrays(np.asarray(difference, float), np.asarray(se, float))
    out = np.where(np.isnan(difference) | np.isnan(se), np.nan, np.copysign(np.inf, difference))
    np.divide(difference, se, out=out, where=se > 0)
    out[(np.abs(difference) <= SAME) & ~np.isnan(se)] = 0.0
    return out
