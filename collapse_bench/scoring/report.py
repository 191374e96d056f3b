"""The tables of the score: rows, tasks, families, tiers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..status import Status
from .comparison import verdict_of
from .efficacy import Efficacies
from .measured import Measured
from .rules import (
    ALPHA,
    COVERAGE,
    FOR_INTERVAL,
    FOR_TIER,
    REAL_ONLY,
    REFUSED,
    SAME,
    Array,
    Mask,
    ratio_where,
)
from .stats import holm, t_critical
from .sums import blocks, complete
from .weights import Weighting


def entry_table(
    efficacy: Efficacies,
    risk: Array,
    track: Sequence[str],
    controls: Collection[str],
    focus: str | None,
) -> pd.DataFrame:
    """``Scores.rows``."""
    measured, fits = efficacy.measured, efficacy.fits
    entries, part = measured.entries, efficacy.weighting.part
    control = np.isin(entries, list(controls))
    chains = _fewest(measured, fits)
    dead = _without_result(measured, fits)
    reason = [
        _reason(is_control, measured.status[n], measured.names, fits[n], chains[n], dead[n])
        for n, is_control in enumerate(control)
    ]
    least = COVERAGE * _weight_of_track(efficacy, track, control | dead)
    specialist = ~control & fits.any(-1) & (efficacy.coverage < least - SAME)
    for n in np.flatnonzero(specialist).tolist():
        reason[n] = "; ".join(
            filter(None, (reason[n], _specialist(efficacy.coverage[n], least[n], track[n])))
        )
    ranked = np.array([not why for why in reason])
    refused = (measured.status == REFUSED) & fits
    risk = np.where(efficacy.weights > 0, risk * efficacy.weights, 0.0).sum(-1)
    risk = np.where(fits.any(-1), risk, np.nan)
    rows = pd.DataFrame(
        {
            "entry": entries,
            "track": track,
            "control": control,
            **_interval(efficacy),
            "chains": chains,
            **_tiers(efficacy, ranked, entries, track),
            "ranked": ranked,
            "specialist": specialist,
            "reason": reason,
            "coverage": efficacy.coverage,
            "fits": [f"{k} of {len(part)}" for k in fits.sum(-1)],
            "refused": refused.sum(-1),
            "failed": (measured.failed & fits[..., None]).sum((-1, -2))
            / np.maximum(np.where(fits, measured.counted, 0).sum(-1), 1),
            **_worst(efficacy),
            "harmed": ratio_where((_harmed(measured) & fits).sum(-1), fits.sum(-1), fits.any(-1)),
            "risk": risk,
            "risk_flag": (risk * efficacy.mean < 0)
            & (np.abs(risk) > SAME)
            & (np.abs(efficacy.mean) > SAME),
            **_against(efficacy, focus, ranked),
        }
    )
    order = rows.assign(unscored=rows["S"].isna()).sort_values(
        ["control", "unscored", "S", "entry"], ascending=[True, True, False, True]
    )
    return rows.loc[order.index].reset_index(drop=True)


def task_table(efficacy: Efficacies, risk: Array) -> pd.DataFrame:
    """``Scores.per_task``."""
    measured = efficacy.measured
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
            "weight": np.tile(efficacy.weighting.suite, n),
        }
    )


def family_table(
    measured: Measured,
    part: Sequence[int],
    track: Sequence[str],
    controls: Collection[str],
) -> pd.DataFrame:
    """``Scores.per_family``."""
    tables = []
    control = np.isin(measured.entries, list(controls))
    inside = _families(measured, part)
    for family, mine in (_families(measured, range(len(measured.tasks))) | inside).items():
        efficacy = Efficacies(measured, Weighting(["one"] * len(measured.tasks), mine))
        chains = _fewest(measured, efficacy.fits)
        dead = _without_result(measured, efficacy.fits)
        ranked = ~control & ~dead & (chains >= FOR_TIER) & ~np.isnan(efficacy.mean)
        table = {
            "entry": measured.entries,
            "family": family,
            **_interval(efficacy),
            "chains": chains,
            **_tiers(efficacy, ranked, measured.entries, track),
            "fits": efficacy.fits.sum(-1),
        }
        tables.append(pd.DataFrame({**table, "tasks": len(mine), "aggregated": family in inside}))
    return pd.concat(tables).sort_values(["entry", "family"], ignore_index=True)


def chain_table(efficacy: Efficacies) -> pd.DataFrame:
    """``Scores.chains``: h_bc (N, block x seed), the part of S in each chain (rule 6)."""
    measured, part = efficacy.measured, efficacy.weighting.part.tolist()
    s = np.where(measured.live, measured.s, measured.s_k[..., None])[:, part]  # (N, K, C)
    weight = efficacy.weights[:, part]
    s = np.where(weight[..., None] > 0, s, 0.0)  # a task that does not fit has no score
    columns, values = [], []
    for block, mine in blocks(measured, part).items():
        seeds = np.flatnonzero(measured.live[part][mine].any(0))
        columns += [(block, measured.seeds[c]) for c in seeds]
        values.append(np.einsum("nkc,nk->nc", s[:, mine][..., seeds], weight[:, mine]))
    index = pd.MultiIndex.from_tuples(columns, names=["block", "seed"])
    return pd.DataFrame(np.concatenate(values, -1), pd.Index(measured.entries, name="entry"), index)


def _families(measured: Measured, part: Iterable[int]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for k in part:
        out.setdefault(measured.tasks[k].family, []).append(int(k))
    return dict(sorted(out.items()))


def _fewest(measured: Measured, fits: Mask) -> NDArray[np.int64]:
    """The chains (N,) of the fitted task with the fewest; 0 for a row that fits none."""
    chains = np.where(fits, measured.counted, np.iinfo(np.int64).max).min(-1)
    return np.where(fits.any(-1), chains, 0)


def _without_result(measured: Measured, fits: Mask) -> Mask:
    """Entries (N,) whose chains all failed: broken code, which says nothing about a method."""
    failed = (measured.failed & fits[..., None]).sum((-1, -2))
    return np.asarray((failed > 0) & (failed == np.where(fits, measured.counted, 0).sum(-1)))


def _weight_of_track(efficacy: Efficacies, track: Sequence[str], without: Mask) -> Array:
    """Weight (N,) of the tasks that at least one entry of a row's track fits (rule 5).

    without: entries (N,) that do not count: controls, and those without any result.
    """
    names = np.array(track)
    out = np.zeros(len(names))
    for name in set(track):
        mine = names == name
        out[mine] = efficacy.weighting.coverage(efficacy.fits[mine & ~without].any(0))
    return out


def _specialist(coverage: float, least: float, track: str) -> str:
    return (
        f"a specialist: it fits {100 * coverage:.0f} % of the weight of the suite, and a rank on "
        f"track {track} needs {100 * least:.0f} %; its ranks are in the tables of its families"
    )


def _interval(efficacy: Efficacies) -> dict[str, Array]:
    """S and its 95 % interval, from Student's t over chains (rule 6)."""
    (se, df), (low, high) = efficacy.spread, efficacy.interval
    df = np.where(np.isnan(se), np.nan, df)
    return {"S": efficacy.mean, "low": low, "high": high, "se": se, "df": df}


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


