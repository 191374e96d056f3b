"""A record: the chains of one cell and one block of seeds, their numbers, status and account."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..core.identity import SCHEMA
from ..core.tracks import WORDS
from ..errors import UsageError
from ..status import FINISHED, Status
from .facts import CellFacts, Prediction, RunAccount
from .faults import Damaged, Foreign, Unreadable
from .files import read_file
from .parquet import MOST_BYTES, MOST_ROWS, MOST_TEXT, read_parquet, texts_of
from .plain import PlainMeta, check_plain, parsed

BLOCK = 32  # seeds per record
Rows = NDArray[np.bool_] | NDArray[np.intp]  # which rows of the columns
_META = b"collapse_bench"
#: name -> type of the columns
COLUMNS = {
    "seed": pa.int64(),
    "generation": pa.int32(),
    "metric": pa.string(),
    "value": pa.float64(),
}
ABANDONED = 3600.0  # age in seconds at which an unfinished file counts as abandoned


@dataclass
class Record:
    """Chains of one cell, all within one block of seeds.

    The columns seed, generation, metric and value have one row per loss or diagnostic.  ``facts``
    describe the cell and each chain.  ``runs`` say for each run that contributed which seeds it
    ran, in which environment, and how long it took.
    """

    seed: NDArray[np.int64]
    generation: NDArray[np.int32]
    metric: NDArray[np.object_]  # str
    value: NDArray[np.float64]
    facts: CellFacts
    runs: list[RunAccount] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        return list(self.facts.seeds)

    @property
    def status(self) -> dict[int, Status]:
        return dict(zip(self.facts.seeds, self.facts.status, strict=True))

    @property
    def finished(self) -> list[int]:
        """Seeds whose chains need no further run."""
        return [seed for seed, status in self.status.items() if status in FINISHED]

    @property
    def refusals(self) -> dict[int, str]:
        """Seed -> why it was skipped, for chains that were found not to fit when they ran."""
        facts = self.facts
        ended = zip(facts.seeds, facts.status, facts.reason, strict=True)
        return {seed: reason or "" for seed, status, reason in ended if status is Status.SKIPPED}

    @property
    def declined(self) -> set[int]:
        """Seeds that a mitigation skipped by its own choice."""
        chosen = self.facts.declined or ()
        return {seed for seed, yes in zip(self.facts.seeds, chosen, strict=False) if yes}

    @property
    def code(self) -> dict[str, Any]:
        """The code that computed the numbers: plugin -> module -> digest, and the version of the
        suite's own numbers under ``""``.

        Chains of different code are never put in one record.  The suite's own plugins are not
        listed, since their declared versions are part of the id.
        """
        return {"": self.facts.numerics or 1, **(self.facts.sources or {})}

    @property
    def at(self) -> str:
        """When its newest chains were run, ISO 8601; "" where that is not known."""
        return max((str(run.get("at", "")) for run in self.runs), default="")

    def beyond(self, limits: Mapping[str, int]) -> dict[int, str]:
        """Seed -> a sentence, for chains whose mitigations used more than these limits allow."""
        sentences = {}
        for substance, limit in limits.items():
            spent_by = self.facts.ledger.get(f"{substance}_by_methods", ())
            for seed, spent in zip(self.facts.seeds, spent_by, strict=False):
                if spent > limit:
                    sentences[seed] = (
                        f"{self.facts.entry} used {spent} {WORDS[substance]}, "
                        f"and the budget allows {limit}"
                    )
        return sentences

    def digest(self) -> str:
        """Digest of the numbers and facts, equal for any two runs of the same chains."""
        total = hashlib.sha256()
        for column in (self.seed, self.generation, self.value):
            total.update(np.ascontiguousarray(column).tobytes())
        total.update("\0".join(self.metric.tolist()).encode())
        total.update(json.dumps(self.facts.to_json(), sort_keys=True).encode())
        return total.hexdigest()

    def _seal(self) -> str:
        """Digest of all that a file holds, including the account of its runs."""
        return hashlib.sha256(
            (self.digest() + json.dumps(self.runs, sort_keys=True)).encode()
        ).hexdigest()

    def rows(self, which: Rows, facts: CellFacts, runs: list[RunAccount]) -> Record:
        """A record with some rows of the columns, and these facts and runs."""
        return Record(
            self.seed[which],
            self.generation[which],
            self.metric[which],
            self.value[which],
            facts,
            runs,
        )

    def restricted(self, seeds: Iterable[int]) -> Record:
        """The record, restricted to the chains of these seeds."""
        chosen = set(seeds)
        return self.rows(np.isin(self.seed, sorted(chosen)), self.facts.only(chosen), self.runs)

    def merged(self, newer: Record) -> Record:
        """The chains of both records, by seed; a chain that both hold is taken from ``newer``."""
        older = self.restricted(set(self.seeds) - set(newer.seeds))
        both = Record(
            np.concatenate([older.seed, newer.seed]),
            np.concatenate([older.generation, newer.generation]),
            np.concatenate([older.metric, newer.metric]),
            np.concatenate([older.value, newer.value]),
            older.facts.joined(newer.facts),
            self.runs + newer.runs,
        )
        return both.rows(np.argsort(both.seed, kind="stable"), both.facts, both.runs)

    def compared(self) -> Record:
        """The record with its law compared with the measured primary loss.

        By generation: the prediction, the mean over chains that are done, their ratio and the
        z-score; None where one is not known.
        """
        predicted = self.facts.theory.predicted
        if predicted is None:
            return self
        done = [seed for seed, status in self.status.items() if status is Status.DONE]
        used = (
            (self.metric == self.facts.primary) & np.isin(self.seed, done) & np.isfinite(self.value)
        )
        law = np.array([np.nan if value is None else value for value in predicted])
        # no chain, one chain, or a law of zero gives NaN, which is stored as None
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, error = _over_chains(self.generation[used], self.value[used], len(law))
            mean = np.where(np.isnan(law), np.nan, mean)
            columns = {"measured": mean, "ratio": mean / law, "z": (mean - law) / error}
        known = {
            name: tuple(float(v) if np.isfinite(v) else None for v in column)
            for name, column in columns.items()
        }
        return replace(self, facts=replace(self.facts, theory=Prediction(predicted, **known)))

    def packed(self) -> bytes:
        """The record as a parquet file.

        Raises UsageError for a record beyond the limits up to which records are read.
        """
        if len(self.seed) > MOST_ROWS:
            raise UsageError(
                f"the record of {self.facts.label} has {len(self.seed)} numbers, and a record "
                f"holds at most {MOST_ROWS}; run fewer generations"
            )
        metric = pa.array(self.metric, pa.string()).dictionary_encode()
        table = pa.table(
            {
                "seed": self.seed,
                "generation": self.generation,
                "metric": metric,
                "value": self.value,
            }
        )
        meta = json.dumps({"facts": self.facts.to_json(), "runs": self.runs, "seal": self._seal()})
        if len(meta) > MOST_TEXT:
            raise UsageError(
                f"the facts of {self.facts.label} have {len(meta)} characters, and a record holds "
                f"at most {MOST_TEXT}; shorten the messages of its plugins"
            )
        sink = pa.BufferOutputStream()
        # statistics and pyarrow's own copy of the schema are never read and have no checksum
        options = {
            "compression": "zstd",
            "write_page_checksum": True,
            "write_statistics": False,
            "store_schema": False,
        }
        with pq.ParquetWriter(sink, table.schema, **options) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_META: meta})
        return bytes(sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a parquet file.

        Raises FileNotFoundError, Rejected where its content is not what a run has written, or
        Unreadable where it cannot be read now.
        """
        table, text = read_parquet(path, _META, COLUMNS)
        try:
            meta = parsed(text)
            if (schema := schema_of(meta)) != SCHEMA:
                raise Foreign(path, f"it has schema {schema}, and this version reads {SCHEMA}")
            check_plain(PlainMeta, meta)
            record = cls(
                table["seed"].to_numpy(),
                table["generation"].to_numpy(),
                texts_of(table["metric"]),
                table["value"].to_numpy(),
                CellFacts.from_json(meta["facts"]),
                meta["runs"],
            )
            whole = meta["seal"] == record._seal()
        except (MemoryError, RecursionError) as problem:
            raise Unreadable(path, f"{type(problem).__name__}: {problem}") from problem
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise Damaged(path, str(problem)) from problem
        if not whole:
            raise Damaged(path, "its seal does not match its content")
        return record

    @staticmethod
    def seeds_in(path: Path) -> set[int]:
        """The seeds that the metadata of a file names, whether the rest is damaged or not.

        Empty where the metadata is damaged too.  Raises what ``read_file`` raises.
        """
        content = read_file(path, MOST_BYTES)
        try:
            seeds = parsed(pq.read_metadata(pa.BufferReader(content)).metadata[_META])["facts"]
            return {seed for seed in seeds["seeds"] if isinstance(seed, int)}
        except Exception:  # any fault of the content
            return set()


class RecordReader(Protocol):
    """A source of records by cell and seed: a store, or an archive of published records."""

    def read_or_none(self, cell_id: str, seed: int) -> Record | None:
        """The record of the block that holds this seed, or None."""


def schema_of(meta: Any) -> Any:
    """The schema that the metadata of a record names, None where it names none."""
    facts = meta.get("facts") if isinstance(meta, Mapping) else None
    return facts.get("schema") if isinstance(facts, Mapping) else None


def _over_chains(
    generation: NDArray[np.int32], value: NDArray[np.float64], length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error over chains for each generation 0 .. length - 1."""
    chains = np.bincount(generation, minlength=length)
    mean = np.bincount(generation, value, length) / chains
    variance = np.bincount(generation, (value - mean[generation]) ** 2, length) / (chains - 1)
    return mean, np.sqrt(variance / chains)


def blocks_of(seeds: Iterable[int]) -> dict[int, list[int]]:
    """block -> its seeds, in order; block b covers the seeds from b * BLOCK on."""
    blocks: dict[int, list[int]] = {}
    for seed in sorted(set(seeds)):
        blocks.setdefault(seed // BLOCK, []).append(seed)
    return blocks
