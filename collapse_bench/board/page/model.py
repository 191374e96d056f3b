"""What the page says, as plain data: a board, its records, and what is known about its methods.

No score is computed here: all numbers are those of the board.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ...display import shell
from ...errors import UsageError
from ...records.manifest import Manifest
from ...scoring.frontier import pareto
from ...scoring.tuning import HINDSIGHT, TUNED
from ...status import Status
from ..cells import percent, plain, signed
from ..curves import Curve
from ..ranked import RankedBoard, method_of
from ..render import named_rows, number
from ..worlds import CONTROLS
from ..worlds import HEADINGS as WORLDS
from .gather import Gathered, Provenance

MOST = 6  # names in one sentence
ENDS = 3  # best and worst tasks of a method
#: controls that are lines in the picture of tiers, by their names without parameters
LINES = ("trivial", "none", "frozen", "real-only", "nature")
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
    def papers(self) -> list[tuple[str, str]]:
        """(text, address) of the papers that the documentation names by their arXiv number."""
        numbers = dict.fromkeys(_PAPERS.findall(self.doc))
        return [(f"arXiv {n}", f"https://arxiv.org/abs/{n}") for n in numbers]


@dataclass(frozen=True)
class Row:
    """One row of the board; a number that is not known is None."""

    name: str
    anchor: str
    track: str
    kind: str  # default, tuned, hindsight, configuration or control
    ranked: bool
    tier: int | None
    score: float | None
    low: float | None
    high: float | None
    cells: Mapping[str, str]  # the columns of the table, as text
    sort: Mapping[str, float | None]  # and as numbers
    word: str  # helps, harms, or "" where the sign was not shown to be stable
    families: tuple[str, ...]
    protocols: tuple[str, ...]
    stages: tuple[str, ...]
    coverage: float
    why: str  # it has no rank


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
    """A row among what the rows spend; frontier: for which amounts no other row is better."""

    name: str
    anchor: str
    score: float
    real: float | None
    verifier: float | None
    cost: float | None
    frontier: frozenset[str]


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
    controls: Sequence[tuple[str, str]]  # name, score


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
    drawn: str | None  # the row of the focus that has curves: of a tuned row, the default
    controls: Sequence[str]
    notes: Sequence[str]
    provenance: Provenance
    versions: Sequence[tuple[str, str]]
    ceilings: Sequence[tuple[str, str, str, str]]  # task, track, ceiling, best here
    signs: bool

    @property
    def ranked_rows(self) -> list[Row]:
        """The rows of the picture of tiers: those with a tier, or all entries where none has."""
        scored = [row for row in self.rows if row.kind != "control" and row.score is not None]
        return [row for row in scored if row.tier is not None] or scored


def page_of(
    board: RankedBoard,
    gathered: Gathered,
    about: Mapping[str, Sequence[About]],
    suite: str,
    options: Sequence[str],
    versions: Sequence[tuple[str, str]],
) -> Page:
    """The page of a board.

    gathered: the records that the board has read.  about: entry -> its plugins.  suite: how a
    command names the suite.  options: further words of that command.  versions: (what, which).
    """
    anchors = _anchors("m", board.frame().entry)
    tasks = _anchors("t", gathered.manifest.tasks)
    per_task = board.per_task()
    per_task = per_task.assign(protocol=[protocol_of(task) for task in per_task.task])
    spent = gathered.spent(board.codes)
    rows = _rows(board, per_task, anchors, about)
    on_tasks = _on_tasks(per_task, anchors, tasks, spent)
    heat, columns = _heat(per_task, {row.name for row in rows})
    entries = [row for row in rows if row.kind != "control"]
    ends = [v for row in entries for v in (row.low, row.high, row.score) if v is not None]
    return Page(
        title=f"{board.suite.name} v{board.suite.version}",
        suite=board.suite.title,
        sentences=sentences(board, anchors),
        columns=_columns(board),
        rows=rows,
        lines={r.name: r.score for r in rows if r.name in LINES and r.score is not None},
        bounds=(min([*ends, -0.1]), max([*ends, 1.02])),
        families=sorted(set(per_task.family)),
        protocols=sorted(set(per_task.protocol)),
        heat_columns=columns,
        heat=heat,
        points=_points(board, anchors),
        worlds=_worlds(board, anchors),
        methods=_methods(board, rows, on_tasks, about, suite, options, anchors),
        tasks=_tasks(board, gathered, tasks, on_tasks, anchors),
        focus=board.suite.focus,
        drawn=(board.suite.focus or "").removesuffix(f" {TUNED}") or None,
        controls=[row.name for row in rows if row.kind == "control"],
        notes=list(board._notes()),
        provenance=gathered.provenance(),
        versions=versions,
        ceilings=[
            (
                str(row.task),
                str(row.track),
                signed(row.ceiling),
                f"{signed(row.reached)} ({row.entry})" if row.entry else "no entry",
            )
            for row in named_rows(board.ceilings())
        ],
        signs=board.signs is not None,
    )


def protocol_of(task: str) -> str:
    """The name of the protocol of a task, without its parameters."""
    parts = task.split(" | ")
    return re.split(r"[ (@]", parts[2])[0] if len(parts) > 2 else ""


def _anchors(kind: str, names: Iterable[str]) -> dict[str, str]:
    """name -> a part of the address of the page."""
    found: dict[str, str] = {}
    for name in names:
        plain_name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
        anchor, number_ = f"{kind}-{plain_name}", 2
        while anchor in found.values():
            anchor, number_ = f"{kind}-{plain_name}-{number_}", number_ + 1
        found[name] = anchor
    return found


def _known(value: Any) -> float | None:
    """The number, or None where it is not known."""
    return None if pd.isna(value) else float(value)


# -- the board ------------------------------------------------------------------------------------


def _columns(board: RankedBoard) -> dict[str, str]:
    columns = {
        "tier": "tier",
        "score": "averted",
        "interval": "95 %",
        "ranks": "ranks",
        "covers": "covers",
        "signs": "signs",
        "value": "value",
        "frozen": "beats frozen",
        "tail": "tail lost",
        "harmed": "harmed",
        "real": "real rows",
        "verifier": "verifier calls",
        "cost": "cost",
    }
    if board.signs is None:
        del columns["signs"]
    return columns


def _kind(row: Any, board: RankedBoard) -> str:
    if row.entry.endswith(f" {TUNED}"):
        return "tuned"
    if row.entry.endswith(f" {HINDSIGHT}"):
        return "hindsight"
    if row.entry in board.tuned:
        return "default"
    if row.control and method_of(row.entry) not in CONTROLS | {"none", "nature"}:
        return "configuration"
    return "control" if row.control else "default"


def _rows(
    board: RankedBoard,
    per_task: pd.DataFrame,
    anchors: Mapping[str, str],
    about: Mapping[str, Sequence[About]],
) -> list[Row]:
    fits = per_task[~per_task.status.isin([Status.SKIPPED.value])]
    where = {
        str(entry): (tuple(sorted(set(p.family))), tuple(sorted(set(p.protocol))))
        for entry, p in fits.groupby("entry")
    }
    words = board.words
    rows = []
    for row in named_rows(board.frame()):
        families, protocols = where.get(row.entry, ((), ()))
        tiered = bool(row.ranked) and not pd.isna(row.tier)
        stages = [stage for one in about.get(row.entry, ()) for stage in one.stages]
        rows.append(
            Row(
                name=row.entry,
                anchor=anchors[row.entry],
                track=row.track,
                kind=_kind(row, board),
                ranked=bool(row.ranked),
                tier=int(row.tier) if tiered else None,
                score=_known(row.S),
                low=_known(row.low),
                high=_known(row.high),
                cells=_texts(row, tiered),
                sort=_numbers(row, tiered),
                word=words.get(row.entry, ""),
                families=families,
                protocols=protocols,
                stages=tuple(dict.fromkeys(stages)),
                coverage=float(row.coverage) if row.coverage == row.coverage else 0.0,
                why=str(row.reason),
            )
        )
    return rows


def _texts(row: Any, tiered: bool) -> dict[str, str]:
    return {
        "tier": str(int(row.tier)) if tiered else "\N{EN DASH}",
        "score": signed(row.S),
        "interval": f"{signed(row.low)} to {signed(row.high)}" if row.low == row.low else "",
        "ranks": f"{number(row.rank_low)} to {number(row.rank_high)}"
        if row.rank_low == row.rank_low
        else "",
        "covers": percent(row.coverage),
        "signs": "" if math.isnan(row.signs) else f"{row.signs:.0f}/9",
        "value": f"{signed(row.value)} ({row.value_control})"
        if isinstance(row.value_control, str)
        else "",
        "frozen": row.beats_frozen,
        "tail": plain(row.tail_lost),
        "harmed": percent(row.harmed),
        "real": number(row.real_unique),
        "verifier": number(row.verifier_calls),
        "cost": f"{row.relative_cost:.1f}x" if row.relative_cost > 0 else "",
        # only where a row opens
        "diversity": plain(row.diversity_lost),
        "worst": f"{row.worst_family} {signed(row.worst_score)}" if row.worst_family else "",
        "failed": percent(row.failed),
        "risk": signed(row.risk) + (" (its sign differs)" if row.risk_flag else ""),
        "refused": str(row.refused) if row.refused else "",
        "generated": number(row.generated_rows),
        "refits": number(row.method_fits),
        "effective": number(row.effective_real),
        "fits": row.fits,
        "default": signed(row.S_default),
        "hindsight": signed(row.S_hindsight),
    }


def _numbers(row: Any, tiered: bool) -> dict[str, float | None]:
    return {
        "tier": float(row.tier) if tiered else None,
        "score": _known(row.S),
        "interval": _known(row.low),
        "ranks": _known(row.rank_low),
        "covers": _known(row.coverage),
        "signs": _known(row.signs),
        "value": _known(row.value),
        "frozen": {"yes": 2.0, "cannot tell": 1.0, "no": 0.0}.get(row.beats_frozen),
        "tail": _known(row.tail_lost),
        "harmed": _known(row.harmed),
        "real": _known(row.real_unique),
        "verifier": _known(row.verifier_calls),
        "cost": _known(row.relative_cost),
    }


def _heat(
    per_task: pd.DataFrame, rows: set[str]
) -> tuple[dict[str, dict[tuple[str, str], Heat]], list[tuple[str, str]]]:
    """row -> (family, protocol) -> mean score; and the columns."""
    scored = per_task[per_task.entry.isin(rows) & per_task.S_k.notna() & (per_task.weight > 0)]
    scored = scored[scored.status != Status.SKIPPED.value]
    found: dict[str, dict[tuple[str, str], Heat]] = {}
    for names, piece in scored.groupby(["entry", "family", "protocol"]):
        entry, family, protocol = map(str, names)
        # tasks as if they were independent
        error = math.sqrt(float((piece.se.fillna(0.0) ** 2).sum())) / len(piece)
        found.setdefault(entry, {})[family, protocol] = Heat(
            float(piece.S_k.mean()), error, len(piece)
        )
    return found, sorted({place for cells in found.values() for place in cells})


def _points(board: RankedBoard, anchors: Mapping[str, str]) -> list[Point]:
    """The rows with what they spend of their own."""
    points = board.points()
    calls = board.usage.get("own_verifier_calls", pd.Series(dtype=float))
    points = points.assign(verifier=[calls.get(entry, math.nan) for entry in points.entry])
    front: dict[str, set[str]] = {}
    for what in ("real", "verifier", "cost"):
        for entry in pareto(points.assign(real=points[what])).entry:
            front.setdefault(entry, set()).add(what)
    return [
        Point(
            row.entry,
            anchors[row.entry],
            float(row.S),
            _known(row.real),
            _known(row.verifier),
            _known(row.cost),
            frozenset(front.get(row.entry, ())),
        )
        for row in named_rows(points)
    ]


# -- sentences ------------------------------------------------------------------------------------


def sentences(board: RankedBoard, anchors: Mapping[str, str]) -> list[list[Text]]:
    """What is on top in each kind of world, what helps where, and what does not."""
    rows = board.frame()
    rows = rows[~rows.control & rows.S.notna()]
    return [
        sentence
        for sentence in (
            _on_top(board, rows, anchors),
            _above(board, rows, anchors),
            _below(rows, anchors),
        )
        if sentence
    ]


def _row_text(row: Any, anchors: Mapping[str, str]) -> list[Text]:
    return [Text(row.entry, anchors[row.entry]), Text(f" ({row.S:+.2f})")]


def _list(rows: pd.DataFrame, anchors: Mapping[str, str], most: int = MOST) -> list[Text]:
    """a (+0.31), b (+0.20) and 3 more."""
    texts: list[Text] = []
    for i, row in enumerate(named_rows(rows.head(most))):
        texts += [Text(", ")] * (i > 0) + _row_text(row, anchors)
    return [*texts, Text(f" and {len(rows) - most} more")] if len(rows) > most else texts


def _on_top(board: RankedBoard, rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    tables = [
        (WORLDS[kind].lower(), board.worlds[kind].rows) for kind in WORLDS if kind in board.worlds
    ]
    if not tables:
        tops = rows[rows.ranked].groupby("track", sort=False).head(1)
        return (
            [Text("On top of each track: "), *_list(tops, anchors, 9), Text(".")]
            if len(tops)
            else []
        )
    texts = [Text("On top ")]
    for i, (words, table) in enumerate(tables):
        best = table[table.ranked & table.S.notna()].sort_values("S", ascending=False).head(1)
        for row in named_rows(best):
            texts += [Text("; ")] * (i > 0) + [
                Text(f"in {words}: "),
                *_row_text(row, anchors),
            ]
    return [*texts, Text(".")]


def _above(board: RankedBoard, rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    """Rows above no mitigation: in every kind of world, and those that read least."""
    sure = rows.sort_values("S", ascending=False)
    sure = sure[sure.low > 0]
    stable = board.words
    what = "help" if len(sure) and sure.entry.map(stable).eq("helps").all() else "are above"
    texts = [
        Text(
            f"{len(sure)} of {len(rows)} rows {what}{'' if what == 'help' else ' no mitigation'} "
            "with their whole interval"
        )
    ]
    if board.worlds:
        everywhere = set(sure.entry)
        for scores in board.worlds.values():
            table = scores.rows
            everywhere &= set(table.entry[table.low > 0])
        some = sure[sure.entry.isin(everywhere)]
        texts.append(Text(", "))
        if len(some):
            texts += [Text(f"{len(some)} of them in every kind of world: "), *_list(some, anchors)]
        else:
            texts.append(Text("none of them in every kind of world"))
    elif len(sure):
        texts += [Text(": "), *_list(sure, anchors)]
    cheap = sure[~sure.track.str.contains("real|verifier") & sure.ranked].head(2)
    if len(cheap):
        texts += [
            Text("; without real rows of their own or a verifier, at most "),
            *_list(cheap, anchors),
        ]
    return [*texts, Text(".")]


def _below(rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    worse = rows[rows.high < 0].sort_values("S")
    texts = [Text(f"{len(worse)} rows are below no mitigation")]
    texts += [Text(": "), *_list(worse, anchors, 4)] if len(worse) else []
    used = rows[rows.value_control.notna() & (rows.value_control != "none")]
    beaten = used[used.value_verdict != "yes"]
    if len(used):
        texts.append(
            Text(
                f"; and {len(beaten)} of the {len(used)} rows that read more than a blind method "
                "are not better than the control that reads as much and does nothing else"
            )
        )
    return [*texts, Text(".")]


def _worlds(board: RankedBoard, anchors: Mapping[str, str]) -> list[World]:
    worlds = []
    for kind, heading in WORLDS.items():
        if kind not in board.worlds:
            continue
        scores = board.worlds[kind]
        table = scores.rows[scores.rows.S.notna()]
        best = table[table.ranked].sort_values("S", ascending=False).groupby("track").head(1)
        controls = table[table.control & table.entry.map(method_of).isin(CONTROLS)]
        worlds.append(
            World(
                heading,
                len(scores.efficacy.measured.names),
                [
                    (
                        row.track,
                        row.entry,
                        anchors[row.entry],
                        signed(row.S),
                        f"{signed(row.low)} to {signed(row.high)}" if row.low == row.low else "",
                    )
                    for row in named_rows(best)
                ],
                [
                    (row.entry, signed(row.S))
                    for row in named_rows(controls.sort_values("S", ascending=False))
                ],
            )
        )
    return worlds


# -- methods and tasks ----------------------------------------------------------------------------


def _on_tasks(
    per_task: pd.DataFrame,
    anchors: Mapping[str, str],
    tasks: Mapping[str, str],
    spent: Mapping[tuple[str, str], Any],
) -> list[OnTask]:
    found = []
    for row in named_rows(per_task):
        if row.entry not in anchors:
            continue
        used = spent.get((row.entry, row.task))
        amounts = {} if used is None else {k: number(v) for k, v in used.amounts.items()}
        found.append(
            OnTask(
                row.entry,
                anchors[row.entry],
                row.task,
                tasks.get(row.task, ""),
                row.track,
                _known(row.S_k) if row.status != Status.SKIPPED.value else None,
                _known(row.se),
                number(row.loss),
                str(row.status),
                amounts,
            )
        )
    return found


def _methods(
    board: RankedBoard,
    rows: Sequence[Row],
    on_tasks: Sequence[OnTask],
    about: Mapping[str, Sequence[About]],
    suite: str,
    options: Sequence[str],
    anchors: Mapping[str, str],
) -> list[MethodPage]:
    of_row: dict[str, list[OnTask]] = {}
    for one in on_tasks:
        of_row.setdefault(one.row, []).append(one)
    pages = []
    for row in rows:
        mine = of_row.get(row.name, [])
        fitted = [one for one in mine if one.status != Status.SKIPPED.value]
        order = sorted(
            (one for one in fitted if one.score is not None), key=lambda one: -(one.score or 0.0)
        )
        words = ["collapse-bench", "run", suite, *options]
        pages.append(
            MethodPage(
                row,
                about.get(row.name, ()),
                fitted,
                order[:ENDS],
                order[::-1][:ENDS],
                _compared(board, rows, row, anchors),
                ""
                if row.name in ("none", "nature", "frozen")
                else shell([*words, "--mitigation", _typed(row.name)]),
            )
        )
    return pages


def _typed(name: str) -> str:
    """What a user types for a row: a tuned row is that of its method."""
    for ending in (TUNED, HINDSIGHT):
        name = name.removesuffix(f" {ending}")
    return name


def _compared(
    board: RankedBoard, rows: Sequence[Row], row: Row, anchors: Mapping[str, str]
) -> list[Compared]:
    """The row against no mitigation, the frozen model, and the rows above and below it."""
    same = [r.name for r in rows if r.track == row.track and r.ranked]
    others = ["none", "frozen"]
    if row.name in same:
        at = same.index(row.name)
        others = [*same[max(at - 1, 0) : at], *same[at + 1 : at + 2], *others]
    found = []
    for other in dict.fromkeys(others):
        if other == row.name or other not in anchors or row.score is None:
            continue
        try:
            pair = board.compare(row.name, other)
        except UsageError:  # no score, or no task in common
            continue
        found.append(
            Compared(
                other,
                anchors[other],
                signed(pair.difference),
                f"{signed(pair.low)} to {signed(pair.high)}",
                f"{pair.p:.1g}" if pair.p == pair.p else "",
                pair.verdict,
            )
        )
    return found


def _tasks(
    board: RankedBoard,
    gathered: Gathered,
    anchors: Mapping[str, str],
    on_tasks: Sequence[OnTask],
    rows: Mapping[str, str],
) -> list[TaskPage]:
    curves, laws = gathered.curves(board.codes), gathered.laws(board.codes)
    manifest = gathered.manifest
    ranking: dict[str, list[OnTask]] = {}
    for one in on_tasks:
        if one.score is not None:
            ranking.setdefault(one.task, []).append(one)
    pages = []
    for name, about in manifest.tasks.items():
        law = laws.get(name)
        known = law is not None and np.isfinite(law).any()
        pages.append(
            TaskPage(
                name,
                anchors[name],
                about.family,
                WORLDS.get(about.world, ""),
                protocol_of(name),
                about.primary,
                _facts(board, manifest, name),
                sorted(ranking.get(name, []), key=lambda one: -(one.score or 0.0)),
                {entry: curve for entry, curve in curves[name].items() if entry in rows},
                law if known else None,
                board.scores.excluded.get(name, ""),
            )
        )
    return pages


def _facts(board: RankedBoard, manifest: Manifest, name: str) -> list[tuple[str, str]]:
    """What defines a task, and its units."""
    about = manifest.tasks[name]
    horizon = next((e.horizon for e in manifest.entries if e.task == name), 0)
    facts = [
        ("rows of a generation", str(about.rows)),
        ("generations", str(horizon)),
        ("loss", f"{about.primary}{', in nats' if about.log_loss else ''}"),
    ]
    facts += [
        (f"{what} metric", m)
        for what, m in (("tail", about.tail), ("diversity", about.diversity))
        if m
    ]
    for row in board.suite.calibration:
        if row.task == name:
            error = row.gap_sd / math.sqrt(row.chains)
            facts.append(
                ("gap", f"{row.gap:.3g} \N{PLUS-MINUS SIGN} {error:.2g} nats from none to nature")
            )
            if row.harm is not None:
                error = (row.harm_sd or 0.0) / math.sqrt(row.chains)
                facts.append(
                    (
                        "harm",
                        f"{row.harm:.3g} \N{PLUS-MINUS SIGN} {error:.2g} nats from trivial to none",
                    )
                )
            facts.append(("floor", f"{row.floor:.3g}, measured on {row.chains} other chains"))
    facts += [
        (f"least loss by a law, track {track}", number(loss))
        for track, loss in about.ceilings.items()
    ]
    return facts
