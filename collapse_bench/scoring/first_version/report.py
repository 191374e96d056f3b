"""The tables of the first version of the score: rows, tasks, families, tiers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...status import Status
from ..comparison import verdict_of
from ..measured import Measured
from ..rules import ALPHA, FOR_INTERVAL, FOR_TIER, REAL_ONLY, SAME, Array, Mask, ratio_where
from ..stats import holm, t_critical
from ..sums import Sums, blocks, complete, sums_of


def entry_table(
    measured: Measured,
    part: Sequence[int],
    weight: Array,
    sums: Sums,
    risk: Array,
    track: Sequence[str],
    controls: Collection[str],
    focus: str | None,
) -> pd.DataFrame:
    """``Scores.rows``."""
    entries = measured.entries
    control = np.isin(entries, list(controls))
    names, chains = [measured.names[k] for k in part], measured.chains[part]
    reason = [
        _reason(is_control, status, names, chains.min())
        for is_control, status in zip(control, measured.status[:, part], strict=True)
    ]
    ranked = np.array([not why for why in reason])
    fits = (~measured.skipped[:, part]).sum(-1)
    fewest = np.where(measured.skipped, measured.chains.max(), measured.counted)[:, part].min(-1)
    risk = risk[:, part] @ weight[part]
    rows = pd.DataFrame(
        {
            "entry": entries,
            "track": track,
            "control": control,
            **_interval(sums),
            "chains": np.where(fits > 0, fewest, 0),
            **_tiers(sums, ranked, entries, track),
            "ranked": ranked,
            "reason": reason,
            "fits": [f"{k} of {len(part)}" for k in fits],
            "failed": measured.failed[:, part].sum((-1, -2))
            / np.maximum(measured.counted[:, part].sum(-1), 1),
            **_worst(measured, part),
            "harmed": _harmed(measured)[:, part].mean(-1),
            "risk": risk,
            "risk_flag": (risk * sums.mean < 0)
            & (np.abs(risk) > SAME)
            & (np.abs(sums.mean) > SAME),
            **_against(sums, entries, measured.none, focus, ranked),
        }
    )
    order = rows.assign(unscored=rows["S"].isna()).sort_values(
        ["control", "unscored", "S", "entry"], ascending=[True, True, False, True]
    )
    return rows.loc[order.index].reset_index(drop=True)


def task_table(measured: Measured, risk: Array, weight: Array) -> pd.DataFrame:
    """``Scores.per_task``."""
    n = len(measured.entries)
    return pd.DataFrame(
        {
            "entry": np.repeat(measured.entries, len(measured.names)),
            "task": np.tile(measured.names, n),
            "family": [task.family for task in measured.tasks] * n,
            "S_k": measured.s_k.ravel(),
            "se": _standard_error(measured).ravel(),
            "chains": measured.counted.ravel(),
            "failed": measured.failed.sum(-1).ravel(),
            "status": measured.status.ravel(),
            "harmed": _harmed(measured).ravel(),
            "risk": risk.ravel(),
            "weight": np.tile(weight, n),
        }
    )


def _families(measured: Measured, part: Iterable[int]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for k in part:
        out.setdefault(measured.tasks[k].family, []).append(k)
    return dict(sorted(out.items()))


def family_table(measured: Measured, part: Sequence[int]) -> pd.DataFrame:
    """``Scores.per_family``."""
    tables = []
    chains = np.where(measured.skipped, measured.chains, measured.counted)
    inside = _families(measured, part)
    for family, mine in (_families(measured, range(len(measured.tasks))) | inside).items():
        sums = sums_of(measured, mine, np.full(len(measured.tasks), 1 / len(mine)))
        table = {
            "entry": measured.entries,
            "family": family,
            **_interval(sums),
            "chains": chains[:, mine].min(-1),
        }
        tables.append(pd.DataFrame({**table, "tasks": len(mine), "aggregated": family in inside}))
    return pd.concat(tables).sort_values(["entry", "family"], ignore_index=True)


def chain_table(measured: Measured, part: Sequence[int], weight: Array) -> pd.DataFrame:
    """``Scores.chains``: h_bc (N, block x seed), the part of S in each chain (rule 5)."""
    s = np.where(measured.live, measured.s, measured.s_k[..., None])[:, part]  # (N, K, C)
    columns, values = [], []
    for block, mine in blocks(measured, part).items():
        seeds = np.flatnonzero(measured.live[part][mine].any(0))
        columns += [(block, measured.seeds[c]) for c in seeds]
        values.append(np.einsum("nkc,k->nc", s[:, mine][..., seeds], weight[part][mine]))
    index = pd.MultiIndex.from_tuples(columns, names=["block", "seed"])
    return pd.DataFrame(np.concatenate(values, -1), pd.Index(measured.entries, name="entry"), index)


def _interval(sums: Sums) -> dict[str, Array]:
    """S and its 95 % interval, from Student's t over chains (rule 5)."""
    se, df = sums.standard_error(sums.deviations)
    half = t_critical(df) * se
    df = np.where(np.isnan(se), np.nan, df)
    return {"S": sums.mean, "low": sums.mean - half, "high": sums.mean + half, "se": se, "df": df}


