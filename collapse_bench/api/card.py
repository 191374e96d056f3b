"""What a card adds to the board: other configurations in the folder, and what to run next."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..board.cells import method_of
from ..board.source import published_suites
from ..display import shell
from ..errors import UsageError
from ..records.manifest import Manifest
from ..records.store import Store
from ..records.tuning import saved_tuning
from ..spec import parse_cell


def other_configurations(output: Path, manifest: Manifest, row: str) -> list[str]:
    """Other configurations of a method that ran on the seeds of the exam in this folder, which
    --tune did not choose among."""
    own = {entry.id for entry in manifest.entries if entry.name == row}
    tuned = {
        name for choice in saved_tuning(output, manifest.suite.name) for name in choice.entries
    }
    tasks = set(manifest.tasks)
    found: dict[str, None] = {}
    for label, forms in Store(output).cells().items():
        try:
            spec = parse_cell(label)
        except UsageError:  # a label of another version of the suite
            continue
        name = " + ".join(map(str, spec.mitigations))
        task = str(dataclasses.replace(spec, mitigations=()))
        if task in tasks and method_of(name) == method_of(row) and not own & set(forms):
            found[name] = None
    return sorted(set(found) - tuned - {row})


def further_commands(manifest: Manifest, row: str, broken: bool) -> list[str]:
    """What to run next with a row: the check of its plugin files where it is broken, else a
    published suite."""
    if broken:
        return _next_check(manifest, row)
    return [] if manifest.suite.name.startswith("typed") else _next_run(manifest, row)


def _next_run(manifest: Manifest, row: str) -> list[str]:
    """[the command that ranks the method of a plugin file among the published rows], after a run of
    another suite."""
    suites = [name for name in published_suites() if name != manifest.suite.name]
    if not suites or not _files_of(manifest, row):
        return []
    words = ["collapse-bench", "run", suites[0]]
    for file in dict.fromkeys(manifest.files.values()):
        words += ["--plugin", file]
    return [shell([*words, "--mitigation", row, "--quick"])]


def _next_check(manifest: Manifest, row: str) -> list[str]:
    """[the command that shows the faults of the plugin file of a method]"""
    return [
        shell(["collapse-bench", "check", "--plugin", file]) for file in _files_of(manifest, row)
    ]


def _files_of(manifest: Manifest, row: str) -> list[str]:
    """The plugin files that the mitigations of a row come from."""
    keys = [f"mitigation {part}" for part in method_of(row).split(" + ")]
    return [manifest.files[key] for key in keys if key in manifest.files]
