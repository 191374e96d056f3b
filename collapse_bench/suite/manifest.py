"""Make, save and load the manifest of a run, from which a board is made without any plugin."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.cell import Cell
from ..core.components import role_of
from ..core.identity import SCHEMA
from ..display import shell
from ..errors import NothingMatched, UsageError
from ..records.faults import Forged, Rejected, Unreadable, WithoutHarm
from ..records.files import read_file, replace_file
from ..records.manifest import Manifest, ManifestEntry, ManifestTask, World
from ..records.plain import CELL_ID
from ..records.settings import Calibration, SuiteModel
from ..records.store import Store
from ..registry.discovery import Registry, registry
from ..suggest import nearest
from .calibration import matching
from .expand import Entry, Suite
from .model import SuiteWithoutHarm, read_suite, to_toml

MOST_BYTES = 2**26  # of a manifest
ENDING = ".manifest.json"


def manifest_of(suite: Suite, seeds: Sequence[int], published: Path | None = None) -> Manifest:
    """The manifest of a run of these seeds.

    published: the file of published records that the run reuses, if any.
    """
    budgets = (entry.cell.budget for entry in suite.entries)
    parts = [part for entry in suite.entries for _, part in entry.cell.parts()]
    used = {(role_of(part), part.title()) for part in parts}
    files = registry().files()
    return Manifest(
        schema=SCHEMA,
        suite=suite.model,
        seeds=tuple(seeds),
        tasks={entry.task: _task_of(entry) for entry in suite.entries if entry.name == "none"},
        skipped_tasks=suite.skipped_tasks,
        entries=tuple(map(entry_of, suite.entries)),
        left_out=suite.left_out,
        published=None if published is None else str(published.absolute()),
        files={" ".join(plugin): file for plugin, file in files.items() if plugin in used},
        budget=next((str(budget) for budget in budgets if budget is not None), None),
    )


def entry_of(entry: Entry) -> ManifestEntry:
    """An entry of a suite as the manifest stores it."""
    return ManifestEntry(
        task=entry.task,
        name=entry.name,
        role=entry.role,
        id=entry.cell.id,
        rows=entry.cell.n,
        horizon=entry.cell.generations,
        skip=entry.skip,
        declined=entry.declined,
        limits=dict(entry.cell.limits),
    )


def _task_of(entry: Entry) -> ManifestTask:
    data = entry.cell.data
    return ManifestTask(
        family=data.family,
        primary=data.primary,
        tail=data.tail_metric,
        diversity=data.diversity_metric,
        log_loss=data.log_loss,
        resolution=data.resolution,
        rows=entry.cell.n,
        world=_world_of(entry.cell),
        ceilings={
            track: curve[-1]
            for track, curve in registry().ceilings(entry.cell).items()
            if not math.isnan(curve[-1])
        },
    )


def _world_of(cell: Cell) -> World:
    """Which kind of world the task of a cell is."""
    made = cell.protocol.composition
    if cell.data.moves:
        return "moving"
    if cell.first_teacher is not None or cell.n0 is not None:
        return "flawed"
    return "growing" if made is not None and made.real and made.earlier != "none" else "still"


def changes_of(manifest: Manifest, registry: Registry) -> list[str]:
    """Names of the settings in which a run differs from the suite of its name.

    Further entries do not count.  Empty for a suite that is not installed.
    """
    known = {path.stem: path for path in registry.suites}
    run = manifest.suite.model_dump()
    if run["name"] not in known:
        return []
    original = read_suite(known[run["name"]]).model_dump()
    pairs = [(original, run), *zip(original["tasks"], run["tasks"], strict=False)]
    keys = (
        *("version", "seeds", "n", "n0", "generations", "growth"),
        *("protocols", "data", "model", "first"),
    )
    changed = [key for key in keys for was, now in pairs if was.get(key) != now.get(key)]
    if len(original["tasks"]) != len(run["tasks"]):
        changed.append("tasks")
    for was, now in pairs:
        if set(was.get("mitigations") or ()) - set(now.get("mitigations") or ()):
            changed.append("mitigations")
    if _by_task(original["calibration"]) != _by_task(run["calibration"]):
        changed.append("calibration")
    if any(entry.limits for entry in manifest.entries):
        changed.append("budget")
    return list(dict.fromkeys(changed))


def _by_task(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in rows}


def save_run(
    suite: Suite, seeds: Sequence[int], store: Store, published: Path | None = None
) -> Manifest:
    """Write the suite file and the manifest into the output folder, and return the manifest.

    Keeps the calibration that an earlier suite file there holds.  published: the file of published
    records that the run reuses, if any.
    """
    known = {row.task for row in suite.model.calibration}
    rows = matching(_calibrated(store.path, suite.model), suite.task_ids)
    kept = [row for row in rows if row.task in set(suite.tasks) - known]
    model = suite.model.model_copy(update={"calibration": [*suite.model.calibration, *kept]})
    replace_file(store.path / f"{suite.name}.suite.toml", to_toml(model).encode())
    manifest = manifest_of(replace(suite, model=model), seeds, published)
    text = json.dumps(manifest.to_json(), indent=1)
    replace_file(store.path / f"{suite.name}{ENDING}", text.encode())
    return manifest


def _calibrated(output: Path, suite: SuiteModel) -> list[Calibration]:
    """The calibration in the file of this suite in an output folder.

    Raises SuiteWithoutHarm where it was measured without the control `trivial`.
    """
    try:
        saved = read_suite(output / f"{suite.name}.suite.toml")
    except UsageError as problem:
        if isinstance(problem, SuiteWithoutHarm) and problem.version == suite.version:
            raise
        return []  # the first run there, or a file that was edited and is no longer valid
    return saved.calibration if saved.version == suite.version else []


def saved_run(output: Path, name: str | None) -> Manifest:
    """The manifest in an output folder, of the suite ``name`` if there are several.

    Raises NothingMatched where the folder holds none, UsageError where the choice is not clear or
    the file is not the manifest of such a run, Unreadable where it cannot be read now.
    """
    saved = {file.removesuffix(ENDING): output / file for file in _files_in(output, ENDING)}
    if not saved or (name is not None and name not in saved):
        _check_remains(output, name)
    if not saved:
        there = "holds no results" if output.is_dir() else "is not there and holds no results"
        raise NothingMatched(f"{output} {there}; run a suite with --output {output} first")
    if name is not None and name not in saved:
        raise UsageError(f"{output} holds no suite {name!r}{nearest(name, saved)}")
    if name is None and len(saved) > 1:
        raise UsageError(
            f"{output} holds the results of several suites ({', '.join(saved)}); choose one with "
            "--suite"
        )
    name = name if name is not None else next(iter(saved))
    try:
        manifest = Manifest.from_text(read_file(saved[name], MOST_BYTES), str(saved[name]))
        if manifest.suite.name != name:
            raise Forged(saved[name], f"it is the manifest of suite {manifest.suite.name}")
    except WithoutHarm as problem:
        file, folder = (shell([str(p)]) for p in (output / f"{name}.suite.toml", output))
        raise UsageError(
            f"{problem}; calibrate the suite with: collapse-bench suite calibrate {file}, and run "
            f"it again with: collapse-bench run {file} -o {folder}, which reuses the records "
            "(version 0.1 of the package shows them as they are)"
        ) from problem
    except Rejected as problem:
        raise UsageError(f"{problem}; run the suite again, which reuses all records") from problem
    return calibrated(manifest, output)


def _check_remains(output: Path, name: str | None) -> None:
    """Raises NothingMatched where a suite, or that of this name, lacks only its manifest."""
    ending = ".suite.toml"
    suites = [file.removesuffix(ending) for file in _files_in(output, ending)]
    cells = [found for found in _files_in(output, "") if re.fullmatch(CELL_ID, found)]
    if not cells or (name is not None and name not in suites):
        return
    left = [name] if name is not None else suites
    files = [shell([str(output / f"{suite}{ending}")]) for suite in left]
    what = f"the suite file {' or '.join(files)}" if files else "the same suite or specs"
    raise NothingMatched(
        f"{output} holds the records of {len(cells)} cell(s) and no manifest "
        f"({name or (left[0] if len(left) == 1 else 'SUITE')}{ENDING}), which says what they are; "
        f"run {what} again with -o {shell([str(output)])} and the same --plugin and --budget, "
        "which reuses the records and writes it"
    )


def plugin_files(output: Path) -> dict[str, str]:
    """Kind and name of a plugin -> its file, from the manifests in a folder that can be read."""
    files: dict[str, str] = {}
    with suppress(Unreadable):
        for name in _files_in(output, ENDING):
            with suppress(OSError, Rejected, Unreadable):
                files |= Manifest.from_text(read_file(output / name, MOST_BYTES)).files
    return files


def calibrated(manifest: Manifest, output: Path) -> Manifest:
    """The manifest with the calibration that the suite file of the output folder holds now."""
    suite = manifest.suite
    ids = {entry.task: entry.id for entry in manifest.entries if entry.name == "none"}
    calibrated = matching(_calibrated(output, suite), ids)
    rows = {row.task: row for row in [*suite.calibration, *calibrated]}
    return replace(manifest, suite=suite.model_copy(update={"calibration": list(rows.values())}))


def _files_in(folder: Path, ending: str) -> list[str]:
    """Names of the files in a folder with this ending, sorted; none where there is no such folder.

    Raises Unreadable where the folder cannot be listed now.
    """
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(ending))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as problem:
        raise Unreadable(folder, getattr(problem, "strerror", None) or str(problem)) from problem
