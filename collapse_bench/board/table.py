"""The board: one table object, rendered to terminal, markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..display import json_text, shortened, visible
from ..errors import NothingMatched, UsageError
from ..forms import FORMS
from ..records.settings import SuiteModel
from ..scoring.rules import WORST
from ..scoring.score import Scores, compare
from ..status import Status
from .render import csv, markdown, named_rows, needed, number, terminal

LEAST = 16  # characters of a text that is cut to fit a terminal
NEAREST = 5  # rows of each kind that the note on the focus row names
MOST_LOST = 1 - WORST  # limit of "tail lost" and "diversity lost", which are 1 for `none`
#: if all chains have this one status, it is shown without a count
_PLAIN_ENDS = ({Status.DONE.value}, {Status.SKIPPED.value})
COST_OF_TRACK = {"blind": 0, "provenance": 1, "real": 2, "verifier": 3}
HEADINGS = {
    "track": "track",
    "tier": "tier",
    "entry": "entry",
    "score": "averted",
    "interval": "95 %",
    "chains": "chains",
    "tail": "tail lost",
    "diversity": "diversity lost",
    "worst": "worst family",
    "harmed": "harmed",
    "fits": "fits",
    "failed": "failed",
    "risk": "risk score",
    "real": "real rows",
    "verifier": "verifier calls",
    "cost": "cost",
    "real_only": "S real-only",
    "beats": "beats real-only",
    "frozen": "beats frozen",
    "effective": "n_e/n",
    "lesson": "ESS/n",
}


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
            raise UsageError(f"unknown format {form!r}; known: {', '.join(FORMS)}")
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
            _scores_across(frame, short)
            if across
            else _as_words(frame)
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
            cells, gone = _narrowed(cells, width)
            if gone:
                shown = ", ".join(gone)
                notes.append(f"columns left out: {shown} (--wide or --format csv shows all)")
        return terminal(
            title, cells, notes, width, _WORDS, grouped=cells.columns[0] == HEADINGS["track"]
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
        return _as_words(frame)

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

    scores: Scores = field(repr=False)
    lost: pd.DataFrame = field(repr=False)

    # -- frames ------------------------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """One row per entry with unrounded numbers; controls come last, without a tier."""
        rows = self.scores.rows
        rows = rows[~rows.entry.str.startswith("real-only @ ")].copy()
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
        known = dict(zip(self.scores.rows.entry, self.scores.rows.S, strict=True))
        rows["S_real_only"] = [known.get(f"real-only @ {entry}", math.nan) for entry in rows.entry]
        rows["beats_real_only"] = [
            self._beats(entry, f"real-only @ {entry}") for entry in rows.entry
        ]
        rows["S_frozen"] = known.get("frozen", math.nan)
        rows["beats_frozen"] = [
            "" if entry == "frozen" else self._beats(entry, "frozen") for entry in rows.entry
        ]
        rows["track"] = rows.track.where(~rows.control, "control")
        place = {track: i for i, track in enumerate([*self._tracks, "control"])}
        # rows without a tier come after those that have one
        rows = rows.assign(_place=rows.track.map(place), _tierless=~rows.ranked & ~rows.control)
        rows = rows.sort_values("S", ascending=False, kind="stable")
        rows = rows.sort_values(["_place", "_tierless"], kind="stable")
        return rows.drop(columns=["_place", "_tierless"]).reset_index(drop=True)

    def _beats(self, entry: str, other: str) -> str:
        if not {entry, other} <= set(self.scores.entries):
            return ""
        try:
            return compare(self.scores, entry, other).verdict
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

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        out = []
        for row in named_rows(frame):
            ranked = bool(row.ranked)
            out.append(
                {
                    "track": row.track,
                    "tier": str(int(row.tier)) if ranked and not math.isnan(row.tier) else "-",
                    "entry": row.entry + (" *" if row.entry == self.suite.focus else ""),
                    "score": _signed(row.S),
                    "interval": f"{_signed(row.low)} {_signed(row.high)}"
                    if not math.isnan(row.low)
                    else "",
                    "tail": _plain(row.tail_lost),
                    "diversity": _plain(row.diversity_lost),
                    "worst": f"{row.worst_family} {_signed(row.worst_score)}"
                    if isinstance(row.worst_family, str)
                    else "",
                    "harmed": _percent(row.harmed),
                    "fits": str(row.fits),
                    "failed": _percent(row.failed),
                    "risk": _signed(row.risk) + (" !" if row.risk_flag else ""),
                    "real": f"{number(row.real_unique)} / {number(row.real_rows)}"
                    if row.real_rows >= 0
                    else "",
                    "verifier": number(row.verifier_calls),
                    "cost": f"{row.cost:.1f}x" if row.cost > 0 else "",
                    "real_only": _signed(row.S_real_only),
                    "beats": row.beats_real_only,
                    "frozen": row.beats_frozen,
                    "effective": number(row.effective_real),
                    "lesson": number(row.lesson),
                }
            )
        return pd.DataFrame(out).rename(columns=HEADINGS)

    def _own_notes(self) -> Iterator[str]:
        chains = self.scores.rows.chains.max()
        yield (
            "averted: the score of collapse averted, 0 for no mitigation and 1 for the oracle "
            f"teacher `nature`, after {self._horizon}, over {chains} chains; rows of one track and "
            "tier do not differ significantly (Tukey, 5 %)"
        )
        yield (
            "a task that an entry does not fit counts 0 in averted, worst family, harmed, risk "
            "score and S real-only; losses, usage and failures are averaged over the tasks that "
            "it fits"
        )
        yield (
            "tail lost, diversity lost: 0 for `nature`, 1 for no mitigation, limited to "
            f"-{MOST_LOST:g} to {MOST_LOST:g}; real rows (unique / drawn) and verifier calls: per "
            "chain, including those of the protocol; cost: seconds, as a multiple of those of "
            "`none`"
        )
        yield (
            "S real-only: score of a model trained only on as many unique real rows; n_e/n: the "
            "number of real rows that gives the same loss, over n; ESS/n: effective sample size of "
            "the last training set, over n"
        )
        unranked = self.scores.rows[~self.scores.rows.ranked & ~self.scores.rows.control]
        for row in named_rows(unranked):
            yield f"{row.entry} is not ranked: {row.reason}"
        focus = self.suite.focus
        if focus is not None and focus in set(self.scores.rows.entry):
            yield self._place(focus)
        yield from self.scores.notes
        yield from self.scores.excluded.values()

    def _place(self, name: str) -> str:
        """The note on the focus row: its score, its tier, and which rows are better or worse."""
        rows = self.scores.rows.set_index("entry")
        own = next(named_rows(rows.loc[[name]]))
        others = rows[rows.p_focus.notna()].drop(name, errors="ignore")
        note = f"* focus row: {name}, {_signed(own.S) or 'no score'}"
        note += "" if math.isnan(own.low) else f" [{_signed(own.low)}, {_signed(own.high)}]"
        if own.ranked and not math.isnan(own.tier):
            tiers = rows[(rows.track == own.track) & rows.ranked & ~rows.control].tier.max()
            note += f", tier {own.tier:.0f} of {tiers:.0f} on track {own.track}"
        apart, gap = others.p_focus < 0.05, own.S - others.S
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


def _scores_across(frame: pd.DataFrame, short: dict[str, str]) -> pd.DataFrame:
    signed = {name: [_signed(value) for value in frame[name]] for name in ("S", *short)}
    return frame.assign(**signed).rename(columns={**short, "S": HEADINGS["score"]})


def _as_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers rounded for readers."""
    numeric = frame.select_dtypes("number").columns
    return frame.assign(**{name: [number(v) for v in frame[name]] for name in numeric}).astype(str)


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.0f} %"


