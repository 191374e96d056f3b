"""Two rows of a board next to each other: their difference, by family and by task."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..display import json_text
from ..errors import UsageError
from ..forms import FORMS
from ..scoring.comparison import Comparison
from ..scoring.pairs import by_family, by_task, common_tasks
from ..scoring.score import Scores, compare
from .cells import cut_short, p_value, signed
from .render import csv, markdown, named_rows, terminal, webpage, wrapped


@dataclass(frozen=True, repr=False)
class Pair:
    """Row ``a`` minus row ``b`` on the tasks that both fit.

    families, tasks: see ``scoring.pairs``.  uncalibrated: the units come from the chains of the run
    itself.
    """

    comparison: Comparison
    title: str
    common: tuple[str, ...]  # tasks
    total: int  # tasks that are scored
    families: pd.DataFrame = field(repr=False)
    tasks: pd.DataFrame = field(repr=False)
    scores: tuple[str, str] = field(repr=False)  # of a and b over all that they fit, as text
    uncalibrated: bool = False

    def __repr__(self) -> str:
        return f"Pair({self.sentence()})"

    def sentence(self) -> str:
        """The comparison in one line."""
        one = self.comparison
        interval = "" if math.isnan(one.low) else f" [{signed(one.low)}, {signed(one.high)}]"
        verdict = {
            "yes": f"{one.a} is better",
            "no": f"{one.b} is better",
            "cannot tell": "cannot tell which is better",
        }[one.verdict]
        chance = "" if math.isnan(one.p) else f", p = {p_value(one.p)}"
        return f"{one.a} - {one.b}: {signed(one.difference)}{interval}{chance}: {verdict}"

    def frame(self, per_task: bool = False) -> pd.DataFrame:
        """One row per family, or per task, with unrounded numbers."""
        return (self.tasks if per_task else self.families).copy()

    def render(self, form: str = "table", width: int | None = None) -> str:
        """The pair as ``table``, ``markdown``, ``csv`` (one row per task) or ``json``.

        Raises UsageError for another format.
        """
        if form not in FORMS:
            raise UsageError(f"unknown format {form!r}; known: {', '.join(FORMS)}")
        if form == "csv":
            return csv(self.tasks)
        if form == "json":
            return json_text(
                {
                    "pair": vars(self.comparison) | {"verdict": self.comparison.verdict},
                    "tasks_in_common": list(self.common),
                    "uncalibrated": self.uncalibrated,
                    "families": json.loads(self.families.to_json(orient="records")),
                    "tasks": json.loads(self.tasks.to_json(orient="records")),
                }
            )
        tables = [self._cells(self.families, "family"), self._cells(self.tasks, "task")]
        if form == "markdown":
            first, second = tables
            return "\n\n".join(
                [markdown(self.title, first, self.notes()), markdown("By task", second)]
            )
        if width is not None:
            tables = [cut_short(cells, width) for cells in tables]
        return "\n\n".join(
            [
                self.title,
                "\n".join(line for head in self._heads() for line in wrapped(head, width or 120)),
                terminal("By family", tables[0], (), width, LEFT),
                terminal("By task", tables[1], self.notes(), width, LEFT),
            ]
        )

    def _repr_html_(self) -> str:
        title = f"{self.title}: {self.sentence()}"
        return webpage(title, self._cells(self.families, "family"), self.notes(), LEFT)

    def _heads(self) -> list[str]:
        one = self.comparison
        wide = max(len(one.a), len(one.b))
        return [
            f"a  {one.a:<{wide}}  {self.scores[0]}",
            f"b  {one.b:<{wide}}  {self.scores[1]}",
            f"a - b on the {len(self.common)} of {self.total} tasks that both fit: "
            + self.sentence().partition(": ")[2],
        ]

    def notes(self) -> list[str]:
        found = [
            "a, b: averted on the tasks that both fit, 1 as good as the oracle teacher, 0 as no "
            "mitigation, -1 as the control trivial; 95 % and p: Student's t, paired by chain; "
            "Holm: p for all rows of a table together"
        ]
        if self.uncalibrated:
            found.append(
                "uncalibrated: the units were measured on the chains of this run, so that its "
                "numbers cannot be compared with those of another run"
            )
        return found

    def _cells(self, frame: pd.DataFrame, first: str) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    first: getattr(row, first),
                    **({"tasks": f"{row.tasks}"} if first == "family" else {}),
                    "a": signed(row.a),
                    "b": signed(row.b),
                    "a - b": signed(row.difference),
                    "95 %": "" if math.isnan(row.low) else f"{signed(row.low)} {signed(row.high)}",
                    "p": p_value(row.p),
                    "Holm": p_value(row.p_holm),
                }
                for row in named_rows(frame)
            ]
        )


LEFT = ("family", "task")


def pair_of(scores: Scores, a: str, b: str, title: str, uncalibrated: bool = False) -> Pair:
    """Compare two rows of a board.

    Raises UsageError where there is no such row, where one has no score, or where no task fits
    both.
    """
    if a == b:
        raise UsageError(f"{a!r} is compared with itself; name two rows of the board")
    comparison = compare(scores, a, b)
    rows = scores.rows.set_index("entry")
    return Pair(
        comparison,
        title,
        tuple(common_tasks(scores, a, b)),
        len(scores.efficacy.weighting.part),
        by_family(scores, a, b),
        by_task(scores, a, b),
        (_in_words(rows.loc[a]), _in_words(rows.loc[b])),
        uncalibrated,
    )


def _in_words(row: Any) -> str:
    interval = "" if math.isnan(row.low) else f" [{signed(row.low)}, {signed(row.high)}]"
    where = ", a control" if row.control else f", track {row.track}"
    known = row.control or row.track not in ("", "all")
    return f"{signed(row.S)}{interval}{where if known else ''}, fits {row.fits} tasks"
