"""What moved between two boards of a suite, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...records.manifest import Manifest
from ..ranked import RankedBoard
from ..render import named_rows

MOST_BYTES = 2**23  # of a page


@dataclass(frozen=True)
class Standing:
    """Where a row stands on a board: its place and score; place None: it has no rank there."""

    track: str
    place: int | None
    score: float


@dataclass(frozen=True)
class Snapshot:
    """A board, as far as another is compared with it.

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
    """One row in both boards, or in one of them."""

    name: str
    then: Standing | None
    now: Standing | None
    why: str

    @property
    def change(self) -> float | None:
        return None if self.then is None or self.now is None else self.now.score - self.then.score


@dataclass(frozen=True)
class History:
    then: str
    now: str
    remarks: Sequence[str]
    moves: Sequence[Move]


def snapshot(board: RankedBoard, manifest: Manifest) -> Snapshot:
    """The board of a run or of published records."""
    cells: dict[str, set[str]] = {}
    for entry in manifest.entries:
        if entry.skip is None:
            cells.setdefault(entry.name, set()).add(entry.id)
    rows: dict[str, Standing] = {}
    place: dict[str, int] = {}
    for row in named_rows(board.frame()):
        if row.S != row.S:
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
    """The board on a published markdown page, of which only tracks, scores and order are read.

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
    return Snapshot(title[1], rows, {}, frozenset(), "")


def moved(now: Snapshot, then: Snapshot) -> History:
    """The rows whose place, track or score is another one, the largest change first."""
    moves = []
    for name in {**now.rows, **then.rows}:
        was, is_ = then.rows.get(name), now.rows.get(name)
        # a page has two decimals
        same = was is not None and is_ is not None and abs(was.score - is_.score) < 0.005
        if same and was is not None and is_ is not None and was.place == is_.place:
            continue
        moves.append(Move(name, was, is_, _why(name, was, is_, now, then)))
    moves.sort(key=lambda move: (move.change is None, -abs(move.change or 0.0), move.name))
    return History(then.title, now.title, list(_remarks(now, then)), moves)


def _remarks(now: Snapshot, then: Snapshot) -> list[str]:
    found = []
    if now.title != then.title:
        found.append(
            f"the suite is {now.title}, it was {then.title}: its tasks or units are others"
        )
    if then.tasks:
        new, gone = now.tasks - then.tasks, then.tasks - now.tasks
        if new or gone:
            found.append(f"tasks that are new: {len(new)}; that are gone: {len(gone)}")
    if then.seeds and then.seeds != now.seeds:
        found.append(f"the chains are those of seeds {now.seeds}, they were those of {then.seeds}")
    if not then.cells:
        found.append(
            "of the earlier board only the page is compared, so that causes cannot be told apart"
        )
    return found


def _why(
    name: str, was: Standing | None, is_: Standing | None, now: Snapshot, then: Snapshot
) -> str:
    if was is None:
        return "new row"
    if is_ is None:
        return "no longer there"
    track = f"track {is_.track}, was {was.track}; " if is_.track != was.track else ""
    own, before = now.cells.get(name), then.cells.get(name)
    if not own or not before:
        return (
            f"{track}another version of the suite"
            if now.title != then.title
            else track.rstrip("; ")
        )
    new = own - before
    if not new and own == before:
        return f"{track}the same cells: other rows, chains or units moved it"
    if len(new) == len(own):
        return f"{track}all cells are new: another version of a plugin, or other tasks"
    return f"{track}{len(new)} of {len(own)} cells are new"
