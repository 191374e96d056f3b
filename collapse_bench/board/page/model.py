"""What the page says, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..curves import Curve
from .gather import Provenance

_PAPERS = re.compile(r"(?:arXiv[: ]*)(\d{4}\.\d{4,5})", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    name: str
    value: str  # its default
    allowed: str
    doc: str


@dataclass(frozen=True)
class About:
    """What is known about one plugin of a row.

    doc: its whole documentation.  stages: the methods of ``Mitigation`` that it has.  code: the
    file in the repository, or the digests of a plugin from elsewhere.
    """

    name: str
    version: int
    doc: str
    stages: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    code: str = ""
    configurations: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first paragraph of the documentation."""
        return " ".join(self.doc.split("\n\n")[0].split())

    @property
    def rest(self) -> list[str]:
        """Its other paragraphs."""
        return [" ".join(part.split()) for part in self.doc.split("\n\n")[1:] if part.strip()]

    @property
    def papers(self) -> list[tuple[str, str]]:
        """(text, address) of the papers that the documentation names by their arXiv number."""
        numbers = dict.fromkeys(_PAPERS.findall(self.doc))
        return [(f"arXiv {n}", f"https://arxiv.org/abs/{n}") for n in numbers]


@dataclass(frozen=True)
class Row:
    """One row of the board; a number that is not known is None."""

    name: str
    anchor: str
    section: str  # the anchor of the section that shows it
    track: str  # that of its ledger; "control" for a control
    kind: str  # default, tuned, hindsight, configuration or control
    of: str  # the tuned row of its method, in whose section it is shown; "" for a row with its own
    ranked: bool
    tier: int | None
    score: float | None
    low: float | None
    high: float | None
    cells: Mapping[str, str]  # the columns of the table, as text
    sort: Mapping[str, float | None]  # and as numbers
    word: str  # helps, harms, or "" where the sign of the score was not shown to be stable
    families: tuple[str, ...]
    protocols: tuple[str, ...]
    stages: tuple[str, ...]
    coverage: float
    why: str  # it has no rank

    @property
    def main(self) -> bool:
        """Whether it is a method or a control, and not another configuration of a tuned row."""
        return not self.of


@dataclass(frozen=True)
class OnTask:
    """A row on one task."""

    row: str
    row_anchor: str
    task: str
    task_anchor: str
    track: str
    score: float | None
    error: float | None
    loss: str
    status: str
    spent: Mapping[str, str]
    picked: str = ""  # the configuration of a tuned row
    chains: int = 0


@dataclass(frozen=True)
class Configuration:
    """One configuration of a tuned row, or its best in hindsight."""

    name: str
    score: float | None
    interval: str
    families: tuple[str, ...]  # for which it was picked


@dataclass(frozen=True)
class Compared:
    other: str
    anchor: str
    difference: str
    interval: str
    p: str
    verdict: str


@dataclass(frozen=True)
class MethodPage:
    row: Row
    about: Sequence[About]
    tasks: Sequence[OnTask]
    best: Sequence[OnTask]
    worst: Sequence[OnTask]
    compared: Sequence[Compared]
    command: str
    configurations: Sequence[Configuration] = ()


@dataclass(frozen=True)
class TaskPage:
    name: str
    anchor: str
    family: str
    world: str
    protocol: str
    loss: str  # the primary metric
    facts: Sequence[tuple[str, str]]
    ranking: Sequence[OnTask]
    curves: Mapping[str, Curve] = field(repr=False)
    law: Sequence[float] | None = None
    excluded: str = ""


@dataclass(frozen=True)
class Point:
    """A row among what the rows spend.

    frontier: for which amounts no other row is better.  ranked: False for a row that fits too
    little of the suite to be compared.
    """

    name: str
    anchor: str
    score: float
    real: float | None
    verifier: float | None
    cost: float | None
    frontier: frozenset[str]
    ranked: bool = True


@dataclass(frozen=True)
class Heat:
    """Mean score of the tasks of a family and a protocol."""

    score: float
    error: float
    tasks: int

    @property
    def clear(self) -> bool:
        return abs(self.score) > 2 * self.error


@dataclass(frozen=True)
class Text:
    """A piece of a sentence; with an anchor it is the name of a row."""

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class World:
    heading: str
    tasks: int
    best: Sequence[tuple[str, str, str, str, str]]  # track, entry, anchor, score, interval
    controls: Sequence[tuple[str, str, str]]  # name, anchor, score


@dataclass(frozen=True)
class Page:
    title: str
    suite: str
    sentences: Sequence[Sequence[Text]]
    columns: Mapping[str, str]  # key of ``Row.cells`` -> heading
    rows: Sequence[Row]
    lines: Mapping[str, float]  # controls of the picture of tiers
    bounds: tuple[float, float]  # of the scores in the table
    families: Sequence[str]
    protocols: Sequence[str]
    heat_columns: Sequence[tuple[str, str]]
    heat: Mapping[str, Mapping[tuple[str, str], Heat]]  # row -> (family, protocol) -> score
    points: Sequence[Point]
    worlds: Sequence[World]
    methods: Sequence[MethodPage]
    tasks: Sequence[TaskPage]
    focus: str | None
    controls: Sequence[str]
    legend: Sequence[str]  # what the columns mean
    notes: Sequence[str]
    provenance: Provenance
    versions: Sequence[tuple[str, str]]
    ceilings: Sequence[tuple[str, ...]]  # task, its anchor, track, ceiling, best here, its entry
    signs: bool
    scored: bool = True  # False: no task is calibrated, and the page shows losses

    @property
    def main_rows(self) -> list[Row]:
        """Methods and controls, without other configurations of tuned rows."""
        return [row for row in self.rows if row.main]

    @property
    def ranked_rows(self) -> list[Row]:
        """The rows of the picture of tiers: those with a tier, or all entries where none has."""
        scored = [r for r in self.main_rows if r.kind != "control" and r.score is not None]
        return [row for row in scored if row.tier is not None] or scored
