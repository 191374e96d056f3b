"""The manifest of a run: what a board needs to know, without any plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.identity import SCHEMA
from ..errors import NothingMatched, UsageError
from ..records.store import Store, replace_file
from ..registry.discovery import Registry
from ..suggest import nearest
from .expand import Suite
from .model import Calibration, SuiteModel, fault_sentence, read_suite, to_toml


def manifest(suite: Suite, seeds: Sequence[int]) -> dict[str, Any]:
    """What a board needs to know of a run, without any plugin: which cell plays which part."""
    entries = [
        {
            "task": entry.task,
            "name": entry.name,
            "role": entry.role,
            "id": entry.cell.id,
            "rows": entry.cell.n,
            "horizon": entry.cell.generations,
            "skip": entry.skip,
            "limits": dict(entry.cell.limits),
        }
        for entry in suite.entries
    ]
    tasks = {
        entry.task: {
            "family": entry.cell.data.family,
            "primary": entry.cell.data.primary,
            "tail": entry.cell.data.tail_metric,
            "diversity": entry.cell.data.diversity_metric,
            "log_loss": entry.cell.data.log_loss,
            "resolution": entry.cell.data.resolution,
            "rows": entry.cell.n,
        }
        for entry in suite.entries
        if entry.name == "none"
    }
    return {
        "schema": SCHEMA,
        "suite": suite.model.model_dump(),
        "seeds": list(seeds),
        "tasks": tasks,
        "skipped_tasks": suite.skipped_tasks,
        "left_out": list(suite.left_out),
        "entries": entries,
    }


def changes_of(told: dict[str, Any], registry: Registry) -> list[str]:
    """Settings in which a run (its manifest: ``told``) differs from the suite of its name, further entries apart."""
    known, run = {path.stem: path for path in registry.suites}, told["suite"]
    if run["name"] not in known:
        return []
    ours = read_suite(known[run["name"]]).model_dump()
    pairs = [(ours, run), *zip(ours["tasks"], run["tasks"], strict=False)]
    keys = ("version", "seeds", "n", "generations", "growth", "protocols", "data", "model", "first")
    changed = [key for key in keys for mine, other in pairs if mine.get(key) != other.get(key)]
    if len(ours["tasks"]) != len(run["tasks"]):
        changed.append("tasks")
    if any(entry["limits"] for entry in told["entries"]):
        changed.append("budget")
    return list(dict.fromkeys(changed))


def save_run(
    suite: Suite, seeds: Sequence[int], store: Store, published: Path | None = None
) -> None:
    """Leave the suite and its manifest in the output folder; what was calibrated there stays calibrated.

    ``published``: the file of records that stands behind the store, if one does.
    """
    known = {row.task for row in suite.model.calibration}
    kept = [
        row for row in _calibrated(store.path, suite.model) if row.task in set(suite.tasks) - known
    ]
    model = suite.model.model_copy(update={"calibration": [*suite.model.calibration, *kept]})
    replace_file(store.path / f"{suite.name}.suite.toml", to_toml(model).encode())
    told = manifest(replace(suite, model=model), seeds)
    if published is not None:
        told["published"] = str(published.absolute())
    text = json.dumps(told, indent=1)
    replace_file(store.path / f"{suite.name}.manifest.json", text.encode())


def _calibrated(output: Path, suite: SuiteModel) -> list[Calibration]:
    """What `suite calibrate` has written into the file of this suite in an output folder."""
    try:
        there = read_suite(output / f"{suite.name}.suite.toml")
    except UsageError:
        return []  # this is its first run there, or the file was edited into something else
    return there.calibration if there.version == suite.version else []


def saved_run(output: Path, name: str | None) -> dict[str, Any]:
    """The manifest that a run left in its output folder."""
    ending = ".manifest.json"
    found = {path.name.removesuffix(ending): path for path in sorted(output.glob(f"*{ending}"))}
    if not found:
        raise NothingMatched(f"{output} holds no results; run a suite with --output {output} first")
    if name is not None and name not in found:
        raise UsageError(f"{output} holds no suite {name!r}{nearest(name, found)}")
    if name is None and len(found) > 1:
        raise UsageError(
            f"{output} holds several suites ({', '.join(found)}); choose one with --suite"
        )
    path = found[name] if name is not None else next(iter(found.values()))
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        schema, suite = told["schema"], SuiteModel.model_validate(told["suite"])
    except (OSError, ValueError, TypeError, KeyError) as problem:
        why = (
            fault_sentence(problem)
            if isinstance(problem, ValidationError)
            else f"{type(problem).__name__}: {problem}"
        )
        raise UsageError(
            f"{path} cannot be read ({why}); run the suite again, which reuses all records"
        ) from problem
    if schema != SCHEMA:
        raise UsageError(
            f"{path} has schema {schema}, and this version reads {SCHEMA}; run the suite again"
        )
    rows = {row.task: row.model_dump() for row in [*suite.calibration, *_calibrated(output, suite)]}
    told["suite"]["calibration"] = list(rows.values())
    return told
