"""The card of one method: where it stands on a board, where it helps and harms, and what next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..display import html, html_table, shell, shortened, visible
from ..errors import UsageError
from ..scoring.rules import REFUSED
from ..status import Status
from .cells import bar, color_of, cut_short, method_of, p_value, percent, signed
from .ranked import RankedBoard
from .render import listed, named_rows, number, terminal, wrapped
from .table import Board, LossBoard

ENDS = 3  # best and worst tasks
DEAR = 2.0  # a cost above this multiple of that of `none` is a warning
MOST_TAIL = 1.05  # more of the tail lost than this is a warning; `none` loses 1
EMPTY = "\u00b7"  # of the grid: it fits no task there


@dataclass(frozen=True)
class Card:
    """What a board says about one row.

    facts: heading -> sentence.  grid: its mean score by family and kind of world, or protocol, as
    text; None without scores of a calibrated suite.  ends: its best and worst tasks.
    """

    title: str
    facts: Mapping[str, str]
    colors: Mapping[str, str]  # heading -> colour of its sentence
    grid: pd.DataFrame | None
    ends: tuple[tuple[str, float, str], ...]  # task, score, colour
    warnings: tuple[str, ...]
    commands: tuple[str, ...]

    def render(self, width: int | None = None, color: bool = False) -> str:
        """The card as text for a terminal; None: 100 columns."""
        size = width or 100
        room = max(map(len, self.facts), default=0) + 2
        lines = [_styled(visible(self.title), "bold", color)]
        for heading, text in self.facts.items():
            first, *more = wrapped(visible(text), size - room)
            style = self.colors.get(heading, "")
            lines.append(f"{heading:<{room}}{_styled(first, style, color)}")
            lines += [f"{'':{room}}{line}" for line in more]
        if self.grid is not None:
            table = cut_short(self.grid, size)
            lines += [
                "",
                terminal("mean score by family", table, (), None, (self.grid.columns[0],)),
            ]
        if self.ends:
            lines += ["", "best and worst tasks"]
            lines += [
                f"  {_styled(signed(score), style, color)}  {shortened(visible(task), size - 9)}"
                for task, score, style in self.ends
            ]
        if self.warnings:
            lines += ["", _styled("warnings", "yellow", color), listed(self.warnings, size)]
        if self.commands:
            lines += ["", "next", *(f"  {visible(command)}" for command in self.commands)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<b>{html(self.title)}</b>", html_table(["", " "], self.facts.items(), ("", " "))]
        if self.grid is not None:
            left = self.grid.columns[:1]
            parts.append(html_table(self.grid.columns, self.grid.itertuples(index=False), left))
        ends = [(task, signed(score)) for task, score, _ in self.ends]
        parts.append(html_table(["task", "averted"], ends, ("task",)))
        for heading, texts in (("warnings", self.warnings), ("next", self.commands)):
            items = "".join(f"<li>{html(text)}</li>" for text in texts)
            parts.append(f"{heading}<ul>{items}</ul>" if items else "")
        return f"<div>{''.join(parts)}</div>"


def card_of(
    board: Board,
    entry: str,
    path: str,
    others: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Card:
    """The card of a row of a board.

    path: of the results, for commands.  others: further configurations of the method that ran on
    the seeds of the exam.  commands: to run next, before the one that this card adds.  Raises
    UsageError where the board has no such row.
    """
    frame = board.frame()
    if entry not in set(frame.entry):
        raise UsageError(f"there is no row {entry!r} on the board of {board.suite.name}")
    chosen = _tuned_on_exam(entry, others)
    if isinstance(board, RankedBoard):
        return _ranked(board, frame, entry, path, chosen, commands)
    assert isinstance(board, LossBoard)
    return _provisional(board, frame, entry, chosen, commands)


# -- a ranked board --------------------------------------------------------------------------------


def _ranked(
    board: RankedBoard,
    frame: pd.DataFrame,
    entry: str,
    path: str,
    chosen: list[str],
    commands: Sequence[str],
) -> Card:
    row = next(named_rows(frame[frame.entry == entry]))
    tasks = board.per_task()
    mine = tasks[(tasks.entry == entry) & (tasks.weight > 0)]
    mine = mine[mine.status.isin([Status.DONE.value, REFUSED])]
    facts = {
        "place": _place(frame, row),
        "score": _score(row),
        "real rows": _equal_rows(board, frame, row),
        "adds": _adds(row),
        "covers": f"{percent(row.coverage)} of the suite's weight, {row.fits} tasks",
    }
    rival = "" if board.broken(entry) else _rival(frame, row)
    compare = shell([entry, rival, path, "--suite", board.suite.name])
    more = [f"collapse-bench compare {compare}"] if rival else []
    return Card(
        f"{entry} on {board.suite.name} v{board.suite.version}",
        {heading: text for heading, text in facts.items() if text},
        {"score": color_of(row.low, row.high)},
        _grid(board, mine),
        _ends(mine),
        (*chosen, *_warnings(row)),
        (*commands, *more),
    )


def _place(frame: pd.DataFrame, row: Any) -> str:
    if row.control:
        return "a control, which has no rank"
    if not row.ranked:
        return f"no rank on track {row.track}: {row.reason}"
    track = frame[(frame.track == row.track) & frame.ranked & ~frame.control]
    tier = "" if pd.isna(row.tier) else f", tier {row.tier:.0f} of {track.tier.max():.0f}"
    spread = (
        ""
        if math.isnan(row.rank_low)
        else f"; over chains and tasks, 95 % of ranks are {row.rank_low:.0f} to {row.rank_high:.0f}"
    )
    return f"{row.rank:.0f} of {len(track)} on track {row.track}{tier}{spread}"


def _score(row: Any) -> str:
    interval = "" if math.isnan(row.low) else f" [{signed(row.low)}, {signed(row.high)}]"
    against = "" if math.isnan(row.p_none) else f", p = {p_value(row.p_none)} against none"
    return f"{signed(row.S) or 'none'}{interval}  {bar(row.S)}  over {row.chains} chains{against}"


def _equal_rows(board: RankedBoard, frame: pd.DataFrame, row: Any) -> str:
    """The row against the controls that read real rows and do nothing else."""
    parts = []
    if row.real_rows >= 0:
        parts.append(f"{number(row.real_rows)} drawn per chain")
    if not math.isnan(row.effective_real):
        parts.append(f"its loss is that of {number(row.effective_real)} n real rows")
    rivals = [name for name in frame.entry if method_of(name) in ("real-now", "real-only")]
    for rival in rivals:
        try:
            pair = board.compare(row.entry, rival)
        except UsageError:  # no score, or no task in common
            continue
        interval = "" if math.isnan(pair.low) else f" [{signed(pair.low)}, {signed(pair.high)}]"
        drawn = frame[frame.entry == rival].real_rows.iloc[0]
        of = f" ({number(drawn)} rows)" if drawn >= 0 else ""
        parts.append(f"{signed(pair.difference)}{interval} against {rival}{of}")
    return "; ".join(parts)


def _adds(row: Any) -> str:
    """What the row adds to the side information that it reads."""
    if not isinstance(row.value_control, str):
        return ""
    verdict = {"yes": "it adds something", "no": "it is worse"}.get(
        row.value_verdict, "cannot tell whether it adds something"
    )
    return (
        f"{signed(row.value)} to {row.value_control}, which knows as much and does nothing "
        f"else: {verdict}"
    )


def _rival(frame: pd.DataFrame, row: Any) -> str:
    """The next better row of its track, or the next one below the best; "" where it is alone."""
    track = frame[(frame.track == row.track) & frame.ranked & ~frame.control & frame.S.notna()]
    others = track[track.entry != row.entry]
    if others.empty or math.isnan(row.S):
        return "none" if row.entry != "none" and not math.isnan(row.S) else ""
    above = others[others.S >= row.S]
    return str(above.entry.iloc[-1] if len(above) else others.entry.iloc[0])


def _kinds(board: RankedBoard, tasks: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(what the columns of the grid are, task -> its column)."""
    found = {
        task: kind
        for kind, scores in board.worlds.items()
        for task in scores.efficacy.measured.names
    }
    if found:
        return "kind of world", found
    return "protocol", {task: _protocol(task) for task in tasks}


