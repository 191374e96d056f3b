"""The board of scores: efficacy and coverage, intervals of ranks, value and cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ..display import shortened
from ..errors import UsageError
from ..records.facts import joined_tracks
from ..records.signs import SignGrid
from ..scoring.ceilings import ceilings
from ..scoring.comparison import Comparison
from ..scoring.frontier import relative_cost
from ..scoring.resampling import resampled
from ..scoring.score import Scores, compare
from ..scoring.stability import GENERATIONS, ROWS, signs
from ..scoring.tuning import HINDSIGHT, TUNED
from ..scoring.value import values
from ..status import Status
from .cells import (
    HEADINGS,
    LEAST,
    alarming,
    bar,
    color_of,
    cut_short,
    method_of,
    percent,
    plain,
    signed,
)
from .render import GUTTER, named_rows, needed, number
from .table import BAR, Board, Fitted

MOST_LOST = 4  # limit of "tail lost" and "diversity lost", which are 1 for `none`
NEAREST = 5  # rows of each kind that the note on the focus row names
COST_OF_TRACK = {"blind": 0, "first": 1, "provenance": 2, "real": 3, "verifier": 4}
THINS = 0.99  # an entry whose last training set has less than this share of n rows drops some


CONFIGURATION = "configuration"  # in the place of the track of a row that is not ranked
GROUPS = {"control": "controls", CONFIGURATION: "other configurations"}
SHORT_VERDICT = {"yes": "yes", "no": "no", "cannot tell": "?", "": ""}
#: columns that a terminal narrower than 80 leaves out, in this order
NARROW = (BAR, "real-now", "frozen", "covers", "95 %")
#: further columns, in the order in which a wider terminal shows them
FURTHER = (
    *("tier", "ranks", "value", "worst", "tail", "harmed", "real", "verifier", "cost", "failed"),
    *("risk", "tunings", "signs", "refused", "diversity", "generated", "refits", "effective"),
    "lesson",
)


@dataclass(frozen=True, repr=False)
class RankedBoard(Board):
    """The board of a suite with calibrated tasks.

    lost: columns task, entry, what (tail or diversity) and lost, where `nature` is 0 and `none` 1.
    tracks: (entry, task) -> the track of its ledger there.  track: the one that the board shows;
    None: all.  laws: (task, track) -> the least loss that the knowledge of a track allows.  tuned:
    methods with a tuned row, next to which stand their default and their best in hindsight.  signs:
    the scores at other numbers of rows and generations; None: they were not run.  worlds: the
    scores on the tasks of each kind of world, in suites of several kinds.
    """

    scores: Scores = field(repr=False)
    lost: pd.DataFrame = field(repr=False)
    tracks: Mapping[tuple[str, str], str] = field(repr=False)
    track: str | None = None
    laws: Mapping[tuple[str, str], float] = field(default_factory=dict, repr=False)
    tuned: tuple[str, ...] = ()  # methods with a tuned row
    # configuration -> its method, of tuned rows; and (method, task) -> the one that was picked
    method_of_row: Mapping[str, str] = field(default_factory=dict, repr=False)
    picks: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    signs: SignGrid | None = field(default=None, repr=False)
    worlds: Mapping[str, Scores] = field(default_factory=dict, repr=False)

    def compare(self, a: str, b: str) -> Comparison:
        """One pair of rows.  Raises UsageError where they cannot be compared."""
        return compare(self.scores, a, b)

    # -- frames ------------------------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """One row per entry with unrounded numbers; controls come last, without a tier."""
        return self._frame.copy()

    @cached_property
    def _frame(self) -> pd.DataFrame:
        rows = self._with_usage(self.scores.rows.copy())
        for source, name in (
            ("generated_rows", "generated_rows"),
            ("fits", "method_fits"),
            ("real_share", "real_share"),
        ):
            rows[name] = rows.entry.map(self.usage[source]) if source in self.usage else math.nan
        rows["relative_cost"] = rows.entry.map(self._relative_cost)
        rows = rows.merge(resampled(self.scores), on="entry", how="left", validate="1:1")
        value = self.values().add_prefix("value_").rename(columns={"value_entry": "entry"})
        value = value.rename(columns={"value_value": "value"})
        rows = rows.merge(value, on="entry", how="left", validate="1:1")
        known = dict(zip(rows.entry, rows.S, strict=True))
        for name, other in (("S_default", "{}"), ("S_hindsight", "{} " + HINDSIGHT)):
            beside = {f"{method} {TUNED}": other.format(method) for method in self.tuned}
            rows[name] = [known.get(beside.get(entry, ""), math.nan) for entry in rows.entry]
        agree = dict(zip(self._signs.entry, self._signs.agree, strict=True))
        rows["signs"] = [float(agree.get(entry, math.nan)) for entry in rows.entry]
        rows["S_frozen"] = known.get("frozen", math.nan)
        for name, rival in (("beats_frozen", "frozen"), ("beats_real_now", self.real_now)):
            rows[name] = [
                "" if entry == rival else self._beats(entry, rival) for entry in rows.entry
            ]
        return self._in_order(rows)

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
        """Track by track by falling S; rows without a tier, controls, and then configurations of
        tuned methods come last."""
        rows["track"] = rows.track.where(~rows.control, "control")
        rows["track"] = rows.track.where(~rows.entry.isin(self.configurations), CONFIGURATION)
        place = {track: i for i, track in enumerate([*self._tracks, "control", CONFIGURATION])}
        rows = rows.assign(_place=rows.track.map(place), _tierless=~rows.ranked & ~rows.control)
        rows = rows.sort_values("S", ascending=False, kind="stable")
        rows = rows.sort_values(["_place", "_tierless"], kind="stable")
        return rows.drop(columns=["_place", "_tierless"]).reset_index(drop=True)

    @cached_property
    def real_now(self) -> str:
        """The control that reads the real rows of its generation and nothing else, the best of
        several; "" where the board has none."""
        rows = self.scores.rows
        some = rows[rows.entry.map(method_of).eq("real-now") & rows.S.notna()]
        return "" if some.empty else str(some.entry.iloc[0])  # rows are sorted by falling S

    @property
    def configurations(self) -> frozenset[str]:
        """The rows for which the tuned row of their method stands: its configurations, and the best
        of them in hindsight."""
        best = {f"{method} {HINDSIGHT}" for method in self.tuned}
        return frozenset((best | set(self.method_of_row)).intersection(self.scores.rows.entry))

    def _main_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~frame.entry.isin(self.configurations)].reset_index(drop=True)

    @property
    def scored(self) -> Scores:
        return self.scores

    def _beats(self, entry: str, other: str) -> str:
        if not {entry, other} <= set(self.scores.entries):
            return ""
        try:
            return self.compare(entry, other).verdict
        except UsageError:  # a row without a score cannot be compared
            return ""

    @property
    def _relative_cost(self) -> Mapping[str, float]:
        if not {"fits", "generated_rows"} <= set(self.usage):
            return {}
        found = relative_cost(self.usage)
        return dict(zip(map(str, found.index), found.to_numpy(float), strict=True))

    @cached_property
    def _signs(self) -> pd.DataFrame:
        """Columns entry, agree and word, of the entries of the grid; see ``scoring.stability``."""
        cells = [(rows, ends) for rows in ROWS for ends in GENERATIONS]
        scores = {} if self.signs is None else self.signs.scores
        table = [
            (entry, rows, ends, math.nan if value is None else value)
            for entry, nine in scores.items()
            if any(value is not None for value in nine)  # else it fits no task of the grid
            for (rows, ends), value in zip(cells, nine, strict=True)
        ]
        return signs(pd.DataFrame(table, columns=["entry", "rows", "generations", "S"]))

    @property
    def words(self) -> dict[str, str]:
        """Entry -> helps or harms, of the entries whose sign holds in at least 8 of 9 cells."""
        return {row.entry: row.word for row in named_rows(self._signs) if row.word}

    def values(self) -> pd.DataFrame:
        """What each entry adds to the side information that it reads; see ``scoring.value``."""
        done = self.scores.per_task[self.scores.per_task.status == Status.DONE.value]
        used: dict[str, list[str]] = {}
        for place in zip(done.entry, done.task, strict=True):
            used.setdefault(place[0], []).append(self.tracks.get(place, "blind"))
        track = {entry: joined_tracks(names) for entry, names in used.items()}
        size = self.usage["lesson"] if "lesson" in self.usage else pd.Series(dtype=float)
        thins = {str(entry): bool(value < THINS) for entry, value in size.items()}
        return values(self.scores, track, thins)

    def points(self) -> pd.DataFrame:
        """Columns entry, method, S, real and cost of the entries, for ``scoring.frontier``.

        Controls that are no entries, e.g. `nature`, are left out; `none` is there.
        """
        frame = self._frame
        frame = frame[(~frame.control | (frame.entry == "none")) & frame.S.notna()]
        return pd.DataFrame(
            {
                "entry": frame.entry,
                "method": [method_of(entry) for entry in frame.entry],
                "S": frame.S,
                "real": frame.real_share,
                "cost": frame.relative_cost,
            }
        ).reset_index(drop=True)

    def families(self) -> pd.DataFrame:
        """One row per family and entry that fits it: family, track, tier, rank, entry, S, low,
        high, fits, tasks; family by family, and there track by track by falling S."""
        rows = self.scores.rows.set_index("entry")
        table = self.scores.per_family
        table = table[table.S.notna() & ~table.entry.map(rows.control)]
        table = table.assign(track=table.entry.map(rows.track))
        place = {track: i for i, track in enumerate(self._tracks)}
        table = table.assign(_place=table.track.map(place)).sort_values(
            ["family", "_place", "S", "entry"], ascending=[True, True, False, True]
        )
        columns = ["family", "track", "tier", "rank", "entry", "S", "low", "high", "fits", "tasks"]
        return table[columns].reset_index(drop=True)

    def ceilings(self) -> pd.DataFrame:
        """What no method of a track can exceed, on the tasks whose law is known."""
        return ceilings(self.scores, self.laws, self.tracks)

    def per_task(self) -> pd.DataFrame:
        """One row per entry and task, with the track of the entry there."""
        frame = self.scores.per_task
        # entries that were never planned for the task
        absent = (frame.weight == 0) & (frame.status == "incomplete") & (frame.chains == 0)
        frame = frame[~absent].reset_index(drop=True)
        means = (
            self.losses[self.losses.status == Status.DONE.value]
            .groupby(["task", "entry"])
            .loss.mean()
        )
        frame["loss"] = [
            means.get((task, entry), math.nan)
            for task, entry in zip(frame.task, frame.entry, strict=True)
        ]
        places = zip(frame.entry, frame.task, strict=True)
        return frame.assign(track=[self.tracks.get(place, "") for place in places])

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
            tiered = bool(row.ranked) and not math.isnan(row.tier)
            out.append(
                {
                    "track": row.track,
                    "tier": str(int(row.tier)) if tiered else "-",
                    "entry": row.entry + (" *" if row.entry == self.suite.focus else ""),
                    "score": signed(row.S),
                    "interval": _range(signed(row.low), signed(row.high)),
                    "ranks": _range(number(row.rank_low), number(row.rank_high)),
                    "coverage": percent(row.coverage),
                    "tunings": f"{signed(row.S_default)} / {signed(row.S_hindsight)}"
                    if not math.isnan(row.S_default)
                    else "",
                    "signs": "" if math.isnan(row.signs) else f"{row.signs:.0f}/9",
                    "refused": f"{row.refused} refused" if row.refused else "",
                    "value": _value(row),
                    "tail": plain(row.tail_lost),
                    "diversity": plain(row.diversity_lost),
                    "worst": f"{row.worst_family} {signed(row.worst_score)}"
                    if row.worst_family
                    else "",
                    "harmed": percent(row.harmed),
                    "failed": percent(row.failed),
                    "risk": signed(row.risk) + (" !" if row.risk_flag else ""),
                    "real": f"{number(row.real_unique)} / {number(row.real_rows)}"
                    if row.real_rows >= 0
                    else "",
                    "verifier": number(row.verifier_calls),
                    "generated": number(row.generated_rows),
                    "refits": number(row.method_fits),
                    "cost": f"{row.relative_cost:.1f}x" if row.relative_cost > 0 else "",
                    "frozen": row.beats_frozen,
                    "effective": number(row.effective_real),
                    "lesson": number(row.lesson),
                }
            )
        cells = pd.DataFrame(out)
        if not self.tuned:
            cells = cells.drop(columns="tunings")
        if self.signs is None:
            cells = cells.drop(columns="signs")
        return cells.rename(columns=HEADINGS)

    def _fitted(self, frame: pd.DataFrame, width: int) -> Fitted:
        """The columns that a reader needs first, and as many others as fit."""
        full = self._cells(frame)
        cells = pd.DataFrame(
            {
                "rank": [_rank(row) for row in named_rows(frame)],
                "entry": full[HEADINGS["entry"]],
                "averted": full[HEADINGS["score"]],
                BAR: [bar(value) for value in frame.S],
                "95 %": full[HEADINGS["interval"]],
                "covers": full[HEADINGS["coverage"]],
                "frozen": frame.beats_frozen.map(SHORT_VERDICT),
                "real-now": frame.beats_real_now.map(SHORT_VERDICT),
            }
        )
        if not self.real_now:
            cells = cells.drop(columns="real-now")
        gone: list[str] = []
        for name in NARROW:  # of a terminal that is narrower than the table
            if name in cells and needed(cut_short(cells, width)) - GUTTER > width:
                cells, gone = cells.drop(columns=name), [*gone, name.strip() or "bar"]
        further = [name for key in FURTHER if (name := HEADINGS[key]) in full]
        alarms = [name for name in further if alarming(name, full[name])]
        for name in dict.fromkeys([*alarms, *further]):
            if not full[name].ne("").any():
                continue
            wider = cells.assign(**{name: full[name]})
            if needed(wider) <= width:
                cells = wider
            else:
                gone.append(name)
        cells = cut_short(cells, width)
        return Fitted(*self._by_track(frame, cells, width - needed(cells)), gone)

    def _by_track(
        self, frame: pd.DataFrame, cells: pd.DataFrame, spare: int
    ) -> tuple[pd.DataFrame, list[dict[str, str]]]:
        """The rows under a line for each track, and the colours of their verdicts.

        spare: columns that the terminal has left.
        """
        rows: list[dict[str, str]] = []
        styles: list[dict[str, str]] = []
        blank = dict.fromkeys(map(str, cells.columns), "")
        widest = max([LEAST, *(len(name) + max(spare, 0) for name in cells["entry"])])
        last = None
        for row, texts in zip(named_rows(frame), cells.to_dict("records"), strict=True):
            if row.track != last:
                last = row.track
                heading = GROUPS.get(last, f"track {last}")
                rows.append(blank | {"entry": shortened(heading, widest)})
                styles.append({"entry": "bold"})
            rows.append({str(name): str(text) for name, text in texts.items()})
            styles.append(self._styles(row))
        return pd.DataFrame(rows, columns=cells.columns), styles

    def _styles(self, row: Any) -> dict[str, str]:
        """What the colours of a row mean: green is better, red is worse, dim has no rank."""
        score = color_of(row.low, row.high)
        style = {name: score for name in ("averted", BAR, "95 %") if score}
        for name, verdict in (("frozen", row.beats_frozen), ("real-now", row.beats_real_now)):
            style[name] = {"yes": "green", "no": "red"}.get(verdict, "")
        if row.failed > 0:
            style[HEADINGS["failed"]] = "yellow"
        if row.entry == self.suite.focus:
            style["entry"] = "bold"
        elif not row.ranked:
            style["entry"] = "dim"
        return style

    def _legend(self) -> Iterator[str]:
        chains = self.scores.rows.chains.max()
        shown = (
            "" if self.track is None else f"only tasks on which an entry is on track {self.track}; "
        )
        yield (
            f"{shown}averted: 1 is as good as the oracle teacher `nature`, 0 as no mitigation, -1 "
            f"as the control `trivial`, which has read nothing; after {self._horizon}, over "
            f"{chains} chains; rows of one track and tier do not differ significantly (Tukey, 5 %)"
        )
        yield (
            "95 %: over chains; ranks: 95 % over chains and tasks, within the track; covers: share "
            "of the suite's weight that an entry fits, over which its score is the mean; refused: "
            "tasks that it declined by choice, which count 0"
        )
        yield (
            "value: score minus that of the control that knows as much and does nothing else; "
            "`none` for a blind entry"
        )
        yield (
            f"tail lost, diversity lost: 0 for `nature`, 1 for no mitigation, limited to "
            f"-{MOST_LOST:g} to {MOST_LOST:g}; real rows (unique / drawn), verifier calls, "
            "generated rows and fits: per chain, including those of the protocol; cost: the larger "
            "of fits and generated rows, as a multiple of those of `none`"
        )
        yield (
            "n_e/n: the number of real rows that gives the same loss, over n; ESS/n: effective "
            "sample size of the last training set, over n"
        )
        if self.tuned:
            yield (
                "a tuned row has in each family the configuration that was best on calibration "
                "seeds, and pays for the fits of that choice; default / best: the score of the "
                "default configuration, and of the best in hindsight, which is never ranked"
            )
        if self.signs is not None:
            yield (
                "signs: in how many of the nine cells n/4, n and 4n by T/2, T and 2T the score has "
                f"the sign that it has at n and T, with {self.signs.chains} chains on calibration "
                f"seeds, over {', '.join(self.signs.tasks)}"
            )

    def _findings(self) -> Iterator[str]:
        if self.signs is not None:
            yield from self.signs.notes
        for row in named_rows(self.ceilings()):
            reached = f"{signed(row.reached)} with a standard error of {row.error:.2f}"
            best = f"{row.entry} has {reached}" if row.entry else "no entry is there"
            yield (
                f"by a law, no method of track {row.track} exceeds {signed(row.ceiling)} on the "
                f"scale of the risk score on {row.task}; {best}"
            )
        rows = self.scores.rows
        special = rows.specialist & rows.reason.str.startswith("a specialist: ")
        for row in named_rows(rows[~rows.ranked & ~rows.control & ~special]):
            yield f"{row.entry} is not ranked: {row.reason}"
        if special.any():
            names = [f"{r.entry} ({percent(r.coverage)})" for r in named_rows(rows[special])]
            yield (
                "specialists cover less than two thirds of the weight that the entries of their "
                "track fit; they are ranked in the tables of the families, not here: "
                + ", ".join(names)
            )
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


def _rank(row: Any) -> str:
    """The rank within the track; rows of one tier share it."""
    if bool(row.ranked) and not pd.isna(row.rank):
        return f"{row.rank:.0f}"
    return "" if row.control else "-"


def _range(low: str, high: str) -> str:
    return f"{low} {high}" if low and high else ""


def _value(row: Any) -> str:
    if not isinstance(row.value_control, str):
        return ""
    return f"{signed(row.value)} ({row.value_control})"
