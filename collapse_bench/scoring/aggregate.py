"""Means over chains, tasks and families, with their standard errors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from ..status import Status
from .chains import Measured
from .rules import FOR_INTERVAL, FOR_TIER, SAME, Array, Mask, ratio_where
from .stats import tukey_p, welch

Rows = Sequence[int] | NDArray[np.intp]  # places of rows


@dataclass(frozen=True)
class Sums:
    """A weighted mean over tasks, and how far each chain pulls it (rule 5)."""

    mean: Array  # (N,) sum of w_k S_k
    pulls: Array  # (N, P) one per (block, seed); their squares add up to the variance of the mean
    group: Array  # (P, G) 0/1: chains that serve the same tasks of one block vary alike
    df: Array  # (G,)

    def mean_and_factor(self, pulls: Array) -> tuple[Array, Array]:
        """Standard error and Welch's degrees of freedom (...) of pulls (..., P)."""
        variance, df = welch(pulls**2 @ self.group, self.df)
        return np.sqrt(variance), df

    def difference(self, rows: Rows, others: Rows) -> tuple[Array, Array, Array]:
        """Rows less others, pair by pair or one to many: difference, standard error, df (M,), chain by chain."""
        return self.mean[rows] - self.mean[others], *self.mean_and_factor(
            self.pulls[rows] - self.pulls[others]
        )

    def p(self, these: Rows, others: Rows, rows: int = 2) -> Array:
        """p (M,) of such pairs: picked from among ``rows`` rows (Tukey), or a pair by itself (Student) (rule 6)."""
        difference, se, df = self.difference(these, others)
        return tukey_p(t_statistic(difference, se), rows, df)


def sums_of(held: Measured, part: Sequence[int], weight: Array) -> Sums:
    """Add up the tasks of ``part`` with ``weight (K,)``.

    Where all tasks of block b run on the same R_b seeds this is rule 5 to the letter, V = sum over b of var(h_b) / R_b
    with h_bc = sum of w_k s_kc: chain c pulls by (h_bc - mean) / sqrt(R_b (R_b - 1)), and the squares add up.  Where
    seeds differ (one task ran longer, doing nothing lost a chain), each task's share of a pull takes that task's own
    R_k, so that a covariance is counted over the chains that two tasks share, and over no other.  Below five chains
    there is no spread to speak of: NaN.
    """
    s, live, weight = held.s[:, part], held.live[part], weight[part]
    chains, mean = live.sum(-1), held.s_k[:, part]
    enough = chains >= FOR_INTERVAL
    scale = np.where(enough, weight / np.sqrt(np.where(enough, chains * (chains - 1), 1)), np.nan)
    pull = np.where(live, s - mean[..., None], 0.0) * scale[:, None]  # (N, K, C)
    pulls, serves = [], []
    for mine in blocks(held, part).values():
        seeds = live[mine].any(0)
        pulls.append(pull[:, mine][..., seeds].sum(1))  # (N, P_b)
        serves.append((live & np.isin(np.arange(len(part)), mine)[:, None])[:, seeds].T)  # (P_b, K)
    kinds, which = np.unique(np.concatenate(serves), axis=0, return_inverse=True)
    group = np.eye(len(kinds))[which.ravel()]  # (P, G)
    keeps = np.where(kinds, (chains - 1) / chains, 1.0).min(
        -1
    )  # each mean costs its chains one degree of freedom
    whole = np.where(complete(held)[:, part].all(-1), mean @ weight, np.nan)
    return Sums(whole, np.concatenate(pulls, -1), group, np.maximum(group.sum(0) * keeps, SAME))


def complete(held: Measured) -> Mask:
    """Which tasks of an entry may enter a mean (N, K): no silent averaging over what there happens to be."""
    return np.isin(held.status, (Status.DONE.value, Status.SKIPPED.value))


def blocks(held: Measured, part: Sequence[int]) -> dict[str, list[int]]:
    """The tasks of each block, as places within ``part``."""
    out: dict[str, list[int]] = {}
    for at, k in enumerate(part):
        out.setdefault(held.tasks[k].block, []).append(at)
    return dict(sorted(out.items()))


def aggregated_tasks(held: Measured, shown: Collection[str]) -> tuple[list[int], list[str]]:
    """The tasks that make up S: families too short of chains are shown, not aggregated (rule 7), and so are tasks on
    which some entries were never to compete.

    The bar is the highest that some family reaches: 10 chains, else 5, else none.  So a board of short runs still has
    scores, and a long family is not kept from its tiers by the text family that is still at four chains.
    """
    everyone = [k for k, name in enumerate(held.names) if name not in shown] or list(
        range(len(held.names))
    )
    fewest: dict[str, tuple[int, str]] = {}
    for k in everyone:
        task, name, n = held.tasks[k], held.names[k], int(held.chains[k])
        fewest[task.family] = min(fewest.get(task.family, (n, name)), (n, name))
    most = max(n for n, _ in fewest.values())
    bar = max(n for n in (1, FOR_INTERVAL, FOR_TIER) if n <= most)
    notes = [
        f"family {family} is shown, not aggregated: {name} has {n} chain(s), and {bar} are the bar here"
        for family, (n, name) in sorted(fewest.items())
        if n < bar
    ]
    if some := len(held.names) - len(everyone):
        notes.append(
            f"{some} task(s) that are planned for some entries alone are shown by task, not aggregated"
        )
    return [k for k in everyone if fewest[held.tasks[k].family][0] >= bar], notes


def weights(families: Sequence[str], part: Sequence[int]) -> Array:
    """w_k (K,): equal families, and equal tasks within a family; 0 for tasks outside ``part`` (rule 4)."""
    inside = [families[k] for k in part]
    weight = np.zeros(len(families))
    weight[part] = [1 / (len(set(inside)) * inside.count(family)) for family in inside]
    return weight


def risk_scores(held: Measured, ceiling: int | None) -> Array:
    """log(mean E_none / mean E_entry) / log(mean E_none / mean E_nature) (N, K): means before logarithms (rule 4).

    So one chain in a hundred that explodes shows here and not in S.  E includes the floor r_k, which keeps a loss of 0
    from a score of infinity and changes no sign of a task; losses in nats are averaged as perplexities; a failed chain
    has the loss that -3 stands for.  NaN where nature is not there, or does no better than none in these chains.
    """
    if ceiling is None:
        return np.full(held.a.shape[:2], np.nan)
    level = logsumexp(np.where(held.live, held.a, -np.inf), axis=-1) - np.log(held.chains)  # (N, K)
    gap = level[held.none] - level[ceiling]
    return ratio_where(level[held.none] - level, gap, gap > 0)


def t_statistic(difference: ArrayLike, se: ArrayLike) -> Array:
    """t (...), infinite where something differs and nothing varies, 0 where nothing differs."""
    difference, se = np.broadcast_arrays(np.asarray(difference, float), np.asarray(se, float))
    out = np.where(np.isnan(difference) | np.isnan(se), np.nan, np.copysign(np.inf, difference))
    np.divide(difference, se, out=out, where=se > 0)
    out[(np.abs(difference) <= SAME) & ~np.isnan(se)] = 0.0
    return out
