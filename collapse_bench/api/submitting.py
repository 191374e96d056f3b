"""One row of a run as a file: packed, verified, and merged to a board."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UsageError
from ..isolation.audit import MEMORY as AUDIT_MEMORY
from ..isolation.audit import SECONDS
from ..paths import named, named_folder, unwritable
from ..records.files import replace_file
from ..records.manifest import Manifest
from ..registry.discovery import registry
from ..submissions.levels import LEVELS, Verification
from ..submissions.merge import merge as merged
from ..submissions.pack import pack
from ..submissions.verify import CELLS
from ..submissions.verify import verify as verify_submission
from ..suggest import nearest
from .arguments import Paths, check_positive, listed


def submit(
    output: str | Path,
    mitigation: str | None = None,
    card: str | Path = "card.toml",
    to: str | Path | None = None,
    suite: str | None = None,
    plugin: str | Path | None = None,
) -> Path | None:
    """Pack one row of a run for others; returns the file, or None where a card must be filled in.

    See ``submissions.pack.pack``.
    """
    return pack(
        named_folder(output, "the results"),
        mitigation,
        named(card, "the method card"),
        None if to is None else named(to, "the submission"),
        suite,
        None if plugin is None else named(plugin, "a plugin file"),
    )


def verify(
    path: str | Path,
    level: str = "re-scored",
    *,
    cells: int = CELLS,
    key: str | None = None,
    plugin: str | Path | None = None,
    seconds: float = SECONDS,
    memory: int = AUDIT_MEMORY,
    report: str | Path | None = None,
) -> Verification:
    """Check a submission up to a level: declared, re-scored, re-run or fresh.

    cells: records that are run again, and tasks at fresh settings.  key: of an earlier sample.
    seconds and memory: limits of the plugin's process.  report: a file for the result, as JSON.
    Raises UsageError for a file that is no submission, or an unknown level.
    """
    if level not in LEVELS:
        raise UsageError(f"unknown level {level!r}{nearest(level, LEVELS)}")
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise UsageError(f"cells must be a whole number >= 1, got {cells!r}")
    check_positive("seconds", seconds, "seconds")
    check_positive("memory", memory, "bytes")
    file = None if report is None else named(report, "the report")
    found = verify_submission(
        named(path, "the submission"),
        registry(()),
        level,
        cells,
        key,
        seconds,
        int(memory),
        None if plugin is None else named(plugin, "a plugin file"),
    )
    if file is not None:
        try:
            replace_file(file, (json.dumps(found.to_json(), indent=1) + "\n").encode())
        except OSError as problem:
            raise unwritable(file, problem) from problem
    return found


def merge(paths: Paths, to: str | Path, suite: str | None = None) -> Manifest:
    """Join submissions and folders of results to a folder that ``results`` opens.

    Raises Conflict, a UsageError, where they contradict each other.
    """
    places = [named(path, "a submission") for path in listed(paths)]
    return merged(places, named_folder(to, "the merged board"), suite)
