"""Published records: the chains of a whole suite in one parquet file, which can stand behind a store.

Kept of each chain: the primary loss of every generation, all that a board shows of the last one, the status, and what
the ledger says.  A record is found by the id of its cell, so that a plugin of another version, or with other
parameters, finds nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..core.identity import SCHEMA
from ..errors import NothingMatched, UsageError
from ..status import FINISHED
from .facts import CellFacts, RunAccount
from .manifest import Manifest, ManifestEntry, ManifestTask
from .record import BLOCK, Damaged, Record, blocks_of
from .store import Store, replace_file

_META = b"collapse_bench_archive"
_NO_TIME = {"seconds": 0.0, "cpu_seconds": 0.0}
_KEPT = (
    "seconds",
    "cpu_seconds",
    "seeds",
    "environment",
    "remarks",
    "device",
    "at",
)  # of the account of a run


def whole(store: Store, manifest: Manifest) -> list[tuple[Record, ManifestEntry]]:
    """All records of a run, each with the entry that it belongs to.

    Raises NothingMatched where a record is missing or damaged: what is published is whole.
    """
    entries = {entry.id: entry for entry in manifest.entries if entry.skip is None}
    return [
        (record, entry)
        for _, entry in sorted(entries.items())
        for record in _whole(store, manifest, entry)
    ]


def publish(found: Iterable[tuple[Record, ManifestEntry]], manifest: Manifest, path: Path) -> int:
    """Write whole records of a run to one file; how many records it holds."""
    records = [_cut(record, manifest.tasks[entry.task], entry) for record, entry in found]
    names = sorted({name for record in records for name in record.metric})
    code = {name: i for i, name in enumerate(names)}

    def column(pick: Callable[[int, Record], ArrayLike], kind: DTypeLike) -> NDArray[Any]:
        return np.concatenate(
            [np.asarray(pick(i, record)) for i, record in enumerate(records)]
        ).astype(kind)

    table = pa.table(
        {
            "record": column(lambda i, r: np.full(len(r.seed), i), np.int32),
            "seed": column(lambda _, r: r.seed, np.int64),
            "generation": column(lambda _, r: r.generation, np.int32),
            "metric": column(lambda _, r: [code[name] for name in r.metric], np.int32),
            "value": column(lambda _, r: r.value, np.float64),
        }
    )
    about = {
        "schema": SCHEMA,
        "metrics": names,
        "records": [{"facts": r.facts.to_json(), "runs": r.runs} for r in records],
    }
    about["seal"] = _seal(table, about)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", compression_level=19) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_META: _packed(about)})
    replace_file(path, sink.getvalue().to_pybytes())
    return len(records)


def _whole(store: Store, manifest: Manifest, entry: ManifestEntry) -> Iterable[Record]:
    code = None
    for block, seeds in blocks_of(manifest.seeds).items():
        try:
            record = store.read(entry.id, block)
        except Damaged as problem:
            raise NothingMatched(
                f"{problem}; run the suite again before it is published"
            ) from problem
        if record is None or set(seeds) - set(record.seeds):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains that were not run; run the suite to its end first"
            )
        if record.code != (code or record.code):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains of two versions of its code; run the suite to its end first"
            )
        code = record.code
        yield record.restricted(seeds)


def _cut(record: Record, task: ManifestTask, entry: ManifestEntry) -> Record:
    """What is published of a record."""
    final = [name for name in ("effective_size", task.tail, task.diversity) if name]
    keep = record.metric == task.primary
    keep |= np.isin(record.metric.astype(str), final) & (record.generation == entry.horizon)
    if entry.name == "none":  # of which the control `frozen` is read off
        keep |= np.isin(record.metric.astype(str), final) & (record.generation == 0)
    return record.rows(keep, replace(record.facts, canonical=None), [*map(_kept, record.runs)])


def _kept(run: RunAccount) -> RunAccount:
    """What is published of the account of a run."""
    return cast(RunAccount, {name: value for name, value in run.items() if name in _KEPT})


def _packed(about: Mapping[str, Any]) -> bytes:
    """The accounts as text that fits into metadata: parquet compresses columns alone, and these are the larger part."""
    return base64.b64encode(zlib.compress(json.dumps(about).encode(), 9))


def _unpacked(text: bytes) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return about


def _seal(table: pa.Table, about: Mapping[str, Any]) -> str:
    total = hashlib.sha256(
        json.dumps({k: v for k, v in about.items() if k != "seal"}, sort_keys=True).encode()
    )
    for name in table.column_names:
        total.update(np.ascontiguousarray(table[name].to_numpy()).tobytes())
    return total.hexdigest()


class Archive:
    """A file of published records, read when first asked."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _records(self) -> dict[tuple[str, int], Record]:
        try:
            file = pq.ParquetFile(self.path)
            if _META not in (file.metadata.metadata or {}):
                raise ValueError("it has no seal of 'collapse-bench publish'")
            table, about = file.read(), _unpacked(file.metadata.metadata[_META])
        except Exception as problem:
            raise UsageError(
                f"{self.path} cannot be read as published records ({problem})".split("\n")[0]
            ) from problem
        if about["schema"] != SCHEMA:
            raise UsageError(
                f"{self.path} has schema {about['schema']}, and this version reads schema {SCHEMA}"
            )
        if about["seal"] != _seal(table, about):
            raise UsageError(
                f"{self.path} is not what was published: its seal does not match its content; fetch it again, or make it "
                "again by 'collapse-bench publish'"
            )
        names = np.asarray(about["metrics"], dtype=object)
        seed, generation, metric, value = (
            table[name].to_numpy() for name in ("seed", "generation", "metric", "value")
        )
        ends = np.searchsorted(table["record"].to_numpy(), np.arange(len(about["records"]) + 1))
        found = {}
        for i, account in enumerate(about["records"]):
            rows = slice(ends[i], ends[i + 1])
            facts = CellFacts.from_json(account["facts"])
            record = Record(
                seed[rows],
                generation[rows],
                names[metric[rows]],
                value[rows],
                replace(
                    facts, published=facts.published or about["seal"]
                ),  # so that times of two machines are told apart
                account["runs"],
            )
            found[facts.id, next(iter(blocks_of(record.seeds)))] = record
        return found

    def read(self, cell_id: str, block: int) -> Record | None:
        """The published record of a block, None where there is none."""
        return self._records.get((cell_id, block))

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The published record of the block that holds this seed."""
        return self.read(cell_id, seed // BLOCK)

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> an empty form, since a published record keeps none."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for record in self._records.values():
            found.setdefault(record.facts.label, {})[record.facts.id] = {}
        return found

    def __len__(self) -> int:
        return len(self._records)


def shipped(suite: str) -> Path:
    """Where the published records of a suite are, in a clone and in an installed package; the file may be absent."""
    return Path(__file__).parents[1] / "leaderboard" / f"{suite}.parquet"


class OverlayStore(Store):
    """A store with an archive behind it: what it does not hold itself, chain by chain, the archive may."""

    def __init__(self, path: str | Path, archive: Archive):
        super().__init__(path)
        self.archive = archive

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        found = self.archive.cells()
        for label, forms in super().cells().items():
            found[label] = {**found.get(label, {}), **forms}
        return found

    def read(self, cell_id: str, block: int) -> Record | None:
        behind = self.archive.read(cell_id, block)
        try:
            record = super().read(cell_id, block)
        except Damaged:
            if behind is None:
                raise
            return behind
        if record is None or behind is None:
            return record or behind
        if record.code != behind.code:
            return record
        own = {
            seed
            for seed, status in record.status.items()
            if status in FINISHED or seed not in behind.status
        }
        if own >= set(behind.seeds):
            return record
        both = behind.restricted(set(behind.seeds) - own).merged(record.restricted(own))
        # two machines: the time that is told of all chains is that of the published ones
        untimed = [cast(RunAccount, {**run, **_NO_TIME}) for run in record.runs]
        facts = replace(both.facts, published=behind.facts.published)
        return replace(both, facts=facts, runs=behind.runs + untimed)
