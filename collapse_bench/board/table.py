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
from ..scoring.comparison import Comparison
from ..scoring.first_version import score as first_version
from ..scoring.rules import nearest
from ..scoring.score import Scores
from ..status import Status
from .cells import HEADINGS, WORDS, as_words, narrowed, scores_across, signed
from .render import csv, markdown, named_rows, terminal

NEAREST = 5  # rows of each kind that the note on the focus row names
#: if all chains have this one status, it is shown without a count
_PLAIN_ENDS = ({Status.DONE.value}, {Status.SKIPPED.value})
COST_OF_TRACK = {"blind": 0, "first": 1, "provenance": 2, "real": 3, "verifier": 4}


@dataclass(frozen=True, repr=False)
class Board(ABC):
    """The leaderboard of one suite: ``ScoredBoard`` if a task is calibrated, else ``LossBoard``.

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
        shown = self.losses[~self.losses.entry.str.startswith("real-only @ ")]
        rows = []
        for (task, entry), piece in shown.groupby(["task", "entry"]):
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


@dataclass(frozen=True, repr=False)
class ScoredBoard(Board):
    """The board of a suite with calibrated tasks.

    lost: columns task, entry, what (tail or diversity) and lost, where `nature` is 0 and `none` 1.
    """

    scores: Scores | first_version.Scores = field(repr=False)
    lost: pd.DataFrame = field(repr=False)

    @abstractmethod
    def compare(self, a: str, b: str) -> Comparison:
        """One pair of rows.  Raises UsageError where they cannot be compared."""

    # -- frames ------------------------------------------------------------------------------------

    def _with_usage(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with what entries used, and what they lost of the tail and of diversity."""
        wanted = {
            "real_rows": "real_rows",
            "real_unique": "real_unique",
            "own_real_rows": "real_rows_of_method",
            "verifier_calls": "verifier_calls",
            "effective_real": "effective_real",
            "lesson": "lesson",
            "seconds": "seconds",
            "cost": "cost",
        }
        for source, name in wanted.items():
            rows[name] = rows.entry.map(self.usage[source]) if source in self.usage else math.nan
        for what in ("tail", "diversity"):
            lost = self.lost[self.lost.what == what].groupby("entry").lost.mean()
            rows[f"{what}_lost"] = rows.entry.map(lost)
        return rows

    def _in_order(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Track by track by falling S; rows without a tier, then controls, come last."""
        rows["track"] = rows.track.where(~rows.control, "control")
        place = {track: i for i, track in enumerate([*self._tracks, "control"])}
        rows = rows.assign(_place=rows.track.map(place), _tierless=~rows.ranked & ~rows.control)
        rows = rows.sort_values("S", ascending=False, kind="stable")
        rows = rows.sort_values(["_place", "_tierless"], kind="stable")
        return rows.drop(columns=["_place", "_tierless"]).reset_index(drop=True)

    def _beats(self, entry: str, other: str) -> str:
        if not {entry, other} <= set(self.scores.entries):
            return ""
        try:
            return self.compare(entry, other).verdict
        except UsageError:  # a row without a score cannot be compared
            return ""

    def per_task(self) -> pd.DataFrame:
        """One row per entry and task."""
        frame = self.scores.per_task
        # entries that were never planned for the task
        absent = (frame.weight == 0) & (frame.status == "incomplete") & (frame.chains == 0)
        frame = frame[~frame.entry.str.startswith("real-only @ ") & ~absent].reset_index(drop=True)
        means = (
            self.losses[self.losses.status == Status.DONE.value]
            .groupby(["task", "entry"])
            .loss.mean()
        )
        frame["loss"] = [
            means.get((task, entry), math.nan)
            for task, entry in zip(frame.task, frame.entry, strict=True)
        ]
        return frame

    def across(self) -> pd.DataFrame:
        """One row per entry, one column per task: the score S_k.

        NaN where the entry does not fit the task or was not planned for it.
        """
        frame = self.per_task()
        shares = frame[frame.status != Status.SKIPPED.value].pivot(
            index="entry", columns="task", values="S_k"
        )
        order = self.frame()[["track", "entry", "S"]]
        return order.join(shares[sorted(shares.columns)], on="entry")

    # -- rendering ---------------------------------------------------------------------------------

    @property
    def _horizon(self) -> str:
        own = [task.generations for task in self.suite.tasks]
        ends = sorted({self.suite.generations if end is None else end for end in own})
        return (
            f"generation {ends[0]}"
            if len(ends) == 1
            else f"{ends[0]} to {ends[-1]} generations, depending on the task"
        )

    @property
    def _tracks(self) -> list[str]:
        """Tracks from the cheapest knowledge to the most expensive."""
        return sorted(
            set(self.scores.rows.track),
            key=lambda track: ([COST_OF_TRACK.get(t, 9) for t in track.split("+")][::-1], track),
        )

    def _place(self, name: str) -> str:
        """The note on the focus row: its score, its tier, and which rows are better or worse."""
        rows = self.scores.rows.set_index("entry")
        own = next(named_rows(rows.loc[[name]]))
        others = rows[rows.p_focus.notna()].drop(name, errors="ignore")
        note = f"* focus row: {name}, {signed(own.S) or 'no score'}"
        note += "" if math.isnan(own.low) else f" [{signed(own.low)}, {signed(own.high)}]"
        if own.ranked and not math.isnan(own.tier):
            tiers = rows[(rows.track == own.track) & rows.ranked & ~rows.control].tier.max()
            note += f", tier {own.tier:.0f} of {tiers:.0f} on track {own.track}"
        apart = others.p_focus < 0.05
        gap = others.d_focus if "d_focus" in others else own.S - others.S
        verdicts = {
            "significantly better than": apart & (gap > 0),
            "significantly worse than": apart & (gap < 0),
            "not significantly different from": ~apart,
        }
        for words, which in verdicts.items():
            some = others[which].loc[gap[which].abs().sort_values(kind="stable").index]
            if len(some):
                shown = ", ".join(
                    f"{row.Index} (p = {row.p_focus:.1g})"
                    for row in some.head(NEAREST).itertuples()
                )
                closest = ", the closest" * (len(some) > NEAREST)
                note += f"; {words} {len(some)} of {len(others)} rows{closest}: {shown}"
        return f"{note} (Holm, 5 %)" if len(others) else note
