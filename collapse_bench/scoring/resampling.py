"""What a score and a rank depend on: the chains that were run, and the tasks that were chosen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .measured import Measured
from .rules import Array
from .score import Scores
from .sums import blocks

DRAWS = 1000
CHUNK = 50  # draws at a time, which limits the memory


def resampled(scores: Scores, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """95 % intervals of scores and ranks over chains and tasks, one row per entry.

    Columns: entry; S_low, S_high; rank_low, rank_high (1 is best; NaN for a row without a rank).
    In each draw the chains of each block are drawn with replacement, the same for all entries, and
    so are the tasks within each family.  Families are kept, since a suite chooses them on purpose.
    A family of few tasks varies too little under this: with m tasks by a factor of
    ((m - 1) / m)^(1/2).

    Source: the percentile bootstrap, Efron (1979).
    """
    rows = scores.rows.set_index("entry").loc[list(scores.entries)]
    drawn = np.concatenate([*_draws(scores, draws, seed)])  # (B, N)
    places = np.full(drawn.shape, np.nan)
    for track in rows.track[rows.ranked].unique():
        mine = np.flatnonzero(rows.ranked.to_numpy() & (rows.track == track).to_numpy())
        ahead = drawn[:, mine, None] < drawn[:, None, mine]
        places[:, mine] = 1 + ahead.sum(-1)
    known = ~np.isnan(drawn).any(0)
    low, high = _quantiles(drawn, known)
    ranked = rows.ranked.to_numpy() & known
    best, worst = _quantiles(places, ranked)
    return pd.DataFrame(
        {
            "entry": scores.entries,
            "S_low": low,
            "S_high": high,
            "rank_low": best,
            "rank_high": worst,
        }
    )


def _quantiles(values: Array, known: Array) -> tuple[Array, Array]:
    """The 2.5 and 97.5 % quantiles (N,) of ``values (B, N)``, NaN where not known."""
    low, high = (np.full(values.shape[1], np.nan) for _ in range(2))
    if known.any():
        low[known] = np.quantile(values[:, known], 0.025, axis=0, method="inverted_cdf")
        high[known] = np.quantile(values[:, known], 0.975, axis=0, method="inverted_cdf")
    return low, high


def _draws(scores: Scores, draws: int, seed: int) -> Iterator[Array]:
    """Scores (B, N) of resampled boards, some at a time."""
    rng = np.random.default_rng(seed)
    efficacy = scores.efficacy
    measured, part = efficacy.measured, efficacy.weighting.part
    families = [measured.tasks[k].family for k in part]
    weights = efficacy.weights[:, part]  # (N, k)
    whole = ~np.isnan(efficacy.mean)
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        s = _of_chains(measured, part.tolist(), size, rng)  # (N, k, B)
        s = np.where(weights[..., None] > 0, s, 0.0)
        total, present = np.zeros((2, len(weights), size))
        for family in dict.fromkeys(families):
            mine = np.flatnonzero([name == family for name in families])
            times = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), size).T  # (m, B)
            share = weights[:, mine, None] * times  # (N, m, B)
            mass = share.sum(1)
            there = mass > 0
            mean = np.divide(
                (share * s[:, mine]).sum(1), mass, out=np.zeros_like(mass), where=there
            )
            family_weight = weights[:, mine].sum(1)[:, None] * there
            total += family_weight * mean
            present += family_weight
        found = np.divide(total, present, out=np.full_like(total, np.nan), where=present > 0)
        # a row none of whose tasks was drawn is as it was
        found = np.where(present > 0, found, efficacy.mean[:, None])
        yield np.where(whole[:, None], found, np.nan).T


def _of_chains(measured: Measured, part: list[int], size: int, rng: np.random.Generator) -> Array:
    """S_k (N, k, B) of resampled chains; the unit follows the sign of each resampled mean."""
    change = (measured.a[measured.none] - measured.a)[:, part]  # (N, k, C)
    change = np.where(measured.live[part], np.nan_to_num(change), 0.0)
    mean = np.zeros((*change.shape[:2], size))
    for mine in blocks(measured, part).values():
        live = measured.live[part][mine]  # (k_b, C)
        seeds = np.flatnonzero(live.any(0))
        times = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size).T  # (c, B)
        count = live[:, seeds].astype(float) @ times
        total = change[:, mine][..., seeds] @ times
        mean[:, mine] = total / np.maximum(count, 1)
    harm, gap = measured.units[:, part, None]
    return np.asarray(np.where(mean < 0, mean / harm, mean / gap))
