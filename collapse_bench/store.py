"""Records by cell id: one parquet file per aligned block of 32 seeds, written beside and renamed.

A killed run leaves either the record or nothing.  A record carries a digest of its content; one that does not match
is damaged: it is reported and computed anew, never averaged in.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .cell import SCHEMA, Cell
from .checkpoint import packed, unpacked
from .errors import UsageError
from .ledger import WORDS

BLOCK = 32
#: statuses of chains that need no further run: a pair that does not fit will not fit next time
KEPT = ("done", "starved", "skipped")
_META = b"collapse_bench"
_LITTER = 3600.0  # seconds after which a file that a killed run was writing is taken to be abandoned


@dataclass
class Record:
    """Chains of one cell, all within one block of seeds.

    Columns of equal length: seed, generation, metric, value, one row per judged or described number.  ``facts`` holds
    what is said once (label, versions, status and reason per chain, ledger totals per chain); ``runs`` says for each
    run that contributed which seeds, in which environment, how long.
    """

    seed: np.ndarray  # int64
    generation: np.ndarray  # int32
    metric: np.ndarray  # str
    value: np.ndarray  # float64
    facts: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        return self.facts["seeds"]

    @property
    def status(self) -> dict[int, str]:
        return dict(zip(self.facts["seeds"], self.facts["status"], strict=True))

    @property
    def finished(self) -> list[int]:
        """Seeds whose chains need no further run."""
        return [seed for seed, status in self.status.items() if status in KEPT]

    @property
    def refusals(self) -> dict[int, str]:
        """Seeds that were skipped when they ran, each with the sentence that says why."""
        told = zip(self.facts["seeds"], self.facts["status"], self.facts["reason"], strict=True)
        return {seed: reason for seed, status, reason in told if status == "skipped"}

    def beyond(self, limits: Mapping[str, int]) -> dict[int, str]:
        """Seeds whose mitigations used more than these limits allow, each with the sentence that says of what."""
        found = {}
        for what, limit in limits.items():
            for seed, spent in zip(self.seeds, self.facts["ledger"].get(f"{what}_by_methods", ()), strict=False):
                if spent > limit:
                    found[seed] = f"{self.facts['entry']} used {spent} {WORDS[what]}, and the budget allows {limit}"
        return found

    def digest(self) -> str:
        """Of the numbers and facts: equal for two runs of the same chains, whenever and wherever they ran."""
        total = hashlib.sha256()
        for column in (self.seed, self.generation, self.value):
            total.update(np.ascontiguousarray(column).tobytes())
        total.update("\0".join(self.metric.tolist()).encode())
        total.update(json.dumps(self.facts, sort_keys=True).encode())
        return total.hexdigest()

    def _seal(self) -> str:
        """Of all that a file holds, the account of its runs included."""
        return hashlib.sha256((self.digest() + json.dumps(self.runs, sort_keys=True)).encode()).hexdigest()

    def restricted(self, seeds: Iterable[int]) -> Record:
        """The chains of these seeds alone."""
        wanted = set(seeds)
        rows = np.isin(self.seed, sorted(wanted))
        picks = [i for i, seed in enumerate(self.seeds) if seed in wanted]

        def pick(values):
            return [values[i] for i in picks]

        facts = {**self.facts, **{key: pick(self.facts[key]) for key in ("seeds", "status", "reason")}}
        facts["ledger"] = {what: pick(values) for what, values in self.facts["ledger"].items()}
        columns = (self.seed, self.generation, self.metric, self.value)
        return Record(*(column[rows] for column in columns), facts, self.runs)

    def merged(self, newer: Record) -> Record:
        """Both records' chains; where both hold one, the newer counts.  Chains come out in order of seed."""
        older = self.restricted(set(self.seeds) - set(newer.seeds))
        seeds = older.seeds + newer.seeds
        order = sorted(range(len(seeds)), key=seeds.__getitem__)

        def both(key, mine, theirs):
            values = mine[key] + theirs[key]
            return [values[i] for i in order]

        facts = {**newer.facts}
        for key in ("seeds", "status", "reason"):
            facts[key] = both(key, older.facts, newer.facts)
        names = sorted({*older.facts["ledger"], *newer.facts["ledger"]})
        padded = [
            {name: rec.facts["ledger"].get(name, [0] * len(rec.seeds)) for name in names} for rec in (older, newer)
        ]
        facts["ledger"] = {name: both(name, *padded) for name in names}
        facts["track"] = joined_tracks(rec.facts["track"] for rec in (older, newer) if rec.seeds)
        columns = [
            np.concatenate([getattr(older, name), getattr(newer, name)])
            for name in ("seed", "generation", "metric", "value")
        ]
        rows = np.argsort(columns[0], kind="stable")
        return Record(*(column[rows] for column in columns), facts, self.runs + newer.runs)

    def compared(self) -> Record:
        """The record with its law beside what was measured: by generation the predicted primary loss, the mean over chains
        that are done, the ratio and the z-score; None where one is not known."""
        told = self.facts["theory"]["predicted"]
        if told is None:
            return self
        done = [seed for seed, status in self.status.items() if status == "done"]
        mine = (self.metric == self.facts["primary"]) & np.isin(self.seed, done) & np.isfinite(self.value)
        law = np.array([np.nan if value is None else value for value in told])
        with np.errstate(divide="ignore", invalid="ignore"):  # no chain, one chain, a law of zero: not known
            mean, error = _over_chains(self.generation[mine], self.value[mine], len(law))
            mean = np.where(np.isnan(law), np.nan, mean)
            columns = {"measured": mean, "ratio": mean / law, "z": (mean - law) / error}
        plain = {name: [float(v) if np.isfinite(v) else None for v in column] for name, column in columns.items()}
        return replace(self, facts={**self.facts, "theory": {"predicted": told, **plain}})

    def packed(self) -> bytes:
        """The record as a parquet file."""
        metric = pa.array(self.metric, pa.string()).dictionary_encode()
        table = pa.table({"seed": self.seed, "generation": self.generation, "metric": metric, "value": self.value})
        meta = json.dumps({"facts": self.facts, "runs": self.runs, "seal": self._seal()})
        sink = pa.BufferOutputStream()
        # without what nobody reads and no checksum guards: statistics, and a second copy of the facts in pyarrow's schema
        how = {"compression": "zstd", "write_page_checksum": True, "write_statistics": False, "store_schema": False}
        with pq.ParquetWriter(sink, table.schema, **how) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_META: meta})
        return sink.getvalue().to_pybytes()

    @classmethod
    def read(cls, path: Path) -> Record:
        """Raises ``Damaged`` where the file is not what was written."""
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            table, meta = file.read(), json.loads(file.metadata.metadata[_META])
            record = cls(
                table["seed"].to_numpy(),
                table["generation"].to_numpy(),
                np.asarray(table["metric"].cast(pa.string()).to_pylist(), dtype=object),
                table["value"].to_numpy(),
                meta["facts"],
                meta["runs"],
            )
            whole = meta["seal"] == record._seal()
        except FileNotFoundError:
            raise
        except Exception as problem:
            raise Damaged(f"{path} is damaged ({type(problem).__name__}: {problem})".split("\n")[0]) from problem
        if not whole:
            raise Damaged(f"{path} is damaged (its seal does not match its content)")
        if record.facts["schema"] != SCHEMA:
            raise Damaged(f"{path} has schema {record.facts['schema']}, and this version reads schema {SCHEMA}")
        return record


