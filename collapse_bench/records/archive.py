"""Published records: all chains of a suite in one parquet file, which a store can fall back on.

For each chain it holds the primary loss of every generation, the other metrics of the last
generation that a board shows, the status, and the ledger.  Records are found by the id of their
cell, so a plugin of another version or with other parameters finds none.
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
#: keys of a run's account that are published
_KEPT = ("seconds", "cpu_seconds", "seeds", "environment", "remarks", "device", "at")


def whole(store: Store, manifest: Manifest) -> list[tuple[Record, ManifestEntry]]:
    """All records of a run, each with its entry.

    Raises NothingMatched where a chain is missing or damaged, since only complete runs are
    published.
    """
    entries = {entry.id: entry for entry in manifest.entries if entry.skip is None}
    return [
        (record, entry)
        for _, entry in sorted(entries.items())
        for record in _whole(store, manifest, entry)
    ]


def publish(pairs: Iterable[tuple[Record, ManifestEntry]], manifest: Manifest, path: Path) -> int:
    """Write the records of a run to one file.  Returns their number."""
    records = [_cut(record, manifest.tasks[entry.task], entry) for record, entry in pairs]
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
    header = {
        "schema": SCHEMA,
        "metrics": names,
        "records": [{"facts": r.facts.to_json(), "runs": r.runs} for r in records],
    }
    header["seal"] = _seal(table, header)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", compression_level=19) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_META: _packed(header)})
    replace_file(path, sink.getvalue().to_pybytes())
    return len(records)


def _whole(store: Store, manifest: Manifest, entry: ManifestEntry) -> Iterable[Record]:
    code = None
    for block, seeds in blocks_of(manifest.seeds).items():
        try:
            record = store.read(entry.id, block)
        except Damaged as problem:
            raise NothingMatched(
                f"{problem}; run the suite again before you publish it"
            ) from problem
        if record is None or set(seeds) - set(record.seeds):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains that were not run; "
                "finish the run of the suite first"
            )
        if record.code != (code or record.code):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains of two versions of its code; "
                "finish the run of the suite first"
            )
        code = record.code
        yield record.restricted(seeds)


def _cut(record: Record, task: ManifestTask, entry: ManifestEntry) -> Record:
    """The part of a record that is published."""
    final = [name for name in ("effective_size", task.tail, task.diversity) if name]
    keep = record.metric == task.primary
    keep |= np.isin(record.metric.astype(str), final) & (record.generation == entry.horizon)
    if entry.name == "none":  # its generation 0 is the control `frozen`
        keep |= np.isin(record.metric.astype(str), final) & (record.generation == 0)
    return record.rows(keep, replace(record.facts, canonical=None), [*map(_kept, record.runs)])


def _kept(run: RunAccount) -> RunAccount:
    """The part of the account of a run that is published."""
    return cast(RunAccount, {name: value for name, value in run.items() if name in _KEPT})


def _packed(header: Mapping[str, Any]) -> bytes:
    """Compressed text for the metadata, most of the file; parquet compresses only columns."""
    return base64.b64encode(zlib.compress(json.dumps(header).encode(), 9))


def _unpacked(text: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return header


def _seal(table: pa.Table, header: Mapping[str, Any]) -> str:
    """Digest of all that the file holds."""
    total = hashlib.sha256(
        json.dumps({k: v for k, v in header.items() if k != "seal"}, sort_keys=True).encode()
    )
    for name in table.column_names:
        total.update(np.ascontiguousarray(table[name].to_numpy()).tobytes())
    return total.hexdigest()


class Archive:
    """A file of published records, read on first use.  UsageError where it cannot be read."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _records(self) -> dict[tuple[str, int], Record]:
        try:
            file = pq.ParquetFile(self.path)
            if _META not in (file.metadata.metadata or {}):
                raise ValueError("it has no seal of 'collapse-bench publish'")
            table, header = file.read(), _unpacked(file.metadata.metadata[_META])
        except Exception as problem:
            raise UsageError(
                f"{self.path} cannot be read as published records ({problem})".split("\n")[0]
            ) from problem
        if header["schema"] != SCHEMA:
            raise UsageError(
                f"{self.path} has schema {header['schema']}, and this version reads schema {SCHEMA}"
            )
        if header["seal"] != _seal(table, header):
            raise UsageError(
                f"{self.path} was changed after it was published: its seal does not match its "
                "content; download it again, or write it again with 'collapse-bench publish'"
            )
        names = np.asarray(header["metrics"], dtype=object)
        seed, generation, metric, value = (
            table[name].to_numpy() for name in ("seed", "generation", "metric", "value")
        )
        ends = np.searchsorted(table["record"].to_numpy(), np.arange(len(header["records"]) + 1))
        records = {}
        for i, account in enumerate(header["records"]):
            rows = slice(ends[i], ends[i + 1])
            facts = CellFacts.from_json(account["facts"])
            record = Record(
                seed[rows],
                generation[rows],
                names[metric[rows]],
                value[rows],
                # the seal marks times that were measured on another machine
                replace(facts, published=facts.published or header["seal"]),
                account["runs"],
            )
            records[facts.id, next(iter(blocks_of(record.seeds)))] = record
        return records

    def read(self, cell_id: str, block: int) -> Record | None:
        """The published record of a block, or None."""
        return self._records.get((cell_id, block))

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The published record of the block that holds this seed, or None."""
        return self.read(cell_id, seed // BLOCK)

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> {}, since published records hold no canonical form."""
        forms: dict[str, dict[str, dict[str, Any]]] = {}
        for record in self._records.values():
            forms.setdefault(record.facts.label, {})[record.facts.id] = {}
        return forms

    def __len__(self) -> int:
        return len(self._records)


def shipped(suite: str) -> Path:
    """Path of the published records of a suite, in a clone or a package; the file may be absent."""
    return Path(__file__).parents[1] / "leaderboard" / f"{suite}.parquet"


class OverlayStore(Store):
    """A store that falls back on an archive: chains that it does not hold are read from there."""

    def __init__(self, path: str | Path, archive: Archive):
        super().__init__(path)
        self.archive = archive

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        both = self.archive.cells()
        for label, forms in super().cells().items():
            both[label] = {**both.get(label, {}), **forms}
        return both

    def read(self, cell_id: str, block: int) -> Record | None:
        published = self.archive.read(cell_id, block)
        try:
            record = super().read(cell_id, block)
        except Damaged:
            if published is None:
                raise
            return published
        if record is None or published is None:
            return record or published
        if record.code != published.code:
            return record
        own = {
            seed
            for seed, status in record.status.items()
            if status in FINISHED or seed not in published.status
        }
        if own >= set(published.seeds):
            return record
        both = published.restricted(set(published.seeds) - own).merged(record.restricted(own))
        # times of two machines cannot be added: only those of the published chains are kept
        untimed = [cast(RunAccount, {**run, **_NO_TIME}) for run in record.runs]
        facts = replace(both.facts, published=published.facts.published)
        return replace(both, facts=facts, runs=published.runs + untimed)