def _protocol(task: str) -> str:
    """The protocol in the label of a task, without its parameters."""
    parts = task.partition(" @ ")[0].split(" | ")
    return method_of(parts[2]) if len(parts) > 2 else ""


def _grid(board: RankedBoard, mine: pd.DataFrame) -> pd.DataFrame | None:
    if mine.empty:
        return None
    what, kind = _kinds(board, list(mine.task))
    table = mine.assign(kind=mine.task.map(kind))
    known = dict.fromkeys(kind.values())
    columns = [name for name in known if name in set(table.kind)]
    rows = []
    for family, piece in [*table.groupby("family"), ("all", table)]:
        means = piece.groupby("kind").S_k.mean()
        cells = {name: signed(means[name]) if name in means else EMPTY for name in columns}
        rows.append({f"family \\ {what}": str(family), **cells, "all": signed(piece.S_k.mean())})
    return pd.DataFrame(rows)


def _ends(mine: pd.DataFrame) -> tuple[tuple[str, float, str], ...]:
    """The best and the worst tasks, best first; all where there are few."""
    rows = [
        # two standard errors, as the tasks that a row harms are told from the others
        (str(row.task), float(row.S_k), color_of(row.S_k - 2 * row.se, row.S_k + 2 * row.se))
        for row in named_rows(mine.sort_values("S_k", ascending=False, kind="stable"))
    ]
    return tuple(rows if len(rows) <= 2 * ENDS else [*rows[:ENDS], *rows[-ENDS:]])