def _worst(efficacy: Efficacies) -> dict[str, Array | list[str]]:
    """For each row, the family with the lowest mean over the tasks that fit, and that mean."""
    measured = efficacy.measured
    families = _families(measured, efficacy.weighting.part)
    s_k = np.where(complete(measured), measured.s_k, np.nan)
    means, fitted = [], []
    for mine in families.values():
        fits = efficacy.fits[:, mine]
        there = fits.any(-1)
        total = np.where(fits, s_k[:, mine], 0.0).sum(-1)
        means.append(ratio_where(total, fits.sum(-1), there))
        fitted.append(there)
    mean, there = np.stack(means, -1), np.stack(fitted, -1)  # (N, F)
    low = np.where(there, mean, np.inf)
    at, worst = np.where(np.isnan(low), np.inf, low).argmin(-1), low.min(-1)
    worst = np.where(np.isinf(worst), np.nan, worst)
    names = list(families)
    return {
        "worst_family": ["" if np.isnan(s) else names[f] for f, s in zip(at, worst, strict=True)],
        "worst_score": worst,
    }


def _reason(
    control: bool,
    status: NDArray[np.str_],
    names: Sequence[str],
    fits: Mask,
    chains: int,
    dead: bool,
) -> str:
    """Why an entry has no rank, in one sentence; empty if it has one."""
    sentences = {
        Status.OVER_BUDGET.value: "over the budget on {}",
        "re-run": "stopped by the machine on {}; run it again",
        "incomplete": "chains are missing on {}",
    }
    parts = ["controls are not ranked"] if control else []
    if dead:
        parts.append("all of its chains failed")
    for what, sentence in sentences.items():
        if at := [
            name for name, s, yes in zip(names, status, fits, strict=True) if yes & (s == what)
        ]:
            parts.append(
                sentence.format(
                    ", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
                )
            )
    if not fits.any():
        parts.append("it fits no task of this board")
    if not parts and chains < FOR_TIER:
        parts.append(f"it has {chains} chain(s), and a tier needs {FOR_TIER}")
    return "; ".join(parts)


