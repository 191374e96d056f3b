"""What moved between two boards of a suite, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...records.archive import Archive
from ...records.manifest import Manifest
from ...scoring.tuning import TUNED
from ..ranked import RankedBoard
from ..render import named_rows
from .rows import tuned_row
from .sections import picks_of

MOST_BYTES = 2**23  # of a page


@dataclass(frozen=True)
class Standing:
    """Where a row stands on a board: its place and score; place None: it has no rank there."""

    track: str
    place: int | None
    score: float


@dataclass(frozen=True)
class Snapshot:
    """A board, as far as another is compared with it; other configurations of tuned rows are left
    out.

    cells: entry -> ids of its cells, which change with every parameter and version; empty where
    only a page is left.
    """

    title: str
    rows: Mapping[str, Standing]
    cells: Mapping[str, frozenset[str]]
    tasks: frozenset[str]
    seeds: str


@dataclass(frozen=True)
class Move:
    """One row in both boards."""

    name: str
    then: Standing
    now: Standing
    why: str

    @property
    def change(self) -> float:
        return self.now.score - self.then.score


@dataclass(frozen=True)
class History:
    """What moved between two boards; new and gone: rows of one of them."""

    then: str
    now: str
    remarks: Sequence[str]
    moves: Sequence[Move]
    new: Sequence[str] = ()
    gone: Sequence[str] = ()


def snapshot(board: RankedBoard, manifest: Manifest) -> Snapshot:
    """The board of a run or of published records."""
    cells: dict[str, set[str]] = {}
    ids = {(e.name, e.task): e.id for e in manifest.entries if e.skip is None}
    for (name, _), cell in ids.items():
        cells.setdefault(name, set()).add(cell)
    for (name, task), configuration in picks_of(board).items():
        if (configuration, task) in ids:
            cells.setdefault(name, set()).add(ids[configuration, task])
    rows: dict[str, Standing] = {}
    place: dict[str, int] = {}
    for row in named_rows(board.frame()):
        if row.S != row.S or tuned_row(row.entry, board):
            continue
        ranked = bool(row.ranked) and not row.control
        place[row.track] = place.get(row.track, 0) + ranked
        rows[row.entry] = Standing(row.track, place[row.track] if ranked else None, float(row.S))
    return Snapshot(
        f"{board.suite.name} v{board.suite.version}",
        rows,
        {name: frozenset(ids) for name, ids in cells.items()},
        frozenset(manifest.tasks),
        manifest.suite.seeds,
    )


def snapshot_of_page(path: Path) -> Snapshot:
    """The board on a published markdown page, of which tracks, scores and order are read; and the
    cells of the published records, where they are in a file next to it.

    Raises UsageError where the page cannot be read or holds no board.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path} cannot be read as a page of a board ({problem})") from problem
    title = re.search(r"^\*\*(\S+ v\d+): .*\*\*$", text, re.MULTILINE)
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("| track | tier |")), None)
    if title is None or start is None:
        raise UsageError(
            f"{path} holds no board; name a folder of records, a file of published records, or a "
            "page that `collapse-bench publish` wrote"
        )
    heading = [cell.strip() for cell in lines[start].strip("|").split("|")]
    rows: dict[str, Standing] = {}
    place: dict[str, int] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        row = dict(zip(heading, cells, strict=False))
        try:
            score = float(row["averted"])
        except (KeyError, ValueError):  # a row without a score
            continue
        ranked = row["tier"].isdigit()
        place[row["track"]] = place.get(row["track"], 0) + ranked
        name = row["entry"].removesuffix(" *")
        rows[name] = Standing(row["track"], place[row["track"]] if ranked else None, score)
    return Snapshot(title[1], rows, *_published(path.with_suffix(".parquet")), "")


def _published(path: Path) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """(entry -> ids of its cells, tasks) of published records; nothing where they cannot be
    read."""
    cells: dict[str, set[str]] = {}
    tasks = set()
    try:
        for facts in Archive(path).facts():
            cells.setdefault(facts.entry, set()).add(facts.id)
            tasks.add(facts.task)
    except UsageError:  # no file, or one of another version
        return {}, frozenset()
    return {name: frozenset(ids) for name, ids in cells.items()}, frozenset(tasks)


def moved(now: Snapshot, then: Snapshot) -> History:
    """The rows whose place, track or score is another one, the largest change first.

    A tuned row is compared with the row of its method, where that board was not tuned.
    """
    moves, seen = [], set()
    for name, is_ in now.rows.items():
        before = name if name in then.rows else name.removesuffix(f" {TUNED}")
        was = then.rows.get(before)
        if was is None:
            continue
        seen |= {name, before}
        # a page has two decimals
        if abs(was.score - is_.score) < 0.005 and (was.place, was.track) == (is_.place, is_.track):
            continue
        moves.append(Move(name, was, is_, _why(name, before, now, then)))
    moves.sort(key=lambda move: (-abs(move.change), move.name))
    new, gone = ([n for n in side.rows if n not in seen] for side in (now, then))
    return History(then.title, now.title, list(_remarks(now, then)), moves, new, gone)


def _remarks(now: Snapshot, then: Snapshot) -> list[str]:
    found = []
    if then.tasks:
        new, gone = now.tasks - then.tasks, then.tasks - now.tasks
        if new or gone:
            found.append(
                f"{len(now.tasks & then.tasks)} of the {len(now.tasks)} tasks were on the earlier "
                f"board, which had {len(then.tasks)}"
            )
    if now.title != then.title:
        found.append(
            f"{then.title} is another version of the suite, with other tasks or units: places can "
            "be compared, differences of scores cannot"
        )
    if then.seeds and then.seeds != now.seeds:
        found.append(f"the chains are those of seeds {now.seeds}, they were those of {then.seeds}")
    if not then.cells:
        found.append(
            "of the earlier board only the page is compared, so that causes cannot be told apart"
        )
    return found


def _why(name: str, before: str, now: Snapshot, then: Snapshot) -> str:
    was, is_ = then.rows[before], now.rows[name]
    reasons = [f"track {is_.track}, was {was.track}"] if is_.track != was.track else []
    reasons += ["tuned, was at its default"] if name != before else []
    own, earlier = now.cells.get(name), then.cells.get(before)
    if own and earlier:
        new = own - earlier
        if own == earlier:
            reasons.append("the same cells: other rows, chains or units moved it")
        elif len(new) == len(own):
            reasons.append("all cells are new: another version of a plugin, or other tasks")
        else:
            reasons.append(f"{len(new)} of {len(own)} cells are new")
    elif now.title != then.title:
        reasons.append("another version of the suite")
    return "; ".join(reasons)
