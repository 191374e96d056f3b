"""A record: the chains of one block of one cell, their numbers, status and account."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.identity import SCHEMA
from ..core.tracks import WORDS

BLOCK = 32


#: statuses of chains that need no further run: a pair that does not fit will not fit next time
KEPT = ("done", "starved", "skipped")


_META = b"collapse_bench"


LITTER = 3600.0  # seconds after which a file that a killed run was writing is taken to be abandoned


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
            for seed, spent in zip(
                self.seeds, self.facts["ledger"].get(f"{what}_by_methods", ()), strict=False
            ):
                if spent > limit:
                    found[seed] = (
                        f"{self.facts['entry']} used {spent} {WORDS[what]}, and the budget allows {limit}"
                    )
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
        return hashlib.sha256(
            (self.digest() + json.dumps(self.runs, sort_keys=True)).encode()
        ).hexdigest()

    def restricted(self, seeds: Iterable[int]) -> Record:
        """The chains of these seeds alone."""
        wanted = set(seeds)
        rows = np.isin(self.seed, sorted(wanted))
        picks = [i for i, seed in enumerate(self.seeds) if seed in wanted]

        def pick(values):
            return [values[i] for i in picks]

        facts = {
            **self.facts,
            **{key: pick(self.facts[key]) for key in ("seeds", "status", "reason")},
        }
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
            {name: rec.facts["ledger"].get(name, [0] * len(rec.seeds)) for name in names}
            for rec in (older, newer)
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
        mine = (
            (self.metric == self.facts["primary"])
            & np.isin(self.seed, done)
            & np.isfinite(self.value)
        )
        law = np.array([np.nan if value is None else value for value in told])
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # no chain, one chain, a law of zero: not known
            mean, error = _over_chains(self.generation[mine], self.value[mine], len(law))
            mean = np.where(np.isnan(law), np.nan, mean)
            columns = {"measured": mean, "ratio": mean / law, "z": (mean - law) / error}
        plain = {
            name: [float(v) if np.isfinite(v) else None for v in column]
            for name, column in columns.items()
        }
        return replace(self, facts={**self.facts, "theory": {"predicted": told, **plain}})

    def packed(self) -> bytes:
        """The record as a parquet file."""
        metric = pa.array(self.metric, pa.string()).dictionary_encode()
        table = pa.table(
            {
                "seed": self.seed,
                "generation": self.generation,
                "metric": metric,
                "value": self.value,
            }
        )
        meta = json.dumps({"facts": self.facts, "runs": self.runs, "seal": self._seal()})
        sink = pa.BufferOutputStream()
        # without what nobody reads and no checksum guards: statistics, and a second copy of the facts in pyarrow's schema
        how = {
            "compression": "zstd",
            "write_page_checksum": True,
            "write_statistics": False,
            "store_schema": False,
        }
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
            raise Damaged(
                f"{path} is damaged ({type(problem).__name__}: {problem})".split("\n")[0]
            ) from problem
        if not whole:
            raise Damaged(f"{path} is damaged (its seal does not match its content)")
        if record.facts["schema"] != SCHEMA:
            raise Damaged(
                f"{path} has schema {record.facts['schema']}, and this version reads schema {SCHEMA}"
            )
        return record


class Damaged(Exception):
    """A record that is not what was written, told in one sentence."""


def _over_chains(
    generation: np.ndarray, value: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over chains for each generation 0 .. length - 1."""
    chains = np.bincount(generation, minlength=length)
    mean = np.bincount(generation, value, length) / chains
    variance = np.bincount(generation, (value - mean[generation]) ** 2, length) / (chains - 1)
    return mean, np.sqrt(variance / chains)


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