def _warnings(row: Any) -> Iterator[str]:
    if row.refused:
        yield f"it declined {row.refused} task(s) by choice, which count 0"
    if row.failed > 0:
        yield f"{percent(row.failed)} of its chains failed, and count as the control trivial"
    if row.harmed > 0:
        yield f"it is significantly worse than no mitigation on {percent(row.harmed)} of its tasks"
    if row.risk_flag:
        yield (
            f"its mean loss tells another story than its typical one: the risk score is "
            f"{signed(row.risk)}"
        )
    if row.S > 0 and row.tail_lost > MOST_TAIL:
        yield f"it loses more of the tail than no mitigation: {row.tail_lost:.2f} times as much"
    if row.relative_cost > DEAR:
        yield f"it costs {row.relative_cost:.1f} times the fits or generated rows of none"


def _tuned_on_exam(entry: str, others: Sequence[str]) -> list[str]:
    if not others:
        return []
    some = ", ".join(others[:ENDS]) + (
        f" and {len(others) - ENDS} more" if len(others) > ENDS else ""
    )
    return [
        f"{len(others)} other configuration(s) of {method_of(entry)} ran on the seeds of this exam "
        f"({some}); the best of several is too good there: choose with `collapse-bench sweep` or "
        "--tune, which use other seeds"
    ]


# -- a board without calibration -------------------------------------------------------------------


def _provisional(
    board: LossBoard,
    frame: pd.DataFrame,
    entry: str,
    chosen: list[str],
    commands: Sequence[str],
) -> Card:
    mine = frame[frame.entry == entry]
    scored = mine[mine.S.notna()]
    facts = {"place": "none: the suite is not calibrated, so no row has a rank"}
    color = ""
    if board.scored is not None and not scored.empty:
        row = next(named_rows(board.scored.rows[board.scored.rows.entry == entry]))
        facts["score"] = f"{_score(row)}, provisional and uncalibrated"
        color = color_of(row.low, row.high)
    tasks = scored.drop(columns="se").assign(se=(scored.high - scored.low) / 4)
    tasks = tasks.rename(columns={"S": "S_k"})
    return Card(
        f"{entry} on {board.suite.name}",
        facts,
        {"score": color},
        None,
        _ends(tasks),
        tuple(chosen),
        tuple(commands),
    )


# -- text ------------------------------------------------------------------------------------------

_CODES = {"bold": "1", "green": "32", "red": "31", "yellow": "33"}


def _styled(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style and text else text
