"""A folder of records by cell id: one parquet file per aligned block of 32 seeds.

A file is written under another name and then renamed, so a killed run leaves a whole record or
none.  A record holds a digest of its content.  One whose digest does not match is damaged: it is
reported and computed again, and never averaged in.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..core.cell import Cell
from ..core.identity import SCHEMA
from ..errors import UsageError
from .checkpoint import packed, unpacked
from .record import BLOCK, LITTER, Damaged, Record, blocks_of


class Store:
    """A folder of records.

    ``<id>/cell.json`` describes the cell, ``<id>/<first seed>-<last seed>.parquet`` holds chains.
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
        for unfinished in self.path.glob("*/.*.tmp"):
            with suppress(OSError):
                if time.time() - unfinished.stat().st_mtime > LITTER:
                    unfinished.unlink()

    def block_path(self, cell_id: str, block: int) -> Path:
        return self.path / cell_id / f"{block * BLOCK}-{block * BLOCK + BLOCK - 1}.parquet"

    def read(self, cell_id: str, block: int) -> Record | None:
        """The record of a block, or None.  Raises Damaged where the file was changed."""
        try:
            record = Record.read(self.block_path(cell_id, block))
        except FileNotFoundError:
            return None
        if record.facts.id != cell_id:
            raise Damaged(f"{self.block_path(cell_id, block)} holds the record of another cell")
        if set(blocks_of(record.seeds)) != {block}:
            raise Damaged(f"{self.block_path(cell_id, block)} holds the chains of another block")
        return record

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The record of the block that holds this seed, or None where it is missing or damaged."""
        try:
            return self.read(cell_id, seed // BLOCK)
        except Damaged:
            return None

    def write(self, record: Record, cell: Cell) -> Record:
        """Add these chains to the block on disk, and return the record as it is now there."""
        with self._locked(cell.id):
            return self._completed(record, cell)

    @contextmanager
    def _locked(self, cell_id: str) -> Iterator[None]:
        """Hold the lock of a cell, since several workers may write chains of one block."""
        folder = self.path / cell_id
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _completed(self, record: Record, cell: Cell) -> Record:
        block = record.seeds[0] // BLOCK
        older = self.read_or_none(cell.id, record.seeds[0])
        if older is not None and older.code == record.code:
            record = older.merged(record)  # after an edit of the code, older chains are dropped
        record = record.compared()
        path = self.block_path(cell.id, block)
        description = path.parent / "cell.json"
        if not description.exists():
            text = json.dumps(
                {"label": cell.label, "id": cell.id, "files": cell.files, **cell.canonical}
            )
            replace_file(description, text.encode())
        replace_file(path, record.packed())
        return record

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> canonical form of the cells in this folder."""
        cells: dict[str, dict[str, dict[str, Any]]] = {}
        for description in sorted(self.path.glob("*/cell.json")):
            try:
                content = json.loads(description.read_text())
                form = {k: v for k, v in content.items() if k not in ("label", "id")}
                cells.setdefault(content["label"], {})[content["id"]] = form
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # without it, a plan cannot say what has changed
        return cells

    def records(self) -> Iterator[tuple[Path, Record | Damaged]]:
        """Every record in this folder, or the error of a damaged one."""
        for path in sorted(self.path.glob("*/*.parquet")):
            try:
                yield path, Record.read(path)
            except Damaged as problem:
                yield path, problem

    # -- checkpoints of long cells -----------------------------------------------------------------

    def checkpoint_path(self, cell_id: str, seeds: list[int]) -> Path:
        return self.path / cell_id / f"{seeds[0]}-{seeds[-1]}.ckpt"

    def save_checkpoint(self, cell_id: str, seeds: list[int], state: Any) -> None:
        """Save the state, network weights as safetensors, then remove the earlier checkpoint."""
        path = self.checkpoint_path(cell_id, seeds)
        path.parent.mkdir(parents=True, exist_ok=True)
        content, weights = packed(state)
        weights_path = path.with_suffix(f".{uuid4().hex[:8]}.safetensors") if weights else None
        if weights_path is not None:
            from safetensors.torch import save

            replace_file(weights_path, save(weights))
        saved = {
            "schema": SCHEMA,
            "id": cell_id,
            "seeds": seeds,
            "state": content,
            "weights": weights_path and weights_path.name,
        }
        replace_file(path, pickle.dumps(saved))
        for older in path.parent.glob(f"{path.stem}.*.safetensors"):
            if older != weights_path:
                older.unlink(missing_ok=True)

    def load_checkpoint(self, cell_id: str, seeds: list[int]) -> Any:
        """The saved state, or None where there is none that can be used.

        It is a pickle: load only checkpoints of your own runs.
        """
        path = self.checkpoint_path(cell_id, seeds)
        try:
            saved = pickle.loads(path.read_bytes())
            if (saved["schema"], saved["id"], saved["seeds"]) != (SCHEMA, cell_id, seeds):
                return None
            weights = {}
            if saved["weights"] is not None:
                from safetensors.torch import load

                weights = load((path.parent / saved["weights"]).read_bytes())
            return unpacked(saved["state"], weights)
        except Exception:
            return None  # without a checkpoint the cell starts again

    def drop_checkpoint(self, cell_id: str, seeds: list[int]) -> None:
        """Remove every checkpoint that holds one of these chains, however chains were grouped."""
        folder = self.path / cell_id
        for path in (*folder.glob("*.ckpt"), *folder.glob("*.safetensors")):
            first, _, last = path.name.split(".")[0].partition("-")
            with suppress(ValueError):
                if int(first) <= seeds[-1] and seeds[0] <= int(last):
                    path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write under another name, then rename: readers see the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
