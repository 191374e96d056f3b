"""One board from the submissions or results of several people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..paths import unwritable
from ..records.archive import publish, reused, store_with, whole
from ..records.files import replace_file
from ..records.manifest import Manifest, ManifestEntry, ManifestTask
from ..records.record import Record
from ..records.settings import SuiteModel
from ..suite.manifest import ENDING, saved_run
from ..suite.model import to_toml
from .rerun import NEGLIGIBLE, RELATIVE
from .submission import opened

Pair = tuple[Record, ManifestEntry]


class Conflict(UsageError):
    """Two parts of a merged board contradict each other (exit code 4)."""


def merge(paths: Sequence[Path], to: Path, suite: str | None = None) -> Manifest:
    """Write a folder that ``board`` reads, with the rows of all these submissions and results.

    Rows need no plugin.  Controls that several bring must have equal numbers.  Raises Conflict
    where rows of one name have different code, where a cell has different numbers, or where suites
    have different settings; UsageError for a path that holds no submission and no results, or where
    the folder holds results.
    """
    if len(paths) < 1:
        raise UsageError("name at least one submission or folder of results to merge")
    with ExitStack() as stack:
        parts = [_part(path, suite, stack) for path in paths]
        conflicts = list(dict.fromkeys(_conflicts(parts)))
        if conflicts:
            more = f" ({len(conflicts) - 1} more conflicts)" if conflicts[1:] else ""
            raise Conflict(f"{conflicts[0]}{more}")
        manifest, records = _joined(parts)
        name = f"{manifest.suite.name}.parquet"
        manifest = replace(manifest, published=name)
        files = [to / f"{manifest.suite.name}{ENDING}", to / name]
        if taken := [file for file in files if file.exists()]:
            raise UsageError(f"{taken[0]} is there already; choose another folder with -o")
        try:
            to.mkdir(parents=True, exist_ok=True)
            publish(records, manifest, to / name)
            suite_file = to / f"{manifest.suite.name}.suite.toml"
            replace_file(suite_file, to_toml(manifest.suite).encode())
            text = json.dumps(manifest.to_json(), indent=1)
            replace_file(files[0], text.encode())
        except OSError as problem:
            raise unwritable(to, problem) from problem
    return manifest


def _part(path: Path, suite: str | None, stack: ExitStack) -> tuple[str, Manifest, list[Pair]]:
    """(name, manifest, records) of a submission, or of a folder of results."""
    if not path.is_dir():
        submission = stack.enter_context(opened(path))
        return str(path), submission.manifest, whole(submission.store, submission.manifest)
    manifest = saved_run(path, suite)
    return str(path), manifest, whole(store_with(path, reused(path, manifest)), manifest)


def _conflicts(parts: Sequence[tuple[str, Manifest, list[Pair]]]) -> Iterator[str]:
    first, known, _ = parts[0]
    for name, manifest, _ in parts[1:]:
        yield from (
            f"{first} and {name} have different settings of suite {known.suite.name}: {why}"
            for why in _settings(known, manifest)
        )
    rows: dict[str, tuple[str, Any]] = {}
    cells: dict[tuple[str, int], tuple[str, Record]] = {}
    for name, _, pairs in parts:
        for record, entry in pairs:
            if entry.role == "entry":
                other, code = rows.setdefault(entry.name, (name, _method_code(record)))
                if code != _method_code(record):
                    yield f"{other} and {name} have the row {entry.name} with different code"
            place = (entry.id, record.seeds[0] // 32)
            other, there = cells.setdefault(place, (name, record))
            if there is not record and (why := _difference(there, record)):
                yield f"{other} and {name} differ on {entry.name} on {entry.task}: {why}"


def _settings(one: Manifest, other: Manifest) -> Iterator[str]:
    """The settings that differ between two runs, without their methods."""
    left, right = (_bare(manifest.suite) for manifest in (one, other))
    yield from (f"{key}" for key in left if left[key] != right[key])
    if one.seeds != other.seeds:
        yield "chains"
    if one.budget != other.budget:
        yield "budget"
    for task in one.tasks.keys() & other.tasks.keys():
        if replace(one.tasks[task], ceilings={}) != replace(other.tasks[task], ceilings={}):
            yield f"the task {task}"


def _bare(suite: SuiteModel) -> dict[str, Any]:
    plain = suite.model_dump(exclude={"mitigations", "focus", "title"})
    for task in plain["tasks"]:
        task["mitigations"] = None
    return plain


def _method_code(record: Record) -> dict[str, Any]:
    return {name: code for name, code in record.code.items() if name}


def _difference(one: Record, other: Record) -> str | None:
    """The first difference in numbers or endings of two records of one cell, or None."""
    if one.facts.seeds != other.facts.seeds or one.facts.status != other.facts.status:
        return "other chains, or other endings"
    if one.facts.ledger != other.facts.ledger:
        return "another ledger"
    known = dict(zip(_places(other), other.value.tolist(), strict=True))
    for place, value in zip(_places(one), one.value.tolist(), strict=True):
        # a folder of results holds more numbers than a submission
        there = known.get(place, value)
        if not np.isclose(value, there, rtol=RELATIVE, atol=NEGLIGIBLE, equal_nan=True):
            seed, generation, metric = place
            return (
                f"chain {seed} has {metric} {value:.6g} in generation {generation}, and {there:.6g}"
            )
    return None


def _places(record: Record) -> list[tuple[int, int, str]]:
    """(seed, generation, metric) of every number of a record."""
    return list(
        zip(record.seed.tolist(), record.generation.tolist(), record.metric.tolist(), strict=True)
    )


def _joined(parts: Sequence[tuple[str, Manifest, list[Pair]]]) -> tuple[Manifest, list[Pair]]:
    """The manifest with all rows, and every record once."""
    entries: dict[tuple[Any, ...], ManifestEntry] = {}
    records: dict[tuple[str, int], Pair] = {}
    tasks: dict[str, ManifestTask] = {}
    skipped: dict[str, str] = {}
    names: dict[str, None] = {}
    for _, manifest, pairs in parts:
        for entry in manifest.entries:
            entries.setdefault((entry.task, entry.name, entry.role == "curve", entry.rows), entry)
        for record, entry in pairs:
            records.setdefault((entry.id, record.seeds[0] // 32), (record, entry))
        tasks |= {name: task for name, task in manifest.tasks.items() if name not in tasks}
        skipped |= dict(manifest.skipped_tasks)
        names |= dict.fromkeys(manifest.suite.mitigations)
    first = parts[0][1]
    order = {task: i for i, task in enumerate(tasks)}
    joined = replace(
        first,
        suite=first.suite.model_copy(update={"mitigations": list(names), "focus": None}),
        tasks=tasks,
        skipped_tasks={task: why for task, why in skipped.items() if task not in tasks},
        entries=tuple(sorted(entries.values(), key=lambda entry: order[entry.task])),
        left_out=(),
        files={},  # nobody has the plugin files at their old places
    )
    return joined, list(records.values())
