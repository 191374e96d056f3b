"""A folder of records by cell id: one parquet file per aligned block of 32 seeds.

A file is written under another name and then renamed, so a killed run leaves a whole record or
none.  A record holds a digest of its content.  One whose digest does not match is damaged: it is
reported and computed again, and never averaged in.  What it is replaced by may hold fewer chains,
so the damaged file is kept under another name until all of its chains are there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from ..core.cell import Cell
from ..errors import UsageError
from . import checkpoint
from .contradictions import contradiction
from .faults import Forged, Rejected, Unreadable
from .files import read_file, replace_file
from .plain import CELL_ID, PlainCell, check_plain, parsed
from .record import ABANDONED, BLOCK, Record, blocks_of

MOST_DESCRIPTION = 2**22  # bytes of the description of a cell
DESCRIPTIONS = ("_cell.json", "cell.json")  # the second was written by version 0.1


class Store:
    """A folder of records.

    ``<id>/_cell.json`` describes the cell, ``<id>/<first seed>-<last seed>.parquet`` holds chains.
    Readers of Parquet folders, such as ``pandas.read_parquet``, skip the first because of its name.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def create(self) -> Store:
        """Make the folder and check that it can be written.  Raises UsageError where it cannot."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"x")
        except OSError as problem:
            raise UsageError(
                f"cannot write to {self.path} ({problem.strerror or problem}); "
                "choose another folder with --output"
            ) from problem
        self._sweep()
        return self

    def _sweep(self) -> None:
        """Remove the unfinished files of killed runs."""
        for unfinished in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
            with suppress(OSError):
                if time.time() - unfinished.lstat().st_mtime > ABANDONED:
                    unfinished.unlink()

    def folder(self, cell_id: str) -> Path:
        """The folder of a cell, which may be missing.

        Raises Unreadable where a link is in its place, UsageError for an id that is none.
        """
        if not re.fullmatch(CELL_ID, cell_id):
            raise UsageError(
                f"{cell_id!r} is not the id of a cell; it must have 20 digits from 0-9 and a-f"
            )
        folder = self.path / cell_id
        if folder.is_symlink():
            raise Unreadable(folder, "it is a symbolic link")
        return folder

    def block_path(self, cell_id: str, block: int) -> Path:
        return self.folder(cell_id) / f"{block * BLOCK}-{block * BLOCK + BLOCK - 1}.parquet"

    def read(self, cell_id: str, block: int) -> Record | None:
        """The record of a block, or None.

        Raises Rejected where its content is not what a run has written, Unreadable where it cannot
        be read now.
        """
        path = self.block_path(cell_id, block)
        try:
            record = _consistent(path)
        except FileNotFoundError:
            return None
        if record.facts.id != cell_id:
            raise Forged(path, "it is the record of another cell")
        if set(blocks_of(record.seeds)) != {block}:
            raise Forged(path, "it holds the chains of another block")
        return record

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The record of the block that holds this seed, or None where there is none to use.

        Raises Unreadable where it cannot be read now: it may be whole.
        """
        try:
            return self.read(cell_id, seed // BLOCK)
        except Rejected:
            return None

    def write(self, record: Record, cell: Cell) -> Record:
        """Add these chains to the block on disk, and return the record as it is now there."""
        with self._locked(cell.id):
            return self._completed(record, cell)

    @contextmanager
    def _locked(self, cell_id: str) -> Iterator[None]:
        """Hold the lock of a cell, since several workers may write chains of one block."""
        folder = self.folder(cell_id)
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / ".lock"
        try:  # a link in its place could name any file
            gate = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as problem:
            if problem.errno != errno.ELOOP:
                raise
            raise Unreadable(lock, "it is a symbolic link") from problem
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _completed(self, record: Record, cell: Cell) -> Record:
        path = self.block_path(cell.id, record.seeds[0] // BLOCK)
        try:
            older = self.read(cell.id, record.seeds[0] // BLOCK)
        except Rejected:
            older = None
            os.replace(path, _free(path))
        if older is not None and older.code == record.code:
            record = older.merged(record)  # after an edit of the code, older chains are dropped
        record = record.compared()
        description = path.with_name(DESCRIPTIONS[0])
        if not description.exists():
            text = json.dumps(
                {"label": cell.label, "id": cell.id, "files": cell.files, **cell.canonical}
            )
            replace_file(description, text.encode())
        replace_file(path, record.packed())
        for kept in path.parent.glob(f"_{path.name}*.damaged"):
            if _claimed(kept) <= set(record.seeds):
                kept.unlink(missing_ok=True)
        return record

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> canonical form of the cells in this folder."""
        cells: dict[str, dict[str, dict[str, Any]]] = {}
        for description in sorted(p for name in DESCRIPTIONS for p in self.path.glob(f"*/{name}")):
            try:
                content = parsed(read_file(description, MOST_DESCRIPTION))
                check_plain(PlainCell, content)
            except (OSError, ValueError, Rejected, Unreadable):
                continue  # without it, a plan cannot say what has changed
            form = {k: v for k, v in content.items() if k not in ("label", "id")}
            cells.setdefault(content["label"], {})[content["id"]] = form
        return cells

    def records(self) -> Iterator[tuple[Path, Record | Rejected]]:
        """Every record in this folder, or the error of one that cannot be used."""
        for path in sorted(self.path.glob("*/*.parquet")):
            try:
                yield path, _consistent(path)
            except Rejected as problem:
                yield path, problem

    # -- checkpoints of long cells -----------------------------------------------------------------

    def checkpoint_path(self, cell_id: str, seeds: list[int]) -> Path:
        return self.folder(cell_id) / f"{seeds[0]}-{seeds[-1]}.ckpt"

    def save_checkpoint(self, cell_id: str, seeds: list[int], state: Any) -> None:
        """Save the state of an unfinished run; see ``checkpoint.save``."""
        path = self.checkpoint_path(cell_id, seeds)
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, cell_id, seeds, state)

    def load_checkpoint(self, cell_id: str, seeds: list[int]) -> Any:
        """The saved state, or None where there is none that this user has written."""
        return checkpoint.load(self.checkpoint_path(cell_id, seeds), cell_id, seeds)

    def drop_checkpoint(self, cell_id: str, seeds: list[int]) -> None:
        """Remove every checkpoint that holds one of these chains, however chains were grouped."""
        folder = self.folder(cell_id)
        for path in (*folder.glob("*.ckpt"), *folder.glob("*.safetensors")):
            first, _, last = path.name.split(".")[0].partition("-")
            with suppress(ValueError):
                if int(first) <= seeds[-1] and seeds[0] <= int(last):
                    path.unlink(missing_ok=True)


def _consistent(path: Path) -> Record:
    """The record in a file.  Raises what ``Record.read`` raises, and Forged for a contradiction."""
    record = Record.read(path)
    if (why := contradiction(record)) is not None:
        raise Forged(path, why)
    return record


def _free(path: Path) -> Path:
    """A name that is not taken yet, under which a damaged record is kept."""
    endings = chain([""], (f".{number}" for number in count(2)))
    names = (path.with_name(f"_{path.name}{ending}.damaged") for ending in endings)
    return next(name for name in names if not name.exists())


def _claimed(path: Path) -> set[int]:
    """The seeds that a damaged record names; where it names none, all of its block."""
    first = int(path.name.removeprefix("_").partition("-")[0])
    try:
        claimed = Record.seeds_in(path)
    except (OSError, Rejected, Unreadable):
        claimed = set()
    return claimed & set(range(first, first + BLOCK)) or set(range(first, first + BLOCK))