#: columns of text, aligned left
_WORDS = (
    *("entry", "track", "task", "family", "worst family"),
    *("beats real-only", "beats frozen", "status"),
)
#: columns that a narrow terminal leaves out first, in this order
_DISPENSABLE = (
    *("lesson", "effective", "cost", "frozen", "diversity", "risk", "failed", "verifier", "fits"),
    *("worst", "harmed", "real", "beats", "real_only", "tail"),
)
#: columns that stay in any case
_KEPT = (
    *(HEADINGS["track"], HEADINGS["tier"], HEADINGS["entry"], HEADINGS["score"]),
    *("task", "loss", "S_k", "status"),
)


def _narrowed(cells: pd.DataFrame, width: int) -> tuple[pd.DataFrame, list[str]]:
    """The table without the columns that do not fit, and the names of the columns left out.

    The less important columns go first, then the others from right to left; a column with a
    warning goes last.
    """
    named = [HEADINGS[key] for key in _DISPENSABLE if HEADINGS[key] in cells]
    others = [name for name in reversed(cells.columns) if name not in (*named, *_KEPT)]
    order = sorted([*named, *others], key=lambda name: _alarming(name, cells[name]))
    gone: list[str] = []
    while order and needed(cells) > width:
        gone.append(order.pop(0))
        cells = cells.drop(columns=gone[-1])
    return _cut_short(cells, width), gone


def _alarming(name: str, column: Any) -> bool:
    """Whether a column warns of something."""
    if name == HEADINGS["risk"]:
        return bool(column.str.contains("!").any())
    return name == HEADINGS["failed"] and bool(set(column) - {"0 %", ""})


def _cut_short(cells: pd.DataFrame, width: int) -> pd.DataFrame:
    """The table with its longest texts cut in the middle, if it is still too wide."""
    cells = cells.map(visible)
    while (beyond := needed(cells) - width) > 0:
        lengths = {name: max(map(len, cells[name]), default=0) for name in cells.columns}
        longest = max(lengths, key=lambda name: lengths[name])
        if lengths[longest] <= LEAST:
            break
        room = max(LEAST, lengths[longest] - beyond)
        cells = cells.assign(**{longest: [shortened(text, room) for text in cells[longest]]})
    return cells
