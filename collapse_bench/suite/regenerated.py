"""The manifest of a run compared with the one that the installed suite and plugins make now.

A manifest decides which records count, so it can hide a task or an entry without touching a record.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ..errors import UserError
from ..records.manifest import Manifest, ManifestEntry, ManifestTask
from ..records.settings import SuiteModel
from ..registry.discovery import Registry
from .expand import Suite, expand, typed_among
from .manifest import manifest_of


def differences(manifest: Manifest, registry: Registry) -> list[str]:
    """One sentence for each part of a manifest that the installed suite would make otherwise.

    Entries whose plugins are not installed are left out of the comparison, and so are budgets,
    which ``changes_of`` reports.
    """
    try:
        known = _known(manifest.suite, registry)
        typed = typed_among(known, registry, {entry.name for entry in manifest.entries})
        suite = expand(known, registry, typed=typed)
        seeds = suite.seeds
    except UserError as problem:
        return [f"the suite of the manifest cannot be built with the installed plugins: {problem}"]
    found = [
        *_differences(manifest, manifest_of(suite, seeds)),
        *_foreign(manifest, suite, registry),
    ]
    return list(dict.fromkeys(found))


def _foreign(manifest: Manifest, suite: Suite, registry: Registry) -> Iterator[str]:
    """Entries that the suite does not have on a task of its own, of plugins that are installed."""
    known = {(entry.task, entry.name, entry.cell.n) for entry in suite.entries}
    tasks = set(suite.tasks)
    for entry in manifest.entries:
        if entry.task not in tasks or (entry.task, entry.name, entry.rows) in known:
            continue
        if entry.role != "entry" or _builds(entry.name, registry):
            yield (
                f"{entry.name} on {entry.task} with {entry.rows} rows does not belong to the suite"
            )


def _known(model: SuiteModel, registry: Registry) -> SuiteModel:
    """The settings without mitigations that are not installed."""

    def built(names: list[str]) -> list[str]:
        return [name for name in names if _builds(name, registry)]

    tasks = [
        task
        if task.mitigations is None
        else task.model_copy(update={"mitigations": built(task.mitigations)})
        for task in model.tasks
    ]
    return model.model_copy(update={"mitigations": built(model.mitigations), "tasks": tasks})


def _builds(name: str, registry: Registry) -> bool:
    try:
        registry.mitigations(name)
    except UserError:
        return False
    return True


def _differences(was: Manifest, now: Manifest) -> Iterator[str]:
    if was.seeds != now.seeds:
        yield f"it has {len(was.seeds)} chains that are not the {len(now.seeds)} of its suite"
    quick = bool(was.left_out or was.published)  # leaves out what has no records
    for task in now.tasks:
        if task in was.skipped_tasks:
            yield f"{task} is said to be skipped, and its parts fit"
        elif task not in was.tasks:
            yield f"{task} is missing"
        elif not _same(was.tasks[task], now.tasks[task]):
            yield f"{task} has other properties than its data generator gives it"
    if not now.skipped_tasks:  # without the folder of real data, its tasks cannot be built
        for task in was.tasks.keys() - now.tasks.keys():
            yield f"{task} does not belong to the suite"
    have = {_place(e): e for e in was.entries}
    for entry in now.entries:
        own = have.get(_place(entry))
        if entry.task not in was.tasks:
            continue
        if own is None:
            if not (quick and (entry.name in was.left_out or entry.role == "curve")):
                yield f"{entry.name} on {entry.task} is missing"
        elif own.skip is not None and entry.skip is None:
            yield f"{entry.name} on {entry.task} is said not to fit, and it fits"
        elif own.skip is None and entry.skip is not None:
            yield f"{entry.name} on {entry.task} does not fit"
        elif replace(own, limits={}, skip=None) != replace(entry, limits={}, skip=None):
            yield f"{entry.name} on {entry.task} has another cell, role or horizon"


def _same(was: ManifestTask, now: ManifestTask) -> bool:
    """Whether a task has the same properties.

    Ceilings are sums of floats, which may round otherwise elsewhere; earlier manifests have none.
    """
    world = was.world or now.world  # earlier manifests do not say which
    if replace(was, ceilings={}, world=world) != replace(now, ceilings={}):
        return False
    return not was.ceilings or (
        was.ceilings.keys() == now.ceilings.keys()
        and all(math.isclose(was.ceilings[track], now.ceilings[track]) for track in now.ceilings)
    )


def _place(entry: ManifestEntry) -> tuple[str, str, bool, int]:
    """Where an entry stands; the control real-only and the learning curve share a name."""
    return entry.task, entry.name, entry.role == "curve", entry.rows
