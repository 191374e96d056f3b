"""What a board says, in sentences made from its numbers: what helps where, what harms, what is bought with real rows."""

from __future__ import annotations

import math

import pandas as pd

from .render import named_rows
from .table import Board, ScoredBoard

MOST = 8  # rows named in one sentence


def report(board: Board) -> str:
    """The board as markdown, what its numbers say, and the score of every entry on every task."""
    parts = [board.render("markdown"), *paragraphs(board)]
    if isinstance(board, ScoredBoard):
        parts += ["## By task", board.render("markdown", across=True).split("\n\n", 1)[1]]
    return "\n\n".join(parts)


def paragraphs(board: Board) -> list[str]:
    """Markdown paragraphs under headings; nothing where no task is calibrated."""
    if not isinstance(board, ScoredBoard):
        return []
    rows = board.frame()
    rows = rows[~rows.control & rows.ranked]
    said = ["## What the numbers say"]
    said += [
        _helps(board, rows),
        _harms(rows),
        _tail(rows),
        _bought(rows),
        _frozen(rows),
        _nothing(board),
    ]
    return [text for text in said if text]


def _named(rows: pd.DataFrame, column: str = "S") -> str:
    """`a` (+0.31, blind), `b` (...), the rows as they come."""
    told = [
        f"`{row.entry}` ({getattr(row, column):+.2f}, {row.track})"
        for row in named_rows(rows.head(MOST))
    ]
    more = f" and {len(rows) - MOST} more" if len(rows) > MOST else ""
    return ", ".join(told) + more


def _helps(board: ScoredBoard, rows: pd.DataFrame) -> str:
    """By family, the rows whose whole interval lies above nothing averted."""
    track = rows.set_index("entry").track
    lines = []
    for family, piece in board.scores.per_family.groupby("family"):
        piece = piece[piece.entry.isin(rows.entry) & piece.aggregated]
        good = piece[piece.low > 0].sort_values("S", ascending=False)
        good = good.assign(track=good.entry.map(track))
        if len(piece):
            found = _named(good) if len(good) else "nothing, of " + f"{len(piece)} entries"
            lines.append(f"- {family}: {found}")
    return (
        "**What helps where** (collapse averted; the whole 95 % interval is above 0):\n\n"
        + "\n".join(lines)
        if lines
        else ""
    )


def _harms(rows: pd.DataFrame) -> str:
    bad = rows[rows.high < 0].sort_values("S")
    if bad.empty:
        return "**What harms**: no row as a whole."
    told = [
        f"`{row.entry}` ({row.S:+.2f}; worst {row.worst_family} {row.worst_score:+.2f}; {100 * row.harmed:.0f} % of its tasks)"
        for row in named_rows(bad.head(MOST))
    ]
    more = f" and {len(bad) - MOST} more" if len(bad) > MOST else ""
    return f"**What harms** (the whole interval is below 0): {', '.join(told)}{more}."


def _tail(rows: pd.DataFrame) -> str:
    """Rows that gain on the score and lose more of the tail than doing nothing."""
    bad = rows[(rows.low > 0) & (rows.tail_lost > 1.05)].sort_values("tail_lost", ascending=False)
    if bad.empty:
        return ""
    told = ", ".join(
        f"`{row.entry}` ({row.tail_lost:.2f} times what `none` loses)"
        for row in named_rows(bad.head(MOST))
    )
    return f"**What helps on average and costs the tail**: {told}."


def _bought(rows: pd.DataFrame) -> str:
    """Rows that used real rows: worth more than those rows, or not."""
    real = rows[rows.real_rows_of_method.fillna(0) > 0]
    gain = real[real.low > 0]
    if real.empty:
        return ""
    words = []
    for verdict, text in (
        ("yes", "Worth more than a fit on nothing but the real rows that were used"),
        ("no", "Merely buys its gain with real rows: a fit on those alone is better"),
        ("cannot tell", "Gains, and cannot be told from a fit on its real rows alone"),
    ):
        some = gain[gain.beats_real_only == verdict].sort_values("S", ascending=False)
        if len(some):
            told = ", ".join(
                f"`{r.entry}` ({r.S:+.2f} against {r.S_real_only:+.2f})"
                for r in named_rows(some.head(MOST))
            )
            words.append(
                f"- {text}: {told}{f' and {len(some) - MOST} more' if len(some) > MOST else ''}"
            )
    none = real[~(real.low > 0)]
    if len(none):
        words.append(
            f"- Uses real rows and averts nothing that can be told: {_named(none.sort_values('S'))}"
        )
    return "**What is bought with real data**:\n\n" + "\n".join(words)


def _frozen(rows: pd.DataFrame) -> str:
    better = rows[rows.beats_frozen == "yes"].sort_values("S", ascending=False)
    frozen = rows.S_frozen.iloc[0] if len(rows) else math.nan
    if math.isnan(frozen):
        return ""
    found = _named(better) if len(better) else "no row"
    return f"**Better than stopping at generation 0** ({frozen:+.2f}): {found}."


def _nothing(board: ScoredBoard) -> str:
    gone = board.scores.excluded
    return (
        f"**Nothing to avert** in {len(gone)} task(s), listed above with their gap." if gone else ""
    )
