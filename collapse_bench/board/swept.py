"""A sweep as numbers, as a plot of a terminal, and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..display import json_text, plain_math, shortened, visible
from ..errors import UsageError
from ..forms import FORMS
from ..paths import unwritable
from ..scoring.comparison import Comparison
from ..scoring.score import Scores, compare
from .cells import p_value, signed
from .curves import picture
from .render import csv, listed, markdown, named_rows, webpage, wrapped, writable

PLOT = 20, 60  # the fewest and the most characters of the plot of a terminal
LABEL = 24  # the most characters of a value there
ENDINGS = (".png", ".svg", ".pdf", ".csv")


@dataclass(frozen=True)
class SweptCurve:
    """One parameter of a sweep: its values as text, and the rows that have them."""

    parameter: str
    values: tuple[str, ...]
    numbers: tuple[float, ...]  # of the values; NaN where one is no number
    entries: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Sweep:
    """The scores of one method at several values of its parameters.

    tuning: on calibration seeds, which chose ``winner``.  fresh: of the winner and of ``base``, the
    first value of each parameter, on seeds that chose nothing.
    """

    title: str
    curves: tuple[SweptCurve, ...]
    tuning: Scores = field(repr=False)
    base: str
    winner: str
    fresh: Scores = field(repr=False)
    chains: tuple[int, int]  # of each value; of the confirmation
    notes: tuple[str, ...] = ()
    uncalibrated: bool = False

    def __repr__(self) -> str:
        return f"Sweep({self.title}, winner {self.winner!r})"

    @property
    def confirmed(self) -> Comparison | None:
        """The winner minus the base on fresh seeds; None where the winner is the base."""
        if self.winner == self.base:
            return None
        try:
            return compare(self.fresh, self.winner, self.base)
        except UsageError:  # one of them has no score on the fresh seeds
            return None

    def frame(self) -> pd.DataFrame:
        """One row per value, then the confirmation: seeds (tuning or fresh), parameter, value,
        entry, S, its 95 % interval low to high, failed (share of chains) and winner."""
        rows = []
        known = self.tuning.rows.set_index("entry")
        for curve in self.curves:
            for value, entry in zip(curve.values, curve.entries, strict=True):
                place = "tuning", curve.parameter, value, entry
                rows.append((*place, *_numbers(known, entry), entry == self.winner))
        known = self.fresh.rows.set_index("entry")
        for entry in dict.fromkeys([self.winner, self.base]):
            rows.append(("fresh", "", "", entry, *_numbers(known, entry), entry == self.winner))
        columns = ["seeds", "parameter", "value", "entry", "S", "low", "high", "failed", "winner"]
        return pd.DataFrame(rows, columns=columns)

    # -- text --------------------------------------------------------------------------------------

    def render(self, form: str = "table", width: int | None = None) -> str:
        """The sweep as ``table`` (a plot for a terminal), ``markdown``, ``csv`` or ``json``.

        Raises UsageError for another format.
        """
        if form not in FORMS:
            raise UsageError(f"unknown format {form!r}; known: {', '.join(FORMS)}")
        frame = self.frame()
        if form == "csv":
            return csv(frame)
        if form == "json":
            return json_text(
                {
                    "sweep": self.title,
                    "winner": self.winner,
                    "uncalibrated": self.uncalibrated,
                    "notes": self._notes(),
                    "rows": json.loads(frame.to_json(orient="records")),
                }
            )
        if form == "markdown":
            return markdown(self.title, self._cells(), self._notes())
        size = width or 80
        lines = wrapped(visible(self.title), size)
        for curve in self.curves:
            lines += ["", *self._plot(curve, size)]
        lines.append("")
        lines += [line for text in self._confirmation() for line in wrapped(text, size)]
        lines += ["", listed(self._notes(), width)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [*self._confirmation(), *self._notes()]
        return webpage(self.title, self._cells(), notes, ("parameter", "value", "seeds", "entry"))

    def _cells(self) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    "seeds": row.seeds,
                    "parameter": row.parameter,
                    "value": row.value,
                    "entry": row.entry + (" *" if row.winner else ""),
                    "averted": signed(row.S),
                    "95 %": "" if math.isnan(row.low) else f"{signed(row.low)} {signed(row.high)}",
                }
                for row in named_rows(self.frame())
            ]
        )

    def _plot(self, curve: SweptCurve, width: int) -> list[str]:
        """One line per value: its score as a dot, its interval as a line, 0 as a rule."""
        known = self.tuning.rows.set_index("entry")
        rows = [_numbers(known, entry)[:3] for entry in curve.entries]
        marks = ["*" if entry == self.winner else " " for entry in curve.entries]
        names = [shortened(visible(value), LABEL) for value in curve.values]
        room = max(map(len, [curve.parameter, *names])) + 2
        text = 24  # of "+0.123 [-0.12, +0.34]"
        size = min(PLOT[1], max(PLOT[0], width - room - text - 2))
        finite = [x for row in rows for x in row if math.isfinite(x)]
        low, high = min([0.0, *finite]), max([0.0, *finite])
        span = (high - low) or 1.0

        def at(x: float) -> int:
            return round((x - low) / span * (size - 1))

        ends = f"{low:+.2f}".ljust(size - 5) + f"{high:+.2f}"
        lines = [f"{curve.parameter:<{room}}{'averted':>7} {'95 %':^16}{ends}"]
        for name, mark, (score, left, right) in zip(names, marks, rows, strict=True):
            line = [" "] * size
            line[at(0.0)] = "\u2502"
            if math.isfinite(left):
                for place in range(at(left), at(right) + 1):
                    line[place] = "\u253c" if place == at(0.0) else "\u2500"
            if math.isfinite(score):
                line[at(score)] = "\u25cf"
            interval = f"[{signed(left)}, {signed(right)}]" if math.isfinite(left) else ""
            shown = signed(score) or "no score"
            lines.append(
                f"{name:<{room - 2}}{mark} {shown:>7} {interval:<16}{''.join(line)}".rstrip()
            )
        return lines

    def _confirmation(self) -> list[str]:
        """What the fresh seeds say about the winner."""
        known = self.fresh.rows.set_index("entry")
        score, low, high, _ = _numbers(known, self.winner)
        was = _numbers(self.tuning.rows.set_index("entry"), self.winner)[0]
        interval = f" [{signed(low)}, {signed(high)}]" if math.isfinite(low) else ""
        lines = [
            f"winner on {self.chains[0]} tuning seeds: {visible(self.winner)}, {signed(was)}",
            f"on {self.chains[1]} fresh seeds, which chose nothing: {signed(score)}{interval}",
        ]
        pair = self.confirmed
        if self.winner == self.base:
            lines.append("the first value listed won, so there is nothing to compare it with")
        elif pair is None:
            lines.append("not confirmed: a score is missing on the fresh seeds; run it again")
        else:
            verdict = {
                "yes": "confirmed: better than the first value listed",
                "no": "not confirmed: worse than the first value listed",
                "cannot tell": "not confirmed: it cannot be told from the first value listed",
            }[pair.verdict]
            between = "" if math.isnan(pair.low) else f" [{signed(pair.low)}, {signed(pair.high)}]"
            lines.append(
                f"{verdict}, {visible(self.base)}, by {signed(pair.difference)}{between}, "
                f"p = {p_value(pair.p)}"
            )
        return lines

    def _notes(self) -> list[str]:
        found = [
            "averted: 1 is as good as the oracle teacher, 0 as no mitigation, -1 as the control "
            "trivial; lines: 95 % over chains; parameters vary one at a time, the others have "
            "their first value; none of these chains is part of a ranked board"
        ]
        if self.uncalibrated:
            found.append(
                "uncalibrated: the units were measured on the chains of this sweep, so that its "
                "numbers cannot be compared with those of a board"
            )
        return [*found, *self.notes]

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the sweep as a picture (.png, .svg, .pdf) or as a table (.csv).

        Raises UsageError for another ending, and where the file cannot be written.
        """
        path = sweep_file(path)
        try:
            if path.suffix.lower() == ".csv":
                path.write_text(csv(self.frame()) + "\n", encoding="utf-8")
            else:
                self._draw(path)
        except OSError as problem:
            raise unwritable(path, problem) from problem
        return path

    def _draw(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.8 * len(self.curves), 3.6), layout="constrained")
        known = self.tuning.rows.set_index("entry")
        for axes, curve in zip(
            figure.subplots(1, len(self.curves), squeeze=False)[0], self.curves, strict=True
        ):
            self._draw_curve(axes, curve, known)
        title = wrapped(self.title, 56 * len(self.curves))
        figure.suptitle("\n".join(map(plain_math, title)), fontsize="small")
        stamps: dict[str, Any] = {} if path.suffix.lower() == ".png" else {"Date": None}
        if path.suffix.lower() == ".pdf":
            stamps = {"CreationDate": None}
        figure.savefig(path, dpi=150, metadata=stamps)

    def _draw_curve(self, axes: Any, curve: SweptCurve, known: pd.DataFrame) -> None:
        scores = np.array([_numbers(known, entry)[:3] for entry in curve.entries])
        numeric = all(map(math.isfinite, curve.numbers))
        x = np.array(curve.numbers) if numeric else np.arange(len(curve.entries), dtype=float)
        order = np.argsort(x, kind="stable")
        x, scores = x[order], scores[order]
        axes.axhline(0, color="0.7", linewidth=0.8)
        axes.fill_between(x, scores[:, 1], scores[:, 2], alpha=0.2, linewidth=0)
        axes.plot(x, scores[:, 0], marker="o", label=f"{self.chains[0]} tuning seeds")
        if numeric and (x > 0).all() and x.max() >= 20 * x.min():
            axes.set_xscale("log")
            axes.set_xticks(x, [curve.values[i] for i in order])
            axes.minorticks_off()
        if not numeric:
            names = [plain_math(curve.values[i]) for i in order]
            axes.set_xticks(x, names)
        if self.winner in curve.entries:
            place = float(x[order.tolist().index(curve.entries.index(self.winner))])
            score, low, high, _ = _numbers(self.fresh.rows.set_index("entry"), self.winner)
            reach = [[score - low], [high - score]] if math.isfinite(low) else None
            axes.errorbar(
                [place],
                [score],
                yerr=reach,
                fmt="D",
                color="black",
                capsize=3,
                label=f"{self.chains[1]} fresh seeds",
            )
        axes.set_xlabel(plain_math(curve.parameter))
        axes.set_ylabel("averted (provisional)" if self.uncalibrated else "averted")
        axes.legend(fontsize="small")


def sweep_file(path: str | Path) -> Path:
    """The path, if a sweep can be written there.

    Raises UsageError for another ending, where the folder does not exist, and for a picture without
    matplotlib.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    return writable(path) if ending == ".csv" else picture(path)


def best_of(scores: Scores, entries: Sequence[str]) -> str | None:
    """The entry with the highest score; the first of equal ones; None where none has a score."""
    known = dict(zip(scores.rows.entry, scores.rows.S.astype(float), strict=True))
    scored = [entry for entry in entries if math.isfinite(known.get(entry, math.nan))]
    return max(scored, key=lambda entry: known[entry]) if scored else None


def _numbers(known: pd.DataFrame, entry: str) -> tuple[float, float, float, float]:
    """(S, low, high, share of failed chains) of an entry; NaN where it has none."""
    for row in named_rows(known[known.index == entry]):
        return row.S, row.low, row.high, row.failed
    return (math.nan,) * 4