def _tiers(
    efficacy: Efficacies, ranked: Mask, entries: Sequence[str], track: Sequence[str]
) -> dict[str, pd.Series | Array]:
    """tier, rank and p_above (N,) of the ranked rows, track by track (rules 7 to 9)."""
    tier, rank = (pd.Series(pd.NA, range(len(entries)), dtype="Int64") for _ in range(2))
    p_above = np.full(len(entries), np.nan)
    tracks: dict[str, list[int]] = {}
    mean = efficacy.mean
    for n in sorted(np.flatnonzero(ranked).tolist(), key=lambda n: (-mean[n], entries[n])):
        tracks.setdefault(track[n], []).append(n)
    for order in tracks.values():
        start, number = 0, 0
        while start < len(order):
            later = order[start + 1 :]
            ahead, p = efficacy.p([order[start]], later, size=len(order))
            # on the tasks that both fit a row may be ahead of one that has the higher score
            worse = np.flatnonzero((p < ALPHA) & (ahead > 0))
            end = start + 1 + int(worse[0]) if len(worse) else len(order)
            number += 1
            tier[order[start:end]], rank[order[start:end]] = number, start + 1
            start = end
        p_above[order[1:]] = efficacy.p(order[:-1], order[1:], size=len(order))[1]
    return {"tier": tier, "rank": rank, "p_above": p_above}


def _against(efficacy: Efficacies, focus: str | None, ranked: Mask) -> dict[str, Array | list[str]]:
    """Each row compared with `none`, the focus row and real-only (rules 7 and 9)."""
    entries, none = efficacy.measured.entries, efficacy.measured.none
    everyone = np.arange(len(entries))
    p_none = np.where(everyone == none, np.nan, efficacy.p(everyone, [none])[1])
    p_focus, d_focus = np.full((2, len(entries)), np.nan)
    if focus is not None and ranked[i := entries.index(focus)]:
        others = np.flatnonzero(ranked & (everyone != i))
        d_focus[others], p = efficacy.p([i], others)
        p_focus[others] = holm(p)
    words = [""] * len(entries)
    if REAL_ONLY in entries:
        i = entries.index(REAL_ONLY)
        ahead, p = efficacy.p(everyone, [i])
        known = ~np.isnan(ahead) & (everyone != i)
        words = [
            verdict_of(*three) if yes else ""
            for yes, *three in zip(known, p, ahead > 0, strict=True)
        ]
    return {"p_none": p_none, "p_focus": p_focus, "d_focus": d_focus, "beats_real_only": words}
