"""The page of a board, from the board, its records, and what is known about its methods.

No score is computed here: all numbers are those of the board.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..cells import signed
from ..ranked import RankedBoard
from ..render import named_rows
from ..table import Board
from .gather import Gathered
from .losses import loss_rows, loss_sentences, losses_by_task
from .model import About, Page
from .rows import columns_of, heat_of, points_of, rows_of
from .sections import methods_of, on_tasks, picks_of, protocol_of, tasks_of
from .sentences import sentences, worlds_of

#: controls that are lines in the picture of tiers, by their names without parameters
LINES = ("trivial", "none", "frozen", "real-only", "nature")


def page_of(
    board: Board,
    gathered: Gathered,
    about: Mapping[str, Sequence[About]],
    suite: str,
    options: Sequence[str],
    versions: Sequence[tuple[str, str]],
) -> Page:
    """The page of a board; that of a board of losses has no ranks.

    gathered: the records that the board has read.  about: entry -> its plugins.  suite: how a
    command names the suite.  options: further words of that command.  versions: (what, which).
    """
    anchors = _anchors("m", dict.fromkeys(board.frame().entry))
    tasks = _anchors("t", gathered.manifest.tasks)
    command = ["collapse-bench", "run", suite, *options]
    if not isinstance(board, RankedBoard):
        return _loss_page(board, gathered, about, anchors, tasks, command, versions)
    per_task = board.per_task()
    per_task = per_task.assign(protocol=[protocol_of(task) for task in per_task.task])
    rows = rows_of(board, per_task, anchors, about)
    main = {row.name: row for row in rows if row.main}
    picks = picks_of(board)
    places = on_tasks(per_task, main, tasks, gathered, board, picks)
    heat, columns = heat_of(per_task, set(main))
    entries = [row for row in rows if row.kind != "control"]
    ends = [v for row in entries for v in (row.low, row.high, row.score) if v is not None]
    return Page(
        title=f"{board.suite.name} v{board.suite.version}",
        suite=board.suite.title,
        sentences=sentences(board, anchors),
        columns=columns_of(board),
        rows=rows,
        lines={r.name: r.score for r in rows if r.name in LINES and r.score is not None},
        bounds=(min([*ends, -0.1]), max([*ends, 1.02])),
        families=sorted(set(per_task.family)),
        protocols=sorted(set(per_task.protocol)),
        heat_columns=columns,
        heat=heat,
        points=points_of(board, anchors),
        worlds=worlds_of(board, anchors),
        methods=methods_of(board, rows, places, about, command),
        tasks=tasks_of(board, gathered, tasks, places, main, picks),
        focus=board.suite.focus,
        controls=[row.name for row in rows if row.kind == "control"],
        legend=list(board._legend()),
        notes=list(board._notes(legend=False)),
        provenance=gathered.provenance(),
        versions=versions,
        ceilings=[
            (
                str(row.task),
                tasks.get(row.task, ""),
                str(row.track),
                signed(row.ceiling),
                *_best(row),
            )
            for row in named_rows(board.ceilings())
        ],
        signs=board.signs is not None,
    )


def _best(row: Any) -> tuple[str, str]:
    """The best row below a ceiling, with the standard error of its distance to it."""
    if not row.entry:
        return "no method is there", ""
    return f"{signed(row.reached)} \N{PLUS-MINUS SIGN} {row.error:.2f}", str(row.entry)


def _loss_page(
    board: Board,
    gathered: Gathered,
    about: Mapping[str, Sequence[About]],
    anchors: Mapping[str, str],
    tasks: Mapping[str, str],
    command: Sequence[str],
    versions: Sequence[tuple[str, str]],
) -> Page:
    """The page of a suite without calibrated tasks: losses by task, and no ranks."""
    rows = loss_rows(board, gathered, anchors, about)
    by_name = {row.name: row for row in rows}
    per_task = losses_by_task(board, gathered)
    places = on_tasks(per_task, by_name, tasks, gathered, board, {})
    return Page(
        title=f"{board.suite.name} v{board.suite.version}",
        suite=board.suite.title,
        sentences=loss_sentences(per_task, by_name, tasks),
        columns={},
        rows=rows,
        lines={},
        bounds=(0.0, 1.0),
        families=(),
        protocols=(),
        heat_columns=(),
        heat={},
        points=(),
        worlds=(),
        methods=methods_of(board, rows, places, about, command),
        tasks=tasks_of(board, gathered, tasks, places, by_name, {}),
        focus=board.suite.focus,
        controls=[row.name for row in rows if row.kind == "control"],
        legend=list(board._legend()),
        notes=list(board._notes(legend=False)),
        provenance=gathered.provenance(),
        versions=versions,
        ceilings=(),
        signs=False,
        scored=False,
    )


def _anchors(kind: str, names: Iterable[str]) -> dict[str, str]:
    """name -> a part of the address of the page."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain_name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
        anchor, number = f"{kind}-{plain_name}", 2
        while anchor in taken:
            anchor, number = f"{kind}-{plain_name}-{number}", number + 1
        found[name] = anchor
        taken.add(anchor)
    return found