def _standard_error(measured: Measured) -> Array:
    """Standard error (N, K) of S_k over chains; NaN for fewer than two."""
    n = measured.known.sum(-1)
    squares = np.where(measured.known, (measured.s - measured.s_k[..., None]) ** 2, 0.0).sum(-1)
    return np.sqrt(ratio_where(squares, n * (n - 1), n > 1))


def _harmed(measured: Measured) -> Mask:
    """Tasks (N, K) on which the whole 95 % interval of S_k is below 0 (rule 4)."""
    reach = np.where(
        measured.chains >= FOR_INTERVAL, t_critical(np.maximum(measured.chains - 1, 1)), np.nan
    )
    mean = measured.s_k
    harmed = (mean < -SAME) & (mean + reach * _standard_error(measured) < 0)
    return np.asarray((measured.status == Status.DONE.value) & harmed)


def _worst(measured: Measured, part: Sequence[int]) -> dict[str, Array | list[str]]:
    """For each row, the aggregated family with the lowest S, and that S (rule 4)."""
    families = _families(measured, part)
    names, s_k = list(families), np.where(complete(measured), measured.s_k, np.nan)
    means = np.stack([s_k[:, mine].mean(-1) for mine in families.values()], -1)  # (N, F)
    at, worst = np.where(np.isnan(means), np.inf, means).argmin(-1), means.min(-1)
    return {
        "worst_family": ["" if np.isnan(s) else names[f] for f, s in zip(at, worst, strict=True)],
        "worst_score": worst,
    }


def _reason(control: bool, status: NDArray[np.str_], names: Sequence[str], chains: int) -> str:
    """Why an entry has no rank, in one sentence; empty if it has one."""
    sentences = {
        Status.OVER_BUDGET.value: "over the budget on {}",
        "re-run": "stopped by the machine on {}; run it again",
        "incomplete": "chains are missing on {}",
    }
    parts = ["controls are not ranked"] if control else []
    for what, sentence in sentences.items():
        if at := [name for name, is_so in zip(names, status == what, strict=True) if is_so]:
            parts.append(
                sentence.format(
                    ", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
                )
            )
    if (status == Status.SKIPPED.value).all():
        parts.append("it fits no task of this board")
    if not parts and chains < FOR_TIER:
        parts.append(f"it has {chains} chain(s), and a tier needs {FOR_TIER}")
    return "; ".join(parts)


def _tiers(
    sums: Sums, ranked: Mask, entries: Sequence[str], track: Sequence[str]
) -> dict[str, pd.Series | Array]:
    """tier, rank and p_above (N,) of the ranked rows, track by track (rules 6 to 8).

    Boards of equal methods get more than one tier in about 5 % or less of simulations: 5.1 %
    (6 rows, 32 chains), 4.6 % (28 rows, 32 chains), 4.5 % (6 rows, 10) and 3.5 % (30 rows, 10).
    """
    tier, rank = (pd.Series(pd.NA, range(len(entries)), dtype="Int64") for _ in range(2))
    p_above = np.full(len(entries), np.nan)
    tracks: dict[str, list[int]] = {}
    for n in sorted(np.flatnonzero(ranked).tolist(), key=lambda n: (-sums.mean[n], entries[n])):
        tracks.setdefault(track[n], []).append(n)
    for order in tracks.values():
        start, number = 0, 0
        while start < len(order):
            later = order[start + 1 :]
            worse = np.flatnonzero(sums.p([order[start]], later, rows=len(order)) < ALPHA)
            end = start + 1 + int(worse[0]) if len(worse) else len(order)
            number += 1
            tier[order[start:end]], rank[order[start:end]] = number, start + 1
            start = end
        p_above[order[1:]] = sums.p(order[:-1], order[1:], rows=len(order))
    return {"tier": tier, "rank": rank, "p_above": p_above}


def _against(
    sums: Sums, entries: Sequence[str], none: int, focus: str | None, ranked: Mask
) -> dict[str, Array | list[str]]:
    """Each row compared with `none`, the focus row and real-only (rules 6 and 8)."""
    everyone = np.arange(len(entries))
    p_none = np.where(everyone == none, np.nan, sums.p(everyone, [none]))
    p_focus = np.full(len(entries), np.nan)
    if focus is not None and ranked[i := entries.index(focus)]:
        others = np.flatnonzero(ranked & (everyone != i))
        p_focus[others] = holm(sums.p([i], others))
    words = [""] * len(entries)
    if REAL_ONLY in entries:
        i = entries.index(REAL_ONLY)
        above, p = sums.mean > sums.mean[i], sums.p(everyone, [i])
        known = ~np.isnan(sums.mean - sums.mean[i]) & (everyone != i)
        words = [
            verdict_of(*three) if yes else "" for yes, *three in zip(known, p, above, strict=True)
        ]
    return {"p_none": p_none, "p_focus": p_focus, "beats_real_only": words}
