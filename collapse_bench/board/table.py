"""The board: one table object, rendered to terminal, markdown, CSV and JSON."""

from __future__ import annotations

import json
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
from ..status import Status
from .cells import HEADINGS, WORDS, as_words, narrowed, scores_across
from .render import csv, markdown, terminal

#: if all chains have this one status, it is shown without a count
_PLAIN_ENDS = ({Status.DONE.value}, {Status.SKIPPED.value})


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
    def _own_notes(self) -> Iterator[str]:
        """Notes that explain this kind of board."""

    def __repr__(self) -> str:
        rows = len(self.frame())
        return f"{type(self).__name__}({self.suite.name} v{self.suite.version}, {rows} rows)"

    def _notes(self) -> Iterator[str]:
        yield from self._own_notes()
        for task, reason in self.skipped_tasks.items():
            yield f"skipped {task}: {reason}"
        yield from self.notes

    def render(
        self,
        form: str = "table",
        per_task: bool = False,
        width: int | None = None,
        across: bool = False,
    ) -> str:
        """The board as ``table`` (terminal), ``markdown``, ``csv`` or ``json``.

        csv and json have every column, unrounded.  per_task: one row per entry and task.  across:
        one row per entry, one column per task.  width: columns of the terminal; the table leaves
        out columns, and notes are wrapped, to fit.  None: the whole table.  Raises UsageError for
        another format.
        """
        if form not in FORMS:
            raise UsageError(
                f"unknown format {form!r}{nearest(form, FORMS)}; known: {', '.join(FORMS)}; "
                f"a report has {', '.join(REPORTS)}: `collapse-bench report PATH --format`"
            )
        frame = self.across() if across else self.per_task() if per_task else self.frame()
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
        cells = (
            scores_across(frame, short)
            if across
            else as_words(frame)
            if per_task
            else self._cells(frame)
        )
        title = f"{self.suite.name} v{self.suite.version}: {self.suite.title}"
        notes = (
            [f"{name}: {task}" for task, name in short.items()] if across else list(self._notes())
        )
        if form == "markdown":
            return markdown(title, cells, notes)
        if width is not None:
            cells, gone = narrowed(cells, width)
            if gone:
                shown = ", ".join(gone)
                notes.append(f"columns left out: {shown} (--wide or --format csv shows all)")
        return terminal(
            title, cells, notes, width, WORDS, grouped=cells.columns[0] == HEADINGS["track"]
        )


@dataclass(frozen=True, repr=False)
class LossBoard(Board):
    """The board of a suite without calibrated tasks: mean losses instead of scores."""

    def frame(self) -> pd.DataFrame:
        """One row per task and entry, with the mean loss over chains that are done."""
        rows = []
        for (task, entry), piece in self.losses.groupby(["task", "entry"]):
            done = piece.loss[piece.status == Status.DONE.value]
            ends = piece.status.value_counts()
            counts = ", ".join(f"{n} {end}" for end, n in ends.items())
            status = str(ends.index[0]) if set(ends.index) in _PLAIN_ENDS else counts
            rows.append([task, entry, done.mean(), done.sem(), len(done), status])
        return pd.DataFrame(rows, columns=["task", "entry", "loss", "se", "chains", "status"])

    def per_task(self) -> pd.DataFrame:
        """The same as ``frame``: losses have no mean over tasks."""
        return self.frame()

    def across(self) -> pd.DataFrame:
        raise NothingMatched("no task is calibrated, so there are no scores to show by task")

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        return as_words(frame)

    def _own_notes(self) -> Iterator[str]:
        yield (
            "no task is calibrated, so the board shows losses instead of scores; for scores, run "
            f"'collapse-bench suite calibrate' on {self.suite.name}.suite.toml in the folder of "
            "the records, or calibrate the suite file and run it again"
        )
