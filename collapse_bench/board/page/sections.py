"""The sections of the page: one for each method and control, and one for each task."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...display import shell
from ...errors import UsageError
from ...records.manifest import Manifest
from ...scoring.tuning import TUNED
from ...status import Status
from ..cells import p_value, signed
from ..curves import Curve
from ..ranked import RankedBoard
from ..render import named_rows, number
from ..table import Board
from ..worlds import HEADINGS as WORLDS
from .gather import Gathered
from .model import About, Compared, Configuration, MethodPage, OnTask, Row, TaskPage
from .rows import known

ENDS = 3  # best and worst tasks of a method
#: controls that no user runs by name
_UNITS = ("none", "nature", "frozen")


def picks_of(board: RankedBoard) -> dict[tuple[str, str], str]:
    """(tuned row, task) -> the configuration that it has there."""
    return {
        (f"{method} {TUNED}", task): configuration
        for (method, task), configuration in board.picks.items()
    }


def on_tasks(
    per_task: pd.DataFrame,
    rows: Mapping[str, Row],
    tasks: Mapping[str, str],
    gathered: Gathered,
    board: Board,
    picks: Mapping[tuple[str, str], str],
) -> list[OnTask]:
    """Every row on every task that it was planned for.

    rows: by name.  tasks: task -> its anchor.  picks: of ``picks_of``.
    """
    spent = gathered.spent(board.codes)
    found = []
    for row in named_rows(per_task):
        if row.entry not in rows or not rows[row.entry].main:
            continue
        picked = picks.get((row.entry, row.task), "")
        used = spent.get((picked or row.entry, row.task))
        amounts = {} if used is None else {k: number(v) for k, v in used.amounts.items()}
        control = rows[row.entry].kind == "control"
        found.append(
            OnTask(
                row.entry,
                rows[row.entry].anchor,
                row.task,
                tasks.get(row.task, ""),
                "control" if control else row.track,
                known(row.S_k) if row.status != Status.SKIPPED.value else None,
                known(row.se),
                _loss(row),
                str(row.status),
                amounts,
                _parameters(picked, rows[row.entry].name) if picked else "",
                int(row.chains),
            )
        )
    return found


def _loss(row: Any) -> str:
    """The loss, with its standard error on a board of losses."""
    error = getattr(row, "loss_se", math.nan)
    return number(row.loss) + ("" if math.isnan(error) else f" \N{PLUS-MINUS SIGN} {error:.2g}")


def _parameters(configuration: str, tuned: str) -> str:
    """What a configuration changes of the default of its method."""
    method = tuned.removesuffix(f" {TUNED}")
    if configuration == method:
        return "default"
    inside = configuration.removeprefix(method)
    return inside[1:-1] if inside[:1] == "(" and inside[-1:] == ")" else configuration


def methods_of(
    board: Board,
    rows: Sequence[Row],
    places: Sequence[OnTask],
    about: Mapping[str, Sequence[About]],
    command: Sequence[str],
) -> list[MethodPage]:
    """A section for each method and control.

    command: the words that run the suite, to which a mitigation is added.
    """
    of_row: dict[str, list[OnTask]] = {}
    for one in places:
        of_row.setdefault(one.row, []).append(one)
    anchors = {row.name: row.anchor for row in rows if row.main}
    pages = []
    for row in rows:
        if not row.main:
            continue
        fitted = [one for one in of_row.get(row.name, []) if one.status != Status.SKIPPED.value]
        order = sorted(
            (one for one in fitted if one.score is not None), key=lambda one: -(one.score or 0.0)
        )
        if order and order[0].score == order[-1].score:  # `none` has no best task
            order = []
        words = ["--mitigation", row.name.removesuffix(f" {TUNED}")]
        words += ["--tune"] if row.kind == "tuned" else []
        pages.append(
            MethodPage(
                row,
                about.get(row.name, ()),
                fitted,
                order[:ENDS],
                order[::-1][:ENDS],
                _compared(board, rows, row, anchors) if isinstance(board, RankedBoard) else [],
                "" if row.name in _UNITS else shell([*command, *words]),
                _configurations(board, rows, row) if isinstance(board, RankedBoard) else [],
            )
        )
    return pages


def _configurations(board: RankedBoard, rows: Sequence[Row], row: Row) -> list[Configuration]:
    """The configurations of a tuned row, the default first, and then its best in hindsight."""
    method = row.name.removesuffix(f" {TUNED}")
    family = dict(zip(board.scores.per_task.task, board.scores.per_task.family, strict=True))
    picked: dict[str, set[str]] = {}
    for (of, task), configuration in board.picks.items():
        if of == method and task in family:
            picked.setdefault(configuration, set()).add(str(family[task]))
    own = [one for one in rows if one.of == row.name]
    own.sort(key=lambda one: (one.kind == "hindsight", one.name != method))
    return [
        Configuration(
            one.name,
            one.score,
            one.cells["interval"],
            tuple(sorted(picked.get(one.name, ()))),
        )
        for one in own
    ]


def _compared(
    board: RankedBoard, rows: Sequence[Row], row: Row, anchors: Mapping[str, str]
) -> list[Compared]:
    """The row against the rows above and below it, the controls, and its own default."""
    same = [r.name for r in rows if r.track == row.track and r.ranked and r.main]
    others = ["none", "frozen", *([board.real_now] if board.real_now else [])]
    if row.name in same:
        at = same.index(row.name)
        others = [*same[max(at - 1, 0) : at], *same[at + 1 : at + 2], *others]
    if row.kind == "tuned":
        others.append(row.name.removesuffix(f" {TUNED}"))
    found = []
    for other in dict.fromkeys(others):
        if other == row.name or row.score is None:
            continue
        try:
            pair = board.compare(row.name, other)
        except UsageError:  # no such row, no score, or no task in common
            continue
        found.append(
            Compared(
                other if other in anchors else f"{other} (default)",
                anchors.get(other, ""),
                signed(pair.difference),
                f"{signed(pair.low)} to {signed(pair.high)}",
                p_value(pair.p),
                pair.verdict,
            )
        )
    return found


def tasks_of(
    board: Board,
    gathered: Gathered,
    anchors: Mapping[str, str],
    places: Sequence[OnTask],
    rows: Mapping[str, Row],
    picks: Mapping[tuple[str, str], str],
) -> list[TaskPage]:
    """A section for each task.  anchors: of the tasks.  rows: by name."""
    curves, laws = gathered.curves(board.codes), gathered.laws(board.codes)
    manifest = gathered.manifest
    ranking: dict[str, list[OnTask]] = {}
    for one in places:
        if one.score is not None or not isinstance(board, RankedBoard):
            ranking.setdefault(one.task, []).append(one)
    excluded = board.scores.excluded if isinstance(board, RankedBoard) else {}
    pages = []
    for name, about in manifest.tasks.items():
        law = laws.get(name)
        finite = law is not None and np.isfinite(law).any()
        order = ranking.get(name, [])
        if isinstance(board, RankedBoard):
            order = sorted(order, key=lambda one: -(one.score or 0.0))
        pages.append(
            TaskPage(
                name,
                anchors[name],
                about.family,
                WORLDS.get(about.world, ""),
                protocol_of(name),
                about.primary,
                _facts(board, manifest, name),
                order,
                _drawn(curves[name], name, rows, picks),
                law if finite else None,
                excluded.get(name, ""),
            )
        )
    return pages


def _drawn(
    curves: Mapping[str, Curve],
    task: str,
    rows: Mapping[str, Row],
    picks: Mapping[tuple[str, str], str],
) -> dict[str, Curve]:
    """The curves of methods and controls; a tuned row has that of its configuration there."""
    found = {}
    for name, row in rows.items():
        curve = curves.get(picks.get((name, task), name))
        if row.main and curve is not None:
            found[name] = curve
    return found


def protocol_of(task: str) -> str:
    """The name of the protocol of a task, without its parameters."""
    parts = task.split(" | ")
    return re.split(r"[ (@]", parts[2])[0] if len(parts) > 2 else ""


def _facts(board: Board, manifest: Manifest, name: str) -> list[tuple[str, str]]:
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
