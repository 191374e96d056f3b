"""A board as a report: its table, a summary in sentences, and the tables behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..display import code
from ..display import markdown as safe
from ..scoring.frontier import at_budgets, at_equal_cost, pareto
from . import worlds
from .cells import percent, signed
from .ranked import RankedBoard
from .render import named_rows, number, rows_of
from .table import Board

MOST = 8  # rows named in one sentence


def report(board: Board, words: Mapping[str, str] | None = None) -> str:
    """A summary in words, the board as markdown, and the score of every entry on every task.

    words: entry -> "helps" or "harms", where the sign of its score holds at other numbers of rows
    and generations (``scoring.stability``); None: those of the board, whose sentences are neutral
    where the grid was not run.
    """
    title, table = board.render("markdown").split("\n\n", 1)
    summary, details = paragraphs(board, words)
    parts = [title, *summary, *(["## Board"] if summary else []), table, *details]
    if isinstance(board, RankedBoard):
        parts += ["## By task", board.render("markdown", across=True).split("\n\n", 1)[1]]
        parts += [text for text in (_configurations(board),) if text]
    return "\n\n".join(parts)


def paragraphs(board: Board, words: Mapping[str, str] | None = None) -> tuple[list[str], list[str]]:
    """Markdown paragraphs under headings, those of a summary and others; empty if no task is
    calibrated."""
    if not isinstance(board, RankedBoard):
        return [], []
    rows = board.frame()
    rows = rows[~rows.control & rows.S.notna()]
    summary = [
        "## Summary",
        _signs(rows, board.words if words is None else words),
        _refused(rows),
        _tail(rows),
        _value(rows),
        _excluded(board),
        *worlds.worth(board),
        *worlds.sections(board),
    ]
    details = [
        "## By family",
        _families(board),
        "## Cost",
        _budgets(board),
        _frontier(board),
        _equal_cost(board),
        _ceilings(board),
    ]
    return [text for text in summary if text], [text for text in details if text]


def _named(rows: pd.DataFrame) -> str:
    """`a` (+0.31, blind), `b` (...), in the order of the rows."""
    names = [
        f"{code(row.entry)} ({row.S:+.2f}, {row.track})" for row in named_rows(rows.head(MOST))
    ]
    more = f" and {len(rows) - MOST} more" if len(rows) > MOST else ""
    return ", ".join(names) + more


def _signs(rows: pd.DataFrame, words: Mapping[str, str]) -> str:
    """Which rows are above and below `none`, and of which of them more may be said."""
    lines = []
    for word, above, some in (
        ("helps", "above", rows[rows.low > 0].sort_values("S", ascending=False)),
        ("harms", "below", rows[rows.high < 0].sort_values("S")),
    ):
        sure = some[some.entry.map(words).eq(word)]
        rest = some[~some.entry.isin(sure.entry)]
        if len(sure):
            lines.append(
                f"- {word.capitalize()}, here and in 8 of 9 cells of other numbers of rows and "
                f"generations: {_named(sure)}"
            )
        lines.append(
            f"- The whole interval is {above} 0 at these numbers of rows and generations: "
            f"{_named(rest) if len(rest) else 'no further row' if len(sure) else 'no row'}"
        )
    return "**Against no mitigation**:\n\n" + "\n".join(lines)


def _refused(rows: pd.DataFrame) -> str:
    some = rows[rows.refused > 0].sort_values(["refused", "entry"], ascending=[False, True])
    if some.empty:
        return ""
    names = ", ".join(
        f"{code(row.entry)} ({row.refused} refused)" for row in named_rows(some.head(MOST))
    )
    return f"**Refused tasks by choice**, which count 0: {names}."


def _tail(rows: pd.DataFrame) -> str:
    """Rows that improve the score and lose more of the tail than no mitigation."""
    bad = rows[(rows.low > 0) & (rows.tail_lost > 1.05)].sort_values("tail_lost", ascending=False)
    if bad.empty:
        return ""
    names = ", ".join(
        f"{code(row.entry)} ({row.tail_lost:.2f})" for row in named_rows(bad.head(MOST))
    )
    return (
        "**Above 0 on average with more of the tail lost** than no mitigation (tail lost, which is "
        f"1 for `none`): {names}."
    )


def _value(rows: pd.DataFrame) -> str:
    """Rows that use what others lack: whether they add anything to it."""
    used = rows[rows.value_control.notna() & (rows.value_control != "none")]
    lines = []
    for verdict, text in (
        ("yes", "Better than the control"),
        ("cannot tell", "Not significantly different from the control"),
        ("no", "Worse than the control"),
    ):
        some = used[used.value_verdict == verdict].sort_values("value", ascending=False)
        if len(some):
            names = ", ".join(
                f"{code(row.entry)} ({row.value:+.2f} against {code(row.value_control)})"
                for row in named_rows(some.head(MOST))
            )
            more = f" and {len(some) - MOST} more" if len(some) > MOST else ""
            lines.append(f"- {text}: {names}{more}")
    if not lines:
        return ""
    return (
        "**What entries add to what they read**, against the control that knows as much:\n\n"
        + "\n".join(lines)
    )


def _excluded(board: RankedBoard) -> str:
    """How many tasks are not scored."""
    gone = board.scores.excluded
    return f"**Not scored**: {len(gone)} task(s), listed above with the reason." if gone else ""


def _families(board: RankedBoard) -> str:
    """Everybody who fits a family, with its rank there."""
    table = board.families()
    parts = []
    for family, piece in table.groupby("family", sort=True):
        cells = pd.DataFrame(
            {
                "track": piece.track,
                "tier": [str(int(v)) if not pd.isna(v) else "-" for v in piece.tier],
                "entry": piece.entry,
                "averted": [signed(v) for v in piece.S],
                "95 %": [
                    f"{signed(a)} {signed(b)}" if not math.isnan(a) else ""
                    for a, b in zip(piece.low, piece.high, strict=True)
                ],
                "fits": [f"{a} of {b}" for a, b in zip(piece.fits, piece.tasks, strict=True)],
            }
        )
        parts.append(f"### {safe(str(family))}\n\n{rows_of(cells)}")
    return "\n\n".join(parts)


def _configurations(board: RankedBoard) -> str:
    """The rows for which a tuned row stands."""
    rows = board.frame()
    rows = rows[rows.entry.isin(board.configurations)].sort_values("entry")
    if rows.empty:
        return ""
    cells = pd.DataFrame(
        {
            "entry": rows.entry,
            "averted": [signed(v) for v in rows.S],
            "95 %": [
                f"{signed(a)} {signed(b)}" if not math.isnan(a) else ""
                for a, b in zip(rows.low, rows.high, strict=True)
            ],
            "covers": [percent(v) for v in rows.coverage],
        }
    )
    return (
        "## Other configurations\n\nThe tuned row of their method stands for them; they have no "
        f"rank.\n\n{rows_of(cells)}"
    )


def _budgets(board: RankedBoard) -> str:
    """The best variant of each method that uses no more real rows."""
    table = at_budgets(board.points())
    table = table.dropna(how="all")
    if table.empty:
        return ""
    cells = pd.DataFrame({"method": table.index})
    for budget in table.columns:
        cells[f"{budget:g}"] = [signed(v) for v in table[budget]]
    return (
        "**Within a budget of real rows**, as a share of the rows that all generations read: the "
        f"best variant of each method.\n\n{rows_of(cells)}"
    )


def _frontier(board: RankedBoard) -> str:
    kept = pareto(board.points())
    if kept.empty:
        return ""
    names = ", ".join(
        f"{code(row.entry)} ({row.S:+.2f} at {percent(row.real)} real rows)"
        for row in named_rows(kept)
    )
    return f"**No other row has a higher score with as few real rows**: {names}."


def _equal_cost(board: RankedBoard) -> str:
    """The rows in classes of equal cost, the best of each."""
    table = at_equal_cost(board.points())
    if table.empty:
        return ""
    lines = []
    for _, piece in table.groupby("cost_class", sort=True):
        most = float(piece.cost_class.iloc[0])
        limit = f"up to {number(most)}x" if np.isfinite(most) else "more"
        names = ", ".join(
            f"{code(row.entry)} ({row.S:+.2f}, {row.cost:.1f}x)"
            for row in named_rows(piece.head(MOST))
        )
        more = f" and {len(piece) - MOST} more" if len(piece) > MOST else ""
        lines.append(f"- {limit}: {names}{more}")
    return "**At equal cost**, in fits or generated rows of `none`:\n\n" + "\n".join(lines)


def _ceilings(board: RankedBoard) -> str:
    """What no method of a track can exceed."""
    table = board.ceilings()
    if table.empty:
        return ""
    cells = pd.DataFrame(
        {
            "task": table.task,
            "track": table.track,
            "no method exceeds": [signed(v) for v in table.ceiling],
            "best here": [
                f"{signed(row.reached)} ± {row.error:.2f} ({row.entry})"
                if row.entry
                else "no entry"
                for row in named_rows(table)
            ],
        }
    )
    return (
        "**What no method of a track can exceed**, by a law, on the scale of the risk score; ± is "
        "the standard error of the difference from that limit:\n\n"
        f"{rows_of(cells)}"
    )
