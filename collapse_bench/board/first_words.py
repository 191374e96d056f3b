"""A summary in sentences of a board that is scored by the first version of the score."""

from __future__ import annotations

import math

import pandas as pd

from ..display import code
from ..display import markdown as safe
from .first_version import FirstBoard
from .render import named_rows

MOST = 8  # rows named in one sentence


def paragraphs(board: FirstBoard) -> list[str]:
    """Markdown paragraphs under headings."""
    rows = board.frame()
    rows = rows[~rows.control & rows.ranked]
    parts = ["## Summary"]
    parts += [
        _helps(board, rows),
        _harms(rows),
        _tail(rows),
        _real_data(rows),
        _frozen(rows),
        _excluded(board),
    ]
    return [text for text in parts if text]


def _named(rows: pd.DataFrame, column: str = "S") -> str:
    """`a` (+0.31, blind), `b` (...), in the order of the rows."""
    names = [
        f"{code(row.entry)} ({getattr(row, column):+.2f}, {row.track})"
        for row in named_rows(rows.head(MOST))
    ]
    more = f" and {len(rows) - MOST} more" if len(rows) > MOST else ""
    return ", ".join(names) + more


def _helps(board: FirstBoard, rows: pd.DataFrame) -> str:
    """By family, the rows whose whole interval is above 0."""
    track = rows.set_index("entry").track
    lines = []
    for family, piece in board.scores.per_family.groupby("family"):
        piece = piece[piece.entry.isin(rows.entry) & piece.aggregated]
        good = piece[piece.low > 0].sort_values("S", ascending=False)
        good = good.assign(track=good.entry.map(track))
        if len(piece):
            names = _named(good) if len(good) else f"none of {len(piece)} entries"
            lines.append(f"- {safe(family)}: {names}")
    return (
        "**What helps** in each family (collapse averted; the whole 95 % interval is above 0):\n\n"
        + "\n".join(lines)
        if lines
        else ""
    )


def _harms(rows: pd.DataFrame) -> str:
    """The rows whose whole interval is below 0."""
    bad = rows[rows.high < 0].sort_values("S")
    if bad.empty:
        return "**What harms**: no row."
    names = [
        f"{code(row.entry)} ({row.S:+.2f}; worst {safe(row.worst_family)} {row.worst_score:+.2f}; "
        f"harms {100 * row.harmed:.0f} % of the tasks)"
        for row in named_rows(bad.head(MOST))
    ]
    more = f" and {len(bad) - MOST} more" if len(bad) > MOST else ""
    return f"**What harms** (the whole 95 % interval is below 0): {', '.join(names)}{more}."


def _tail(rows: pd.DataFrame) -> str:
    """Rows that improve the score and lose more of the tail than no mitigation."""
    bad = rows[(rows.low > 0) & (rows.tail_lost > 1.05)].sort_values("tail_lost", ascending=False)
    if bad.empty:
        return ""
    names = ", ".join(
        f"{code(row.entry)} ({row.tail_lost:.2f})" for row in named_rows(bad.head(MOST))
    )
    return (
        "**What helps on average but loses more of the tail** than no mitigation "
        f"(tail lost, which is 1 for `none`): {names}."
    )


def _real_data(rows: pd.DataFrame) -> str:
    """The entries that used real rows: better than training on those rows only, or not."""
    real = rows[rows.real_rows_of_method.fillna(0) > 0]
    gain = real[real.low > 0]
    if real.empty:
        return ""
    words = []
    for verdict, text in (
        ("yes", "Better than training only on the same number of real rows"),
        ("no", "Helps, but training only on the same number of real rows is better"),
        (
            "cannot tell",
            "Helps, and does not differ significantly from training only on the same number of "
            "real rows",
        ),
    ):
        some = gain[gain.beats_real_only == verdict].sort_values("S", ascending=False)
        if len(some):
            names = ", ".join(
                f"{code(r.entry)} ({r.S:+.2f} against {r.S_real_only:+.2f})"
                for r in named_rows(some.head(MOST))
            )
            more = f" and {len(some) - MOST} more" if len(some) > MOST else ""
            words.append(f"- {text}: {names}{more}")
    none = real[~(real.low > 0)]
    if len(none):
        words.append(
            f"- Uses real rows without a significant gain: {_named(none.sort_values('S'))}"
        )
    return (
        "**What real data buys** (score against that of real-only, a model trained only on as "
        "many unique real rows):\n\n" + "\n".join(words)
    )


def _frozen(rows: pd.DataFrame) -> str:
    """The rows that are significantly better than the control `frozen`."""
    better = rows[rows.beats_frozen == "yes"].sort_values("S", ascending=False)
    frozen = rows.S_frozen.iloc[0] if len(rows) else math.nan
    if math.isnan(frozen):
        return ""
    names = _named(better) if len(better) else "no row"
    return f"**Better than `frozen`**, which stops at generation 0 ({frozen:+.2f}): {names}."


def _excluded(board: FirstBoard) -> str:
    """How many tasks are not scored."""
    gone = board.scores.excluded
    return f"**Not scored**: {len(gone)} task(s), listed above with the reason." if gone else ""
