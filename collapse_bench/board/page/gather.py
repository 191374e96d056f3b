"""What the page shows of the records themselves: curves, ledgers, laws and where they were run.

The records are gathered while the board reads them, since reading is most of the work.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...records.agreement import disagreement
from ...records.archive import OverlayStore
from ...records.manifest import Manifest, ManifestEntry
from ...records.record import Record
from ...records.store import Store
from ..curves import Curve

#: substances of a ledger that the page shows
SHOWN = ("real_unique", "real_rows", "verifier_calls", "generated_rows", "fits")


@dataclass(frozen=True)
class Spent:
    """What the chains of an entry used on a task, means per chain; and how they ended."""

    amounts: Mapping[str, float]
    track: str
    chains: int


@dataclass(frozen=True)
class Provenance:
    """Where and when records were made."""

    environments: tuple[tuple[str, int], ...]  # (text, runs), the most frequent first
    devices: tuple[str, ...]
    first: str  # ISO times, "" where they are not known
    last: str
    cpu_hours: float


class Gathered:
    """The records that a board has read, block by block."""

    def __init__(self, manifest: Manifest):
        self.manifest = manifest
        self.entries: dict[str, list[ManifestEntry]] = defaultdict(list)
        for entry in manifest.entries:
            if entry.role != "curve" and entry.skip is None:
                self.entries[entry.id].append(entry)
        self._blocks: dict[str, dict[int, _Block]] = defaultdict(dict)

    def see(self, record: Record) -> None:
        """Keep what the page shows of a record; nothing of one that is not what the manifest
        says."""
        entries = self.entries.get(record.facts.id, [])
        if not entries or not record.seeds:
            return
        if any(disagreement(self.manifest, entry, record) is not None for entry in entries):
            return
        self._blocks[record.facts.id][record.seeds[0]] = _Block.of(
            record, self.manifest.tasks[entries[0].task].primary, set(self.manifest.seeds)
        )

    def _kept(self, cell: str, codes: Mapping[str, Any]) -> list[_Block]:
        """The blocks of a cell that the board used: those of one version of the code."""
        known = list(codes.get(cell, ()))
        return [block for _, block in sorted(self._blocks[cell].items()) if block.code in known]

    def curves(self, codes: Mapping[str, Any]) -> dict[str, dict[str, Curve]]:
        """task -> entry -> mean loss by generation with two standard errors on each side.

        codes: those of the board, by the id of a cell.
        """
        found: dict[str, dict[str, Curve]] = {task: {} for task in self.manifest.tasks}
        for cell, entries in self.entries.items():
            blocks = self._kept(cell, codes)
            if blocks and (curve := _curve(blocks)) is not None:
                for entry in entries:
                    found[entry.task][entry.name] = curve
        return found

    def spent(self, codes: Mapping[str, Any]) -> dict[tuple[str, str], Spent]:
        """(entry, task) -> what its chains used there."""
        found = {}
        for cell, entries in self.entries.items():
            blocks = self._kept(cell, codes)
            chains = sum(block.chains for block in blocks)
            if chains:
                total: Counter[str] = Counter()
                for block in blocks:
                    total.update(block.ledger)
                amounts = {name: total[name] / chains for name in SHOWN}
                spent = Spent(amounts, blocks[-1].track, chains)
                found.update({(entry.name, entry.task): spent for entry in entries})
        return found

    def laws(self, codes: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
        """task -> expected loss of `none` by generation; NaN where it is not known."""
        found = {}
        for cell, entries in self.entries.items():
            for entry in entries:
                if entry.name == "none":
                    for block in self._kept(cell, codes)[:1]:
                        if block.law is not None:
                            found[entry.task] = block.law
        return found

    def provenance(self) -> Provenance:
        """Where and when all of them were run."""
        runs = [run for blocks in self._blocks.values() for b in blocks.values() for run in b.runs]
        texts = Counter(
            ", ".join(f"{name} {value}" for name, value in run.get("environment", {}).items())
            for run in runs
        )
        texts.pop("", None)
        times = sorted(filter(None, (str(run.get("at", "")) for run in runs)))
        return Provenance(
            tuple(texts.most_common()),
            tuple(sorted({str(run["device"]) for run in runs if run.get("device")})),
            times[0] if times else "",
            times[-1] if times else "",
            sum(float(run.get("cpu_seconds", 0.0)) for run in runs) / 3600,
        )


@dataclass(frozen=True)
class _Block:
    """One record, reduced to what the page shows."""

    code: Mapping[str, Any]
    generation: np.ndarray  # of the primary loss, with ``value``
    value: np.ndarray
    chains: int
    ledger: Mapping[str, float]  # sums over chains
    track: str
    law: tuple[float, ...] | None
    runs: list[Any] = field(repr=False)

    @classmethod
    def of(cls, record: Record, primary: str, seeds: set[int]) -> _Block:
        keep = (record.metric == primary) & np.isin(record.seed, list(seeds))
        chosen = [i for i, seed in enumerate(record.seeds) if seed in seeds]
        ledger = {
            name: float(sum(amounts[i] for i in chosen))
            for name, amounts in record.facts.ledger.items()
            if name in SHOWN
        }
        law = record.facts.theory.predicted
        return cls(
            record.code,
            record.generation[keep],
            record.value[keep],
            len(chosen),
            ledger,
            record.facts.track,
            None if law is None else tuple(np.nan if v is None else v for v in law),
            list(record.runs),
        )


def _curve(blocks: list[_Block]) -> Curve | None:
    """Mean over chains and two standard errors; None without a finite loss."""
    generation = np.concatenate([block.generation for block in blocks])
    value = np.concatenate([block.value for block in blocks])
    finite = np.isfinite(value)
    generation, value = generation[finite], value[finite]
    if not len(value):
        return None
    count = np.bincount(generation)
    shown = np.flatnonzero(count)
    # a single chain has no error, and a generation without a chain is left out
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.bincount(generation, value) / count
        square = np.bincount(generation, (value - mean[generation]) ** 2)
        error = np.sqrt(square / (count - 1) / count)
    error = np.where(count > 1, error, 0.0)
    return Curve(
        shown.astype(float),
        mean[shown],
        (mean - 2 * error)[shown],
        (mean + 2 * error)[shown],
        int(count.max()),
    )


class _Shown(Store):
    """A store that shows what is read to ``gathered``."""

    gathered: Gathered

    def read(self, cell_id: str, block: int) -> Record | None:
        record = super().read(cell_id, block)
        if record is not None:
            self.gathered.see(record)
        return record


class _ShownOverlay(_Shown, OverlayStore):
    """The same for a store that falls back on published records."""


def shown_to(gathered: Gathered, store: Store) -> Store:
    """The store; every record that is read from it is shown to ``gathered``."""
    shown = (
        _ShownOverlay(store.path, store.archive)
        if isinstance(store, OverlayStore)
        else _Shown(store.path)
    )
    shown.gathered = gathered
    return shown
