"""The tables of the score: rows, tasks, families, tiers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..status import Status
from .aggregate import Sums, blocks, complete, sums_of
from .chains import Measured
from .rules import ALPHA, FOR_INTERVAL, FOR_TIER, REAL_ONLY, SAME, Array, Mask, ratio_where
from .stats import holm, t_critical


def entry_table(
    held: Measured,
    part: Sequence[int],
    weight: Array,
    sums: Sums,
    risk: Array,
    track: Sequence[str],
    controls: Collection[str],
    focus: str | None,
) -> pd.DataFrame:
    entries = held.entries
    control = np.isin(entries, list(controls))
    names, chains = [held.names[k] for k in part], held.chains[part]
    reason = [
        _reason(control[n], held.status[n, part], names, chains.min()) for n in range(len(entries))
    ]
    ranked = np.array([not why for why in reason])
    fits = (~held.skipped[:, part]).sum(-1)
    fewest = np.where(held.skipped, held.chains.max(), held.counted)[:, part].min(-1)
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
            "failed": held.failed[:, part].sum((-1, -2))
            / np.maximum(held.counted[:, part].sum(-1), 1),
            **_worst(held, part),
            "harmed": _harmed(held)[:, part].mean(-1),
            "risk": risk,
            "risk_flag": (risk * sums.mean < 0)
            & (np.abs(risk) > SAME)
            & (np.abs(sums.mean) > SAME),
            **_against(sums, entries, held.none, focus, ranked),
        }
    )
    order = rows.assign(unscored=rows["S"].isna()).sort_values(
        ["control", "unscored", "S", "entry"], ascending=[True, True, False, True]
    )
    return rows.loc[order.index].reset_index(drop=True)


def task_table(held: Measured, risk: Array, weight: Array) -> pd.DataFrame:
    n = len(held.entries)
    return pd.DataFrame(
        {
            "entry": np.repeat(held.entries, len(held.names)),
            "task": np.tile(held.names, n),
            "family": [task.family for task in held.tasks] * n,
            "S_k": held.s_k.ravel(),
            "se": _standard_error(held).ravel(),
            "chains": held.counted.ravel(),
            "failed": held.failed.sum(-1).ravel(),
            "status": held.status.ravel(),
            "harmed": _harmed(held).ravel(),
            "risk": risk.ravel(),
            "weight": np.tile(weight, n),
        }
    )


def _families(held: Measured, part: Iterable[int]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for k in part:
        out.setdefault(held.tasks[k].family, []).append(k)
    return dict(sorted(out.items()))


def family_table(held: Measured, part: Sequence[int]) -> pd.DataFrame:
    tables = []
    chains = np.where(held.skipped, held.chains, held.counted)
    inside = _families(held, part)
    for family, mine in (_families(held, range(len(held.tasks))) | inside).items():
        sums = sums_of(held, mine, np.full(len(held.tasks), 1 / len(mine)))
        table = {
            "entry": held.entries,
            "family": family,
            **_interval(sums),
            "chains": chains[:, mine].min(-1),
        }
        tables.append(pd.DataFrame({**table, "tasks": len(mine), "aggregated": family in inside}))
    return pd.concat(tables).sort_values(["entry", "family"], ignore_index=True)


def chain_table(held: Measured, part: Sequence[int], weight: Array) -> pd.DataFrame:
    """h_bc (N, block x seed): what each chain says of S (rule 5)."""
    s = np.where(held.live, held.s, held.s_k[..., None])[:, part]  # (N, K, C)
    columns, values = [], []
    for block, mine in blocks(held, part).items():
        seeds = np.flatnonzero(held.live[part][mine].any(0))
        columns += [(block, held.seeds[c]) for c in seeds]
        values.append(np.einsum("nkc,k->nc", s[:, mine][..., seeds], weight[part][mine]))
    index = pd.MultiIndex.from_tuples(columns, names=["block", "seed"])
    return pd.DataFrame(np.concatenate(values, -1), pd.Index(held.entries, name="entry"), index)


def _interval(sums: Sums) -> dict[str, Array]:
    """S with its 95 % interval by t over chains (rule 5)."""
    se, df = sums.mean_and_factor(sums.pulls)
    half = t_critical(df) * se
    df = np.where(np.isnan(se), np.nan, df)
    return {"S": sums.mean, "low": sums.mean - half, "high": sums.mean + half, "se": se, "df": df}


def _standard_error(held: Measured) -> Array:
    """Standard error (N, K) of S_k over the chains there are, NaN for fewer than two."""
    n = held.known.sum(-1)
    squares = np.where(held.known, (held.s - held.s_k[..., None]) ** 2, 0.0).sum(-1)
    return np.sqrt(ratio_where(squares, n * (n - 1), n > 1))


def _harmed(held: Measured) -> Mask:
    """Tasks (N, K) whose S_k lies below 0 with its whole 95 % interval (rule 4)."""
    reach = np.where(
        held.chains >= FOR_INTERVAL, t_critical(np.maximum(held.chains - 1, 1)), np.nan
    )
    mean = held.s_k
    harmed = (mean < -SAME) & (mean + reach * _standard_error(held) < 0)
    return np.asarray((held.status == Status.DONE.value) & harmed)


def _worst(held: Measured, part: Sequence[int]) -> dict[str, Array | list[str]]:
    """The aggregated family with the lowest S of each row, and that S (rule 4)."""
    families = _families(held, part)
    names, s_k = list(families), np.where(complete(held), held.s_k, np.nan)
    means = np.stack([s_k[:, mine].mean(-1) for mine in families.values()], -1)  # (N, F)
    at, worst = np.where(np.isnan(means), np.inf, means).argmin(-1), means.min(-1)
    return {
        "worst_family": ["" if np.isnan(s) else names[f] for f, s in zip(at, worst, strict=True)],
        "worst_score": worst,
    }


def _reason(control: bool, status: NDArray[np.str_], names: Sequence[str], chains: int) -> str:
    """Why an entry holds no rank, one sentence; empty where it does."""
    sentences = {
        Status.OVER_BUDGET.value: "over its budget on {}",
        "re-run": "broken off on {}: run it again",
        "incomplete": "incomplete: chains are missing on {}",
    }
    parts = ["a control: shown, not ranked"] if control else []
    for what, sentence in sentences.items():
        if at := [name for name, is_so in zip(names, status == what, strict=True) if is_so]:
            parts.append(
                sentence.format(
                    ", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
                )
            )
    if (status == Status.SKIPPED.value).all():
        parts.append("fits no task of this board")
    if not parts and chains < FOR_TIER:
        parts.append(f"{chains} chain(s), and a tier needs {FOR_TIER}")
    return "; ".join(parts)


def _tiers(
    sums: Sums, ranked: Mask, entries: Sequence[str], track: Sequence[str]
) -> dict[str, pd.Series | Array]:
    """tier, rank and p_above (N,) of the ranked rows, track by track (rules 6 to 8).

    A board of equals splits in 5 % or less: 5.1 % (6 rows, 32 chains), 4.6 % (28 rows, 32), 4.5 % (6 rows, 10) and
    3.5 % (30 rows, 10).
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
    """Each row against doing nothing, against the focus row, against real-only (rules 6 and 8)."""
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


def verdict_of(p: float, above: bool) -> str:
    return "cannot tell" if not p < ALPHA else "yes" if above else "no"
