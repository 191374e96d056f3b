"""The level re-run: a random sample of records is computed again and compared."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.cell import Cell
from ..errors import UserError
from ..isolation.audit import Audit
from ..records.manifest import ManifestEntry
from ..records.record import Record, blocks_of
from ..records.store import Store
from ..registry.discovery import Registry
from ..running.jobs import Job, Options, one_thread, run_job
from ..suite.expand import Entry, expand, typed_among
from ..suite.regenerated import differences
from .levels import Level
from .sampling import SHARES, confidence, drawn, surely_seen
from .submission import Submission

RELATIVE, NEGLIGIBLE = 1e-6, 1e-12  # differences of a number that count as none
SHARE = 0.97  # of the chains that must be equal: few differ on other processors, by near-ties


@dataclass(frozen=True)
class Unit:
    """What is drawn: the chains of one block of seeds of one cell."""

    entry: ManifestEntry
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.entry.id}/{self.seeds[0]}"


def rerun(
    submission: Submission, registry: Registry, audit: Audit | None, cells: int, key: str
) -> Level:
    """Run ``cells`` records of the method again, and half as many of the controls.

    audit: the plugin, in a process of its own; None for a method of the suite.
    """
    manifest, name = submission.manifest, submission.name
    with audit.offered(registry) if audit is not None else nullcontext():
        faults = [
            f"the installed suite makes it otherwise: {why}"
            for why in differences(manifest, registry)
        ]
        try:
            typed = typed_among(manifest.suite, registry, {e.name for e in manifest.entries})
            built = expand(manifest.suite, registry, typed=typed).entries
        except UserError as problem:
            return Level("re-run", (*faults, str(problem)))
        known = {_place(entry): entry for entry in built}
        own, controls = _units(submission, True), _units(submission, False)
        picks = [
            *drawn(own, [unit.name for unit in own], cells, key),
            *drawn(controls, [unit.name for unit in controls], max(1, cells // 2), key),
        ]
        equal = total = 0
        notes = []
        for unit in picks:
            entry = known.get(_place(unit.entry))
            if entry is None or entry.cell.id != unit.entry.id:
                faults.append(f"{unit.entry.name} on {unit.entry.task} is another cell here")
                continue
            theirs = submission.store.read(unit.entry.id, unit.seeds[0] // 32)
            assert theirs is not None
            if audit is not None:
                audit.close()  # every record has a process of its own
            mine = computed(entry.cell, unit.seeds)
            odd = differing(theirs.restricted(unit.seeds), mine)
            total, equal = total + len(unit.seeds), equal + len(unit.seeds) - len(odd)
            where = f"{unit.entry.name} on {unit.entry.task}"
            notes.append(f"{where}: {len(unit.seeds) - len(odd)} of {len(unit.seeds)} chains equal")
            if odd:
                seed, why = next(iter(odd.items()))
                notes.append(f"{where}: chain {seed}: {why}")
    if total and equal < SHARE * total:
        faults.append(
            f"{total - equal} of {total} chains differ from what was run again "
            f"({SHARE:.0%} must agree within {RELATIVE:g})"
        )
    drew = sum(unit in own for unit in picks)
    notes += [f"key {key} (--key repeats this sample)", *bought(len(own), drew, name)]
    notes += bought(len(controls), len(picks) - drew, "the controls")
    numbers = {
        "key": key,
        "chains": total,
        "equal": equal,
        "cells": [unit.name for unit in picks],
        "confidence": {
            "method": confidence(len(own), drew),
            "controls": confidence(len(controls), len(picks) - drew),
        },
    }
    return Level("re-run", tuple(faults), tuple(notes), numbers)


def bought(total: int, drew: int, what: str) -> list[str]:
    """Sentences on how sure a sample makes."""
    if not drew:
        return []
    chances = confidence(total, drew)
    listed = ", ".join(f"{share:.0%} false: {chances[share]:.0%}" for share in SHARES)
    least = surely_seen(total, drew)
    sure = f"; {least:.0%} or more would be seen with 95 %" if least is not None else ""
    return [
        f"{drew} of {total} records of {what} were run; the chance to see it where {listed}{sure}"
    ]


def computed(cell: Cell, seeds: Sequence[int]) -> Record:
    """The record of these chains, run now as a worker runs them."""
    with tempfile.TemporaryDirectory(prefix="collapse-bench-") as folder, one_thread():
        run_job(Job(cell, tuple(seeds)), Options(Path(folder), checkpoint_seconds=math.inf))
        record = Store(folder).read(cell.id, seeds[0] // 32)
    assert record is not None
    return record


def differing(theirs: Record, mine: Record) -> dict[int, str]:
    """Seed -> why, for the chains that are not what was computed: status, numbers, ledger."""
    odd: dict[int, str] = {}
    mine_index = {seed: i for i, seed in enumerate(mine.facts.seeds)}
    for i, seed in enumerate(theirs.facts.seeds):
        j = mine_index[seed]
        was, now = theirs.facts.status[i], mine.facts.status[j]
        if was is not now:
            odd[seed] = f"it is {was.value} there, and {now.value} here"
            continue
        for what, amounts in theirs.facts.ledger.items():
            here = mine.facts.ledger.get(what, (0,) * len(mine.facts.seeds))[j]
            if amounts[i] != here:
                odd.setdefault(
                    seed, f"its ledger counts {amounts[i]} {what} there, and {here} here"
                )
    numbers = {
        (s, t, m): v
        for s, t, m, v in zip(
            mine.seed.tolist(), mine.generation.tolist(), mine.metric, mine.value, strict=True
        )
    }
    rows = zip(
        theirs.seed.tolist(), theirs.generation.tolist(), theirs.metric, theirs.value, strict=True
    )
    for seed, t, metric, value in rows:
        here = numbers.get((seed, t, metric), math.nan)
        if not np.isclose(value, here, rtol=RELATIVE, atol=NEGLIGIBLE, equal_nan=True):
            odd.setdefault(
                seed, f"{metric} in generation {t} is {value:.9g} there, {here:.9g} here"
            )
    return odd


def _units(submission: Submission, own: bool) -> list[Unit]:
    """Everything that may be drawn, of the method or of the controls."""
    mine = {entry.id for entry in submission.own}
    seen: dict[str, ManifestEntry] = {}
    for entry in submission.manifest.entries:
        if entry.skip is None and (entry.id in mine) is own:
            seen.setdefault(entry.id, entry)
    blocks = blocks_of(submission.manifest.seeds).values()
    return [Unit(entry, tuple(seeds)) for entry in seen.values() for seeds in blocks]


def _place(entry: ManifestEntry | Entry) -> tuple[str, str, bool, int]:
    rows = entry.rows if isinstance(entry, ManifestEntry) else entry.cell.n
    return entry.task, entry.name, entry.role == "curve", rows
