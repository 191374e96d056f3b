"""The rows of the page: the board as text and as numbers, by family and protocol, and by cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...scoring.frontier import pareto
from ...scoring.tuning import HINDSIGHT, TUNED
from ...status import Status
from ..cells import percent, plain, signed
from ..ranked import SHORT_VERDICT, RankedBoard
from ..render import named_rows, number
from .model import About, Heat, Point, Row

#: why a row that belongs to a tuned row has no rank
_UNRANKED = {
    "default": "the tuned row of the method is ranked",
    "configuration": "the tuned row of the method is ranked",
    "hindsight": "the configurations were chosen by the scores of this board",
}
UP, DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"


def known(value: Any) -> float | None:
    """The number, or None where it is not known."""
    return None if pd.isna(value) else float(value)


def columns_of(board: RankedBoard) -> dict[str, str]:
    """Key of ``Row.cells`` -> heading, of the columns of the board."""
    columns = {
        "tier": "tier",
        "score": "averted",
        "interval": "95 %",
        "ranks": "ranks",
        "covers": "covers",
        "signs": "signs",
        "value": "value",
        "frozen": "beats frozen",
        "real": "real rows",
        "verifier": "verifier calls",
        "cost": "cost",
        "tail": "tail lost",
        "harmed": "harmed",
    }
    if board.signs is None:
        del columns["signs"]
    return columns


def kind_of(row: Any, board: RankedBoard) -> str:
    """default, tuned, hindsight, configuration or control."""
    if row.entry.endswith(f" {TUNED}"):
        return "tuned"
    if row.entry.endswith(f" {HINDSIGHT}"):
        return "hindsight"
    if row.entry in board.tuned:
        return "default"
    if row.entry in board.method_of_row:
        return "configuration"
    return "control" if row.control else "default"


def tuned_row(name: str, board: RankedBoard) -> str:
    """The tuned row of the method of another configuration; "" for a row with its own section."""
    method = board.method_of_row.get(name) or name.removesuffix(f" {HINDSIGHT}")
    tuned = f"{method} {TUNED}"
    return tuned if method in board.tuned and name != tuned else ""


def rows_of(
    board: RankedBoard,
    per_task: pd.DataFrame,
    anchors: Mapping[str, str],
    about: Mapping[str, Sequence[About]],
) -> list[Row]:
    """Methods track by track, then controls, then other configurations of tuned rows."""
    fits = per_task[~per_task.status.isin([Status.SKIPPED.value])]
    where = {
        str(entry): (tuple(sorted(set(p.family))), tuple(sorted(set(p.protocol))))
        for entry, p in fits.groupby("entry")
    }
    track = dict(zip(board.scores.rows.entry, board.scores.rows.track, strict=True))
    above = _above_on_grid(board)
    rows = []
    for row in named_rows(board.frame()):
        families, protocols = where.get(row.entry, ((), ()))
        tiered = bool(row.ranked) and not pd.isna(row.tier)
        stages = [stage for one in about.get(row.entry, ()) for stage in one.stages]
        kind, of = kind_of(row, board), tuned_row(row.entry, board)
        of = of if of in anchors else ""
        rows.append(
            Row(
                name=row.entry,
                anchor=anchors[row.entry],
                section=anchors[of or row.entry],
                track="control" if kind == "control" else track[row.entry] or track.get(of, ""),
                kind=kind,
                of=of,
                ranked=bool(row.ranked),
                tier=int(row.tier) if tiered else None,
                score=known(row.S),
                low=known(row.low),
                high=known(row.high),
                cells=_texts(row, tiered, above.get(row.entry)),
                sort=_numbers(row, tiered),
                word=_word(row, board.words),
                families=families,
                protocols=protocols,
                stages=tuple(dict.fromkeys(stages)),
                coverage=float(row.coverage) if row.coverage == row.coverage else 0.0,
                why=_UNRANKED[kind] if of else "" if kind == "control" else str(row.reason),
            )
        )
    # the sort is stable: the order of the board stays within each of the two
    return sorted(rows, key=lambda row: bool(row.of))


def _word(row: Any, words: Mapping[str, str]) -> str:
    """helps or harms, where the whole interval of the score agrees with the grid of signs.

    The grid runs some tasks only, so that a sign can be stable there and the other one here.
    """
    word = words.get(row.entry, "")
    return word if (word == "helps" and row.low > 0) or (word == "harms" and row.high < 0) else ""


def _above_on_grid(board: RankedBoard) -> dict[str, bool]:
    """Entry -> whether its score is above 0 at n and T, on the tasks of the grid of signs."""
    scores = {} if board.signs is None else board.signs.scores
    middle = {entry: nine[len(nine) // 2] for entry, nine in scores.items()}
    return {entry: value > 0 for entry, value in middle.items() if value is not None}


def _texts(row: Any, tiered: bool, above: bool | None) -> dict[str, str]:
    return {
        "tier": str(int(row.tier)) if tiered else "\N{EN DASH}",
        "score": signed(row.S),
        "interval": f"{signed(row.low)} to {signed(row.high)}" if row.low == row.low else "",
        "ranks": f"{number(row.rank_low)} to {number(row.rank_high)}"
        if row.rank_low == row.rank_low
        else "",
        "covers": percent(row.coverage),
        "signs": _signs(row.signs, above),
        "value": f"{signed(row.value)} ({row.value_control})"
        if isinstance(row.value_control, str)
        else "",
        "frozen": SHORT_VERDICT[row.beats_frozen],
        "tail": plain(row.tail_lost),
        "harmed": percent(row.harmed),
        "real": number(row.real_unique),
        "verifier": number(row.verifier_calls),
        "cost": f"{row.relative_cost:.1f}x" if row.relative_cost > 0 else "",
        # only where a row opens
        "diversity": plain(row.diversity_lost),
        "worst": f"{row.worst_family} {signed(row.worst_score)}" if row.worst_family else "",
        "failed": percent(row.failed),
        "risk": signed(row.risk) + (" (its sign differs)" if row.risk_flag else ""),
        "refused": str(row.refused) if row.refused else "",
        "generated": number(row.generated_rows),
        "refits": number(row.method_fits),
        "effective": number(row.effective_real),
        "fits": row.fits,
        "default": signed(row.S_default),
        "hindsight": signed(row.S_hindsight),
    }


def _signs(agree: float, above: bool | None) -> str:
    if math.isnan(agree):
        return ""
    return f"{agree:.0f}/9" + ("" if above is None else f" {UP if above else DOWN}")


def _numbers(row: Any, tiered: bool) -> dict[str, float | None]:
    return {
        "tier": float(row.tier) if tiered else None,
        "score": known(row.S),
        "interval": known(row.low),
        "ranks": known(row.rank_low),
        "covers": known(row.coverage),
        "signs": known(row.signs),
        "value": known(row.value),
        "frozen": {"yes": 2.0, "cannot tell": 1.0, "no": 0.0}.get(row.beats_frozen),
        "tail": known(row.tail_lost),
        "harmed": known(row.harmed),
        "real": known(row.real_unique),
        "verifier": known(row.verifier_calls),
        "cost": known(row.relative_cost),
    }


def heat_of(
    per_task: pd.DataFrame, rows: set[str]
) -> tuple[dict[str, dict[tuple[str, str], Heat]], list[tuple[str, str]]]:
    """row -> (family, protocol) -> mean score; and the columns."""
    scored = per_task[per_task.entry.isin(rows) & per_task.S_k.notna() & (per_task.weight > 0)]
    scored = scored[scored.status != Status.SKIPPED.value]
    found: dict[str, dict[tuple[str, str], Heat]] = {}
    for names, piece in scored.groupby(["entry", "family", "protocol"]):
        entry, family, protocol = map(str, names)
        # tasks as if they were independent
        error = math.sqrt(float((piece.se.fillna(0.0) ** 2).sum())) / len(piece)
        found.setdefault(entry, {})[family, protocol] = Heat(
            float(piece.S_k.mean()), error, len(piece)
        )
    return found, sorted({place for cells in found.values() for place in cells})


def points_of(board: RankedBoard, anchors: Mapping[str, str]) -> list[Point]:
    """The methods with what they spend of their own; the frontier is that of the ranked ones.

    The scores of rows that fit different parts of the suite cannot be compared.
    """
    points = board.points()
    calls = board.usage.get("own_verifier_calls", pd.Series(dtype=float))
    points = points.assign(verifier=[calls.get(entry, math.nan) for entry in points.entry])
    rows = board.scores.rows
    compared = {"none", *rows.entry[rows.ranked & ~rows.control]}
    front: dict[str, set[str]] = {}
    for what in ("real", "verifier", "cost"):
        some = points[points.entry.isin(list(compared))]
        for entry in pareto(some.assign(real=some[what])).entry:
            front.setdefault(entry, set()).add(what)
    return [
        Point(
            row.entry,
            anchors[row.entry],
            float(row.S),
            known(row.real),
            known(row.verifier),
            known(row.cost),
            frozenset(front.get(row.entry, ())),
            row.entry in compared,
        )
        for row in named_rows(points)
    ]
