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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import TypeAdapter, ValidationError

from ..core.identity import SCHEMA
from ..errors import NothingMatched, UsageError
from ..status import FINISHED
from .again import run_again
from .agreement import disagreement
from .contradictions import contradiction
from .facts import CellFacts, Prediction, RunAccount
from .faults import Absurd, Damaged, Foreign, Forged, Rejected
from .files import replace_file
from .manifest import Manifest, ManifestEntry, ManifestTask
from .parquet import MOST_TEXT, read_parquet
from .plain import PlainHeader, check_plain, fault_of, parsed
from .record import BLOCK, Record, blocks_of
from .signs import SignGrid
from .store import Store
from .tuning import Tuned

_META = b"collapse_bench_archive"
#: name -> type of the columns
_COLUMNS = {
    "record": pa.int32(),
    "seed": pa.int64(),
    "generation": pa.int32(),
    "metric": pa.int32(),
    "value": pa.float64(),
}
#: suite -> seal of the published records that ship with this version, see ``shipped``
SHIPPED = {"standard": "2aa94590cf16baf7d9a1f01334bf09d9ab95c7cdcfb27c6d9d1d8cb26caf2168"}
_REMEDY = "download it again, or write it again with 'collapse-bench publish'"
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


def publish(
    pairs: Iterable[tuple[Record, ManifestEntry]],
    manifest: Manifest,
    path: Path,
    tuning: Sequence[Tuned] = (),
    signs: SignGrid | None = None,
) -> int:
    """Write the records of a run to one file, with its manifest, its choices of configurations and
    its grid of signs.  Returns the number of records.

    Of configurations other than the default, only the values of the last generation are written.
    """
    further = {name for choice in tuning for name in choice.entries[1:]}
    records = [
        _cut(record, manifest.tasks[entry.task], entry, last=entry.name in further)
        for record, entry in pairs
    ]
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
    # without paths of this machine
    header["manifest"] = replace(manifest, files={}, published=None).to_json()
    if tuning:
        header["tuning"] = [asdict(choice) for choice in tuning]
    if signs is not None:
        header["signs"] = signs.to_json()
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
        except Rejected as problem:
            raise NothingMatched(
                f"{problem}; run the suite again before you publish it"
            ) from problem
        if record is not None and (why := disagreement(manifest, entry, record)) is not None:
            raise UsageError(
                f"the record of {entry.name} on {entry.task} is not what the manifest says: {why}; "
                "run the suite again before you publish it"
            )
        if record is None or set(seeds) - set(record.seeds):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains that were not run; finish the run of the "
                f"suite first: {run_again(store.path, manifest, [entry.name])}"
            )
        if record.code != (code or record.code):
            raise NothingMatched(
                f"{entry.name} on {entry.task} has chains of two versions of its code; "
                "finish the run of the suite first"
            )
        code = record.code
        yield record.restricted(seeds).compared()


def _cut(record: Record, task: ManifestTask, entry: ManifestEntry, last: bool = False) -> Record:
    """The part of a record that is published; of the last generation only, with ``last``."""
    final = [name for name in ("effective_size", task.tail, task.diversity) if name]
    keep = record.metric == task.primary
    keep |= np.isin(record.metric.astype(str), final) & (record.generation == entry.horizon)
    if entry.name == "none":  # its generation 0 is the control `frozen`
        keep |= np.isin(record.metric.astype(str), final) & (record.generation == 0)
    facts = replace(record.facts, canonical=None)
    if last:
        keep &= record.generation == entry.horizon
        # a law is compared in every generation
        facts = replace(facts, theory=Prediction(None))
    return record.rows(keep, facts, [*map(_kept, record.runs)])


def _kept(run: RunAccount) -> RunAccount:
    """The part of the account of a run that is published."""
    return cast(RunAccount, {name: value for name, value in run.items() if name in _KEPT})


def _packed(header: Mapping[str, Any]) -> bytes:
    """Compressed text for the metadata, most of the file; parquet compresses only columns.

    Raises UsageError for more than is read.
    """
    text = json.dumps(header).encode()
    if len(text) > MOST_TEXT:
        raise UsageError(
            f"the facts of these records have {len(text)} bytes, and a file of published records "
            f"holds at most {MOST_TEXT}; publish the suite in parts"
        )
    return base64.b64encode(zlib.compress(text, 9))


