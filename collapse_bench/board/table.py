"""The board: one table object, rendered to terminal, markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..display import json_text
from ..errors import NothingMatched, UsageError
from ..forms import FORMS, REPORTS
from ..records.settings import SuiteModel
from ..scoring.rules import nearest
from ..scoring.score import Scores
from ..status import Status
from .cells import (
    HEADINGS,
    WORDS,
    as_words,
    chosen,
    color_of,
    narrowed,
    p_value,
    scores_across,
    signed,
)
from .provisional import Provisional
from .render import csv, listed, markdown, named_rows, terminal, webpage

BAR = " "  # the heading of the bars
PROVISIONAL = "provisional"  # the heading of a provisional score
QUIET = ("none", "nature", "trivial")  # their scores follow from the units

#: if all chains have this one status, it is shown without a count
_PLAIN_ENDS = ({Status.DONE.value}, {Status.SKIPPED.value})


@dataclass(frozen=True)
class Fitted:
    """A table that fits a terminal: its cells, the columns left out, and for each row the styles of
    its cells by column."""

    cells: pd.DataFrame
    styles: Sequence[Mapping[str, str]]
    gone: list[str]


@dataclass(frozen=True, repr=False)
class Board(ABC):
    """The leaderboard of one suite: ``RankedBoard`` if a task is calibrated, else ``LossBoard``.

    losses: one row per (task, entry, seed) with the primary loss at the horizon.  usage: one row
    per entry with what it used.
    """

    suite: SuiteModel
    losses: pd.DataFrame = field(repr=False)
    usage: pd.DataFrame = field(repr=False)
    skipped_tasks: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    # cell id -> the code that computed its records, see Record.code
    codes: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)
    # what forbids publishing without a second look; also among the notes
    doubts: tuple[str, ...] = field(default=(), kw_only=True, repr=False)

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """The board with unrounded numbers."""

    @abstractmethod
    def per_task(self) -> pd.DataFrame:
        """One row per entry and task."""

    @abstractmethod
    def across(self) -> pd.DataFrame:
        """One row per entry, one column per task: the score S_k.

        NaN where the entry does not fit the task or was not planned for it.  Raises NothingMatched
        if no task is calibrated.
        """

    @abstractmethod
    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` as text, with headings for readers."""

    @abstractmethod
    def _legend(self) -> Iterator[str]:
        """What the columns of this kind of board mean."""

    @abstractmethod
    def _findings(self) -> Iterator[str]:
        """Notes on the rows of this board."""

    def _main_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``frame`` that a reader sees who asks for none by name."""
        return frame

    @property
    def scored(self) -> Scores | None:
        """The scores behind the board; None where it has none."""
        return None

    def broken(self, entry: str) -> bool:
        """Whether every chain of a row failed, so that its code is at fault."""
        ended = set(self.losses.status[self.losses.entry == entry]) - {Status.SKIPPED.value}
        return ended == {Status.FAILED.value}

    def _fitted(self, frame: pd.DataFrame, width: int) -> Fitted:
        """``frame`` for a terminal of this width."""
        cells, gone = narrowed(self._cells(frame), width)
        return Fitted(cells, (), gone)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        cells = self._cells(self.frame())
        return webpage(self._title, cells, list(self._notes()), WORDS)

    def __repr__(self) -> str:
        rows = len(self.frame())
        return f"{type(self).__name__}({self.suite.name} v{self.suite.version}, {rows} rows)"

    @property
    def _title(self) -> str:
        return f"{self.suite.name} v{self.suite.version}: {self.suite.title}"

    def _notes(self, legend: bool = True) -> Iterator[str]:
        if legend:
            yield from self._legend()
        yield from self._findings()
        for task, reason in self.skipped_tasks.items():
            yield f"skipped {task}: {reason}"
        yield from self.notes

    def render(
        self,
        form: str = "table",
        per_task: bool = False,
        width: int | None = None,
        across: bool = False,
        entries: Sequence[str] = (),
        legend: bool = True,
        color: bool = False,
        notes: bool = True,
    ) -> str:
        """The board as ``table`` (terminal), ``markdown``, ``csv`` or ``json``.

        csv and json have every column, unrounded.  per_task: one row per entry and task.  across:
        one row per entry, one column per task.  width: columns of the terminal; the table leaves
        out columns, and notes are wrapped, to fit.  None: the whole table.  entries: show only rows
        of these names or methods, or that match one of these patterns; none: all.  legend: say in
        the notes what the columns mean.  color: with the codes of a terminal.  notes: below a
        table.  Raises UsageError for another format, NothingMatched where no row is left.
        """
        if form not in FORMS:
            raise UsageError(
                f"unknown format {form!r}{nearest(form, FORMS)}; known: {', '.join(FORMS)}; "
                f"a report has {', '.join(REPORTS)}: `collapse-bench report PATH --format`"
            )
        frame = self.across() if across else self.per_task() if per_task else self.frame()
        further = 0
        if entries:
            frame = chosen(frame, entries)
        elif form in ("table", "markdown"):
            every, frame = len(frame), self._main_rows(frame)
            further = every - len(frame)
        if form == "csv":
            return csv(frame)
        if form == "json":
            return json_text(
                {
                    "suite": f"{self.suite.name} v{self.suite.version}",
                    "notes": list(self._notes()),
                    "rows": json.loads(frame.to_json(orient="records")),
                }
            )
        short = {task: f"T{i}" for i, task in enumerate(frame.columns[3:], 1)} if across else {}
        shown = [f"{name}: {task}" for task, name in short.items()]
        if not across:
            shown = list(self._notes(legend or form == "markdown"))
        if further:
            shown.append(
                f"{further} rows of other configurations are not here: --entry METHOD shows those "
                "of a method, --format csv shows all"
            )
        if form == "markdown" or width is None or across or per_task:
            cells = (
                scores_across(frame, short)
                if across
                else as_words(frame)
                if per_task
                else self._cells(frame)
            )
            if form == "markdown":
                return markdown(self._title, cells, shown)
            gone: list[str] = []
            if width is not None:
                cells, gone = narrowed(cells, width)
            fit = Fitted(cells, (), gone)
        else:
            fit = self._fitted(frame, width)
        if fit.gone:
            left_out = ", ".join(fit.gone)
            shown.append(f"columns left out: {left_out} (--wide or --format csv shows all)")
        if not legend and not across and any(True for _ in self._legend()):
            shown.append("--legend says what the columns mean")
        return terminal(
            self._title,
            fit.cells,
            shown if notes else (),
            width,
            (*WORDS, BAR),
            grouped=fit.cells.columns[0] == HEADINGS["track"],
            styles=fit.styles if color else None,
            color=color,
        )

    def note_lines(self, width: int | None = None, legend: bool = False) -> str:
        """The notes of the board as text."""
        notes = list(self._notes(legend))
        if not legend and any(True for _ in self._legend()):
            notes.append("`collapse-bench board` with --legend says what the columns mean")
        return listed(notes, width)


@dataclass(frozen=True, repr=False)
class LossBoard(Board):
    """The board of a suite without calibrated tasks: mean losses, and provisional scores.

    provisional: scores with units of these chains; None where no task can be scored.  lacking: task
    -> why it has no provisional score.
    """

    provisional: Provisional | None = field(default=None, repr=False)
    lacking: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def scored(self) -> Scores | None:
        return None if self.provisional is None else self.provisional.whole

    def frame(self) -> pd.DataFrame:
        """One row per task and entry, with the mean loss over chains that are done, and the
        provisional score: S, its 95 % interval low to high, and p_none against `none`."""
        known = {
            (task, row.entry): (row.S, row.low, row.high, row.p_none)
            for task, scores in (self.provisional.tasks if self.provisional else {}).items()
            for row in named_rows(scores.rows)
        }
        rows: list[list[Any]] = []
        for (task, entry), piece in self.losses.groupby(["task", "entry"]):
            done = piece.loss[piece.status == Status.DONE.value]
            ends = piece.status.value_counts()
            counts = ", ".join(f"{n} {end}" for end, n in ends.items())
            status = str(ends.index[0]) if set(ends.index) in _PLAIN_ENDS else counts
            scores = known.get((str(task), str(entry)), (math.nan,) * 4)
            rows.append([task, entry, done.mean(), done.sem(), len(done), status, *scores])
        columns = ["task", "entry", "loss", "se", "chains", "status", "S", "low", "high", "p_none"]
        return pd.DataFrame(rows, columns=columns)

    def per_task(self) -> pd.DataFrame:
        """The same as ``frame``: losses have no mean over tasks."""
        return self.frame()

    def across(self) -> pd.DataFrame:
        raise NothingMatched("no task is calibrated, so there are no scores to show by task")

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        cells = as_words(frame[["task", "entry", "loss", "se", "chains", "status"]])
        if self.provisional is None:
            return cells
        texts = {
            PROVISIONAL: [signed(value) for value in frame.S],
            HEADINGS["interval"]: [
                "" if math.isnan(low) else f"{signed(low)} {signed(high)}"
                for low, high in zip(frame.low, frame.high, strict=True)
            ],
            "p": [p_value(value) for value in frame.p_none],
        }
        for place, (name, text) in enumerate(texts.items(), 2):
            cells.insert(place, name, text)
        return cells

    def _fitted(self, frame: pd.DataFrame, width: int) -> Fitted:
        """Without the task in every row, where there is only one."""
        cells = self._cells(frame)
        if frame.task.nunique() == 1:
            cells = cells.drop(columns="task")
        cells, gone = narrowed(cells, width)
        styles = [
            {PROVISIONAL: color_of(row.low, row.high)} if row.entry not in QUIET else {}
            for row in named_rows(frame)
        ]
        return Fitted(cells, styles, gone)

    @property
    def _title(self) -> str:
        tasks = list(dict.fromkeys(self.losses.task))
        return f"{super()._title}: {tasks[0]}" if len(tasks) == 1 else super()._title

    def _legend(self) -> Iterator[str]:
        if self.provisional is not None:
            yield (
                "averted, provisional: 1 is as good as the oracle teacher `nature`, 0 as no "
                "mitigation, -1 as the control `trivial`; it is the difference to `none`, paired "
                "by chain, with its 95 % interval and p (Student); uncalibrated: the units were "
                "measured on these chains, so that the score has no rank and cannot be compared "
                "with that of another run"
            )

    def _findings(self) -> Iterator[str]:
        what = (
            "the board shows losses instead of scores"
            if self.provisional is None
            else "the scores are provisional and no row has a rank"
        )
        yield (
            f"no task is calibrated, so {what}; for scores, run 'collapse-bench suite calibrate' "
            f"on {self.suite.name}.suite.toml in the folder of the records, or calibrate the suite "
            "file and run it again"
        )
        for task, why in self.lacking.items():
            yield f"no provisional score for {task}: {why}"