class Damaged(Exception):
    """A record that is not what was written, told in one sentence."""


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
                if time.time() - beside.stat().st_mtime > _LITTER:
                    beside.unlink()

    def block_path(self, cell_id: str, block: int) -> Path:
        return self.path / cell_id / f"{block * BLOCK}-{block * BLOCK + BLOCK - 1}.parquet"

    def read(self, cell_id: str, block: int) -> Record | None:
        """The record of a block, None where there is none; Damaged where it is not whole."""
        try:
            record = Record.read(self.block_path(cell_id, block))
        except FileNotFoundError:
            return None
        if record.facts["id"] != cell_id:
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
        if older is not None and older.facts.get("sources") == record.facts.get("sources"):
            record = older.merged(record)  # chains of an edited plugin file are not put beside those of the old one
        record = record.compared()
        path = self.block_path(cell.id, block)
        about = path.parent / "cell.json"
        if not about.exists():
            text = json.dumps({"label": cell.label, "id": cell.id, **cell.canonical})
            replace_file(about, text.encode())
        replace_file(path, record.packed())
        return record

    def labels(self) -> dict[str, list[str]]:
        """label -> ids of the cells that are here."""
        found: dict[str, list[str]] = {}
        for about in sorted(self.path.glob("*/cell.json")):
            try:
                told = json.loads(about.read_text())
                found.setdefault(told["label"], []).append(told["id"])
            except (OSError, ValueError, KeyError, TypeError):
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
        told = {"schema": SCHEMA, "id": cell_id, "seeds": seeds, "state": content, "weights": beside and beside.name}
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


def _over_chains(generation: np.ndarray, value: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over chains for each generation 0 .. length - 1."""
    chains = np.bincount(generation, minlength=length)
    mean = np.bincount(generation, value, length) / chains
    variance = np.bincount(generation, (value - mean[generation]) ** 2, length) / (chains - 1)
    return mean, np.sqrt(variance / chains)


def replace_file(path: Path, content: bytes) -> None:
    """Write beside and rename: readers see the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def joined_tracks(tracks: Iterable[str]) -> str:
    """The track of chains that together used all this: blind where none used anything."""
    used = sorted({piece for track in tracks for piece in track.split("+")} - {"blind"})
    return "+".join(used) or "blind"


def blocks_of(seeds: Iterable[int]) -> dict[int, list[int]]:
    """Seeds by aligned block."""
    found: dict[int, list[int]] = {}
    for seed in sorted(set(seeds)):
        found.setdefault(seed // BLOCK, []).append(seed)
    return found