def _unpacked(text: bytes) -> dict[str, Any]:
    """The header of an archive.  Raises ValueError for other text or one that inflates too far."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(base64.b64decode(text, validate=True), MOST_TEXT)
    except zlib.error as problem:
        raise ValueError(f"its metadata cannot be unpacked: {problem}") from problem
    if unpacker.unconsumed_tail:
        raise OverflowError(f"its metadata unpacks to more than {MOST_TEXT} bytes")
    header = parsed(plain)
    if not isinstance(header, dict):
        raise ValueError("its metadata is not a table")
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
    """A file of published records, read on first use.  UsageError where it cannot be used.

    seal: the only content that is accepted, for files whose seal is known; None: any.
    """

    def __init__(self, path: Path, seal: str | None = None):
        self.path, self.expected = path, seal

    def checked_seal(self) -> str:
        """Digest of all that the file holds, of which it is a part itself.

        Raises Rejected where the file is no archive, was changed, or contradicts itself.
        """
        return self._loaded[0]

    @property
    def seal(self) -> str:
        """Digest of all that the file holds."""
        return self._content[0]

    @property
    def tuning(self) -> tuple[Tuned, ...]:
        """The configurations that were chosen in the published run."""
        return self._content[2].tuning

    @property
    def signs(self) -> SignGrid | None:
        """The grid of signs of the published run, if it ran one."""
        return self._content[2].signs

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the published run; None in a file of an earlier version.

        Raises UsageError where it is not valid.
        """
        plain = self._content[3]
        if plain is None:
            return None
        try:
            return Manifest.from_text(json.dumps(plain), f"the manifest in {self.path}")
        except Rejected as problem:
            raise UsageError(f"published records: {problem}; {_REMEDY}") from problem

    @property
    def _records(self) -> dict[tuple[str, int], Record]:
        return self._content[1]

    @cached_property
    def _loaded(self) -> tuple[str, dict[tuple[str, int], Record], _Findings, Any]:
        return _read(self.path)

    @cached_property
    def _content(self) -> tuple[str, dict[tuple[str, int], Record], _Findings, Any]:
        try:
            seal, records, findings, manifest = self._loaded
        except FileNotFoundError as problem:
            raise UsageError(f"there are no published records at {self.path}") from problem
        except Rejected as problem:
            raise UsageError(f"published records: {problem}; {_REMEDY}") from problem
        if self.expected is not None and seal != self.expected:
            raise UsageError(
                f"{self.path} is not the file that this version ships: its seal is {seal[:12]}, "
                f"expected {self.expected[:12]}; install the package again, or name the file with "
                "--published"
            )
        return seal, records, findings, manifest

    def read(self, cell_id: str, block: int) -> Record | None:
        """The published record of a block, or None."""
        return self._records.get((cell_id, block))

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The published record of the block that holds this seed, or None."""
        return self.read(cell_id, seed // BLOCK)

    def facts(self) -> list[CellFacts]:
        """The facts of all records."""
        return [record.facts for record in self._records.values()]

    def cells(self) -> dict[str, dict[str, dict[str, Any]]]:
        """label -> id -> {}, since published records hold no canonical form."""
        forms: dict[str, dict[str, dict[str, Any]]] = {}
        for record in self._records.values():
            forms.setdefault(record.facts.label, {})[record.facts.id] = {}
        return forms

    def __len__(self) -> int:
        return len(self._records)


@dataclass(frozen=True)
class _Findings:
    """What an archive holds besides records; earlier ones hold neither."""

    tuning: tuple[Tuned, ...] = ()
    signs: SignGrid | None = None


def _read(path: Path) -> tuple[str, dict[tuple[str, int], Record], _Findings, Any]:
    """(seal, (cell, block) -> record, choices and signs, manifest as plain values) of an archive.

    Raises FileNotFoundError, Unreadable, or Rejected where the file is no archive, was changed, or
    contradicts itself.
    """
    table, text = read_parquet(path, _META, _COLUMNS)
    try:
        header = _unpacked(text)
        if (schema := header.get("schema")) != SCHEMA:
            raise Foreign(path, f"it has schema {schema}, and this version reads {SCHEMA}")
        check_plain(PlainHeader, header)
        findings = _findings(header)
    except OverflowError as problem:
        raise Absurd(path, str(problem)) from problem
    except ValueError as problem:
        raise Damaged(path, str(problem)) from problem
    if header["seal"] != _seal(table, header):
        raise Damaged(path, "its seal does not match its content")
    names = np.asarray(header["metrics"], dtype=object)
    index, seed, generation, metric, value = (table[name].to_numpy() for name in _COLUMNS)
    count = len(header["records"])
    if (np.diff(index) < 0).any() or ((index < 0) | (index >= count)).any():
        raise Forged(path, "its rows are not in the order of its records")
    if ((metric < 0) | (metric >= len(names))).any():
        raise Forged(path, "its rows have metrics that it does not name")
    ends = np.searchsorted(index, np.arange(count + 1))
    records: dict[tuple[str, int], Record] = {}
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
        if (why := contradiction(record, published=True)) is not None:
            raise Forged(path, f"the record of {facts.label}: {why}")
        place = facts.id, next(iter(blocks_of(record.seeds)))
        if place in records:
            raise Forged(path, f"it has two records of {facts.label}")
        records[place] = record
    return str(header["seal"]), records, findings, header.get("manifest")


def _findings(header: Mapping[str, Any]) -> _Findings:
    """Raises ValueError for choices or signs that are not valid."""
    known = {key: header[key] for key in ("tuning", "signs") if key in header}
    try:
        return TypeAdapter(_Findings).validate_json(json.dumps(known))
    except ValidationError as problem:
        raise ValueError(fault_of(problem)) from problem


def shipped_archive(suite: str) -> Archive:
    """The published records that ship with this version; only their known content is accepted."""
    return Archive(shipped(suite), SHIPPED.get(suite))


def shipped(suite: str) -> Path:
    """Path of the published records of a suite, in a clone or a package; the file may be absent."""
    return Path(__file__).parents[1] / "leaderboard" / f"{suite}.parquet"


def reused(folder: Path, manifest: Manifest) -> Archive | None:
    """The published records that the run in a folder reuses; None where it reuses none."""
    # of a merged folder the file lies in it
    return None if manifest.published is None else Archive(folder / manifest.published)


def earlier_page(suite: str, version: int) -> Path | None:
    """The published page of the newest earlier version of a suite that ships, if there is one."""
    folder = shipped(suite).parent / "history"
    pages = {number: folder / f"{suite}-{number}.md" for number in range(version - 1, 0, -1)}
    return next((page for page in pages.values() if page.is_file()), None)


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
        except Rejected:
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


def store_with(path: str | Path, archive: Archive | None) -> Store:
    """The store of a folder, which falls back on these published records if there are any."""
    return Store(path) if archive is None else OverlayStore(path, archive)
