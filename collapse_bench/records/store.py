"""Records by cell id: one parquet file per aligned block of 32 seeds, written beside and renamed.

A killed run leaves either the record or nothing.  A record carries a digest of its content; one that does not match
is damaged: it is reported and computed anew, never averaged in.
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
    """A folder of records: ``<id>/cell.json`` says what the cell is, ``<id>/<first>-<last>.parquet`` holds chains."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def create(self) -> Store:
        """Make the folder and see that it can be written; UsageError where it cannot."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"x")
        except OSError as problem:
            raise UsageError(
                f"cannot write to {self.path} ({problem.strerror or problem}); choose another folder with --output"
            ) from problem
        self._sweep()
        return self

    def _sweep(self) -> None:
        """Remove what killed runs were writing when they were killed."""
        for beside in self.path.glob("*/.*.tmp"):
            with suppress(OSError):
                if time.time() - beside.stat().st_mtime > LITTER:
                    beside.unlink()

    def block_path(self, cell_id: str, block: int) -> Path:
        return self.path / cell_id / f"{block * BLOCK}-{block * BLOCK + BLOCK - 1}.parquet"

    def read(self, cell_id: str, block: int) -> Record | None:
        """The record of a block, None where there is none; Damaged where it is not whole."""
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
        """The record of the block that holds this seed, None where there is none that is whole."""
        try:
            return self.read(cell_id, seed // BLOCK)
        except Damaged:
            return None

    def write(self, record: Record, cell: Cell) -> Record:
        """Complete the block on disk with these chains; what was there and is whole is kept."""
        with self._locked(cell.id):
            return self._completed(record, cell)

    @contextmanager
    def _locked(self, cell_id: str) -> Iterator[None]:
        """One at a time: chains of a block may come from several workers at once."""
        folder = self.path / cell_id
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _completed(self, record: Record, cell: Cell) -> Record:
        block = record.seeds[0] // BLOCK
        older = self.read_or_none(cell.id, record.seeds[0])
        if older is not None and older.code == record.code:
            record = older.merged(record)  # chains of edited code replace all that were there
        record = record.compared()
        path = self.block_path(cell.id, block)
        about = path.parent / "cell.json"
        if not about.exists():
            text = json.dumps({"label": cell.label, "id": cell.id, **cell.canonical})
            replace_file(about, text.encode())
        replace_file(path, record.packed())
        return record

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> canonical form of the cells that are here; an empty form where it is not
        known."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for about in sorted(self.path.glob("*/cell.json")):
            try:
                told = json.loads(about.read_text())
                form = {k: v for k, v in told.items() if k not in ("label", "id")}
                found.setdefault(told["label"], {})[told["id"]] = form
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # a lost label costs a word in the plan and nothing else
        return found

    def records(self) -> Iterator[tuple[Path, Record | Damaged]]:
        """Every record here, whole or damaged."""
        for path in sorted(self.path.glob("*/*.parquet")):
            try:
                yield path, Record.read(path)
            except Damaged as problem:
                yield path, problem

    # -- checkpoints of long cells ------------------------------------------------------------------------------

    def checkpoint_path(self, cell_id: str, seeds: list[int]) -> Path:
        return self.path / cell_id / f"{seeds[0]}-{seeds[-1]}.ckpt"

    def save_checkpoint(self, cell_id: str, seeds: list[int], state: Any) -> None:
        """Save the state, the weights of networks beside it as safetensors, and only then let go of the one before."""
        path = self.checkpoint_path(cell_id, seeds)
        path.parent.mkdir(parents=True, exist_ok=True)
        content, weights = packed(state)
        beside = path.with_suffix(f".{uuid4().hex[:8]}.safetensors") if weights else None
        if beside is not None:
            from safetensors.torch import save

            replace_file(beside, save(weights))
        told = {
            "schema": SCHEMA,
            "id": cell_id,
            "seeds": seeds,
            "state": content,
            "weights": beside and beside.name,
        }
        replace_file(path, pickle.dumps(told))
        for older in path.parent.glob(f"{path.stem}.*.safetensors"):
            if older != beside:
                older.unlink(missing_ok=True)

    def load_checkpoint(self, cell_id: str, seeds: list[int]) -> Any:
        """The saved state, or None where there is none that can be used.  Load only checkpoints of your own runs."""
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
            return None  # a checkpoint is a convenience: without one the cell starts again

    def drop_checkpoint(self, cell_id: str, seeds: list[int]) -> None:
        """Remove the checkpoint of these chains, and those that other ways of grouping chains left of any of them."""
        folder = self.path / cell_id
        for path in (*folder.glob("*.ckpt"), *folder.glob("*.safetensors")):
            first, _, last = path.name.split(".")[0].partition("-")
            with suppress(ValueError):
                if int(first) <= seeds[-1] and seeds[0] <= int(last):
                    path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write beside and rename: readers see the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
