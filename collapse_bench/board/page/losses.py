"""The parts of the page of a suite without calibrated tasks: losses, and no ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ...records.facts import joined_tracks
from ..render import named_rows, number
from ..table import Board
from .gather import Gathered
from .model import About, Row, Text
from .sections import protocol_of

MOST = 6  # tasks in one sentence


def losses_by_task(board: Board, gathered: Gathered) -> pd.DataFrame:
    """One row per entry and task, the lowest loss of a task first: entry, task, family, loss and
    its standard error loss_se, chains, status, track, and the provisional score S_k with low and
    high."""
    frame = board.frame()
    spent = gathered.spent(board.codes)
    tracks = {place: one.track for place, one in spent.items()}
    tasks = gathered.manifest.tasks
    order = {task: i for i, task in enumerate(tasks)}
    frame = frame.rename(columns={"S": "S_k", "se": "loss_se"}).assign(
        se=math.nan,
        family=[tasks[task].family if task in tasks else "" for task in frame.task],
        track=[tracks.get(place, "") for place in zip(frame.entry, frame.task, strict=True)],
        _place=frame.task.map(order),
    )
    return frame.sort_values(["_place", "loss"], kind="stable").drop(columns="_place")


def loss_rows(
    board: Board,
    gathered: Gathered,
    anchors: Mapping[str, str],
    about: Mapping[str, Sequence[About]],
) -> list[Row]:
    """The entries, without a score or a rank; controls come last."""
    per_task = losses_by_task(board, gathered)
    control = {e.name for e in gathered.manifest.entries if e.role == "control"}
    control |= {"none", "nature", "frozen"}
    rows = []
    for name in anchors:
        own = per_task[per_task.entry == name]
        kind = "control" if name in control else "default"
        stages = [stage for one in about.get(name, ()) for stage in one.stages]
        rows.append(
            Row(
                name=name,
                anchor=anchors[name],
                section=anchors[name],
                track="control" if kind == "control" else joined_tracks(filter(None, own.track)),
                kind=kind,
                of="",
                ranked=False,
                tier=None,
                score=None,
                low=None,
                high=None,
                cells={"score": ""},
                sort={},
                word="",
                families=tuple(sorted(set(own.family))),
                protocols=tuple(sorted({protocol_of(task) for task in own.task})),
                stages=tuple(dict.fromkeys(stages)),
                coverage=0.0,
                why="",
            )
        )
    return sorted(rows, key=lambda row: row.kind == "control")


def loss_sentences(
    per_task: pd.DataFrame, rows: Mapping[str, Row], tasks: Mapping[str, str]
) -> list[list[Text]]:
    """The lowest loss of each task, and which methods are above no mitigation."""
    methods = {name for name, row in rows.items() if row.kind != "control"}
    losses = {(row.task, row.entry): row.loss for row in named_rows(per_task)}
    known = per_task[per_task.entry.isin(list(methods)) & per_task.loss.notna()]
    texts = [Text("No task is calibrated, so there are losses and no ranks")]
    best = known.groupby("task", sort=False).head(1)
    for i, row in enumerate(named_rows(best.head(MOST))):
        none = losses.get((row.task, "none"), math.nan)
        texts += [
            Text("; " if i else ". Lowest loss of a method on "),
            Text(row.task, tasks.get(row.task, "")),
            Text(": "),
            Text(row.entry, rows[row.entry].anchor),
            Text(f" {number(row.loss)}"),
            Text(f" (without mitigation {number(none)})" if none == none else ""),
        ]
    texts += [Text(f"; and {len(best) - MOST} more tasks")] if len(best) > MOST else []
    found = [[*texts, Text(".")]]
    scored = known[known.S_k.notna()]
    if len(scored):
        above, below = scored[scored.low > 0], scored[scored.high < 0]
        count, more = len(scored), "is" if len(above) == 1 else "are"
        found.append(
            [
                Text(
                    f"Of {count} provisional scores of methods {len(above)} {more} above no "
                    f"mitigation with their whole 95 % interval, and {len(below)} below."
                )
            ]
        )
    return found
