"""What helps in each kind of world, and what a real row or a verifier call is worth."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ..display import code
from ..scoring.comparison import compared
from ..scoring.rules import TRIVIAL
from ..scoring.score import Scores
from ..scoring.value import SIDE_INFORMATION, THINNED
from .cells import method_of
from .ranked import RankedBoard
from .render import named_rows, number

LEAST_MORE = 0.5  # per cent of real rows, or thousand calls; a score over less says little
HEADINGS = {
    "still": "Worlds that stand still",
    "growing": "Webs that grow with a share of new real rows",
    "moving": "Worlds that move",
    "flawed": "Flawed or poor beginnings",
}
#: names of the controls that know something and do nothing else, and of the trivial teacher
CONTROLS = {*(name for names in SIDE_INFORMATION.values() for name in names), THINNED, TRIVIAL}
#: those that a method must beat; keep-first is a method's own idea with a constant
FROZEN = "frozen"
RIVALS = CONTROLS - {"keep-first", TRIVIAL}


def sections(board: RankedBoard) -> list[str]:
    """Markdown paragraphs, one heading for each kind of world; empty for a suite of one kind."""
    if not board.worlds:
        return []
    parts = ["## By kind of world"]
    for kind, heading in HEADINGS.items():
        if kind in board.worlds:
            scores = board.worlds[kind]
            tasks = len(scores.efficacy.measured.names)
            parts += [f"### {heading} ({tasks} tasks)", _answer(scores)]
            parts += [_best(scores), _controls(scores)]
            parts.append(_rivals(scores))
    return [part for part in parts if part]


def _entry(row: Any) -> str:
    """`a` +0.31 (+0.20 to +0.42)."""
    interval = "" if math.isnan(row.low) else f" ({row.low:+.2f} to {row.high:+.2f})"
    return f"{code(row.entry)} {row.S:+.2f}{interval}"


def _answer(scores: Scores) -> str:
    """What to do: the highest score by what it takes, each beside standing still."""
    rows = scores.rows[scores.rows.ranked & scores.rows.S.notna()]
    parts = [set(str(track).split("+")) for track in rows.track]
    kinds = {
        "without a verifier and without more real rows": {"real", "verifier"},
        "without a verifier": {"verifier"},
        "overall": set(),
    }
    found = {}
    for words, lacks in kinds.items():
        some = rows[[not part & lacks for part in parts]]
        if not some.empty and some.iloc[0].entry not in found:  # rows are sorted by falling S
            found[some.iloc[0].entry] = (words, next(named_rows(some.head(1))))
    if not found:
        return ""
    texts = [
        f"{words}, {_entry(row)} on track {row.track}{_beside(scores, row.entry)}"
        for words, row in found.values()
    ]
    return (
        "**The highest scores of the rows that cover enough of these tasks for a rank**: "
        + "; ".join(texts)
        + "."
    )


def _beside(scores: Scores, entry: str) -> str:
    """How a row compares with `frozen`, which stops after the first generation."""
    names = scores.entries
    if FROZEN not in names:
        return ""
    if not scores.efficacy.common(names.index(entry), names.index(FROZEN)).any():
        return ""
    pair = compared(names, scores.efficacy, entry, FROZEN)
    verdict = {"yes": "better than", "no": "worse than"}.get(
        pair.verdict, "not significantly different from"
    )
    return f", which is {verdict} {code(FROZEN)} (difference {pair.difference:+.2f})"


def _best(scores: Scores) -> str:
    """The best row of each track, among those that fit two thirds of what the track fits."""
    rows = scores.rows[scores.rows.ranked & scores.rows.S.notna()]
    lines = [
        f"- {track!s}: {_entry(row)}; harmed on {100 * row.harmed:.0f} % of its tasks"
        for track, piece in rows.groupby("track", sort=False)
        if track  # a row that refuses all tasks has none
        for row in named_rows(piece.head(1))
    ]
    return "Best of each track:\n\n" + "\n".join(lines) if lines else ""


def _controls(scores: Scores) -> str:
    rows = scores.rows[scores.rows.control & scores.rows.S.notna()]
    named = [_entry(row) + of_fewer(row) for row in named_rows(rows) if _is_control(row.entry)]
    return f"Controls: {', '.join(named)}." if named else ""


def of_fewer(row: Any) -> str:
    """On how many tasks a score is a mean, of a row that does not fit all of them."""
    fits, every = row.fits.split(" of ")
    return f" on {fits} of the {every} tasks" if fits != every else ""


def _is_control(entry: str) -> bool:
    """Whether this is a control, and not a configuration that a tuned row stands for."""
    return method_of(entry) in CONTROLS


def _rivals(scores: Scores) -> str:
    """Which ranked rows are better than each control, on the tasks that both fit."""
    names = scores.entries
    ranked = scores.rows[scores.rows.ranked & scores.rows.S.notna()].entry
    lines = []
    for rival in names:
        if method_of(rival) not in RIVALS:
            continue
        pairs = [
            compared(names, scores.efficacy, entry, rival)
            for entry in ranked
            if scores.efficacy.common(names.index(entry), names.index(rival)).any()
        ]
        better = sorted(
            (pair for pair in pairs if pair.verdict == "yes"), key=lambda pair: -pair.difference
        )
        if pairs:
            some = ", ".join(f"{code(p.a)} ({p.difference:+.2f})" for p in better)
            lines.append(
                f"- {code(rival)}: {len(better)} of the {len(pairs)} rows with a rank that share "
                "tasks with it" + (f": {some}" if better else "")
            )
    if not lines:
        return ""
    return (
        "Rows that are better than a control, with the difference on the tasks that both fit "
        "(Student's t, 5 % for each pair):\n\n" + "\n".join(lines)
    )


def worth(board: RankedBoard) -> list[str]:
    """What a real row and a verifier call are worth, as paragraphs."""
    frame, usage = board.frame(), board.usage
    if not {"real_share", "own_verifier_calls"} <= set(usage):
        return []
    frame = frame[frame.S.notna() & ~frame.entry.isin(board.configurations)]
    texts = (
        _worth(
            frame.assign(more=100 * frame.entry.map(usage.real_share)),
            "**What a real row is worth**: the score, divided by the share of all rows of a chain "
            "that the method itself draws as further real rows, in per cent",
            "% more real rows",
            ("real-now", "real-only"),
        ),
        _worth(
            frame.assign(more=frame.entry.map(usage.own_verifier_calls) / 1000),
            "**What a verifier call is worth**: the score, divided by the calls of the method "
            "itself in a chain, in thousands",
            "thousand calls",
            ("verifier-only",),
        ),
    )
    return [text for text in texts if text]


def _worth(frame: pd.DataFrame, what: str, amount: str, controls: tuple[str, ...]) -> str:
    """``more`` is the amount that a row uses."""
    rows = frame[~frame.control & (frame.low > 0) & (frame.more >= LEAST_MORE)]
    if rows.empty:
        return ""
    rows = rows.assign(rate=rows.S / rows.more).sort_values("rate", ascending=False)
    with_rate = frame.assign(rate=frame.S / frame.more)
    plain = with_rate[[method_of(entry) in controls for entry in frame.entry]]
    named, plainly = (
        ", ".join(
            f"{code(row.entry)} {row.rate:+.3f} ({row.S:+.2f} with {number(row.more)} {amount})"
            for row in named_rows(some)
        )
        for some in (rows, plain)
    )
    without = f" Controls, which use them and do nothing else: {plainly}." if plainly else ""
    return f"{what}; of rows above 0: {named}.{without}"
