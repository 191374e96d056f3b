"""A finished run as files for others, and what must hold before it is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..board.collect import board_of
from ..errors import UsageError
from ..paths import named_folder, unwritable
from ..records.again import run_again
from ..records.archive import publish, whole
from ..records.files import replace_file
from ..records.findings import choices_of_run, signs_of_run
from ..records.manifest import Manifest, ManifestEntry
from ..records.record import Record
from ..registry.discovery import registry
from ..running.conformance import failures
from ..status import BROKEN_OFF
from ..suite.manifest import changes_of, saved_run
from ..suite.regenerated import differences
from ..suite.staleness import Outdated, outdated
from .reading import results


def publish_run(
    output: str | Path, to: str | Path, suite: str | None = None, force: bool = False
) -> list[Path]:
    """Publish a finished run in the folder ``to``: its records in one file, its board and a report.

    Without ``force``, UsageError is raised where files would be replaced, where the settings differ
    from those of the suite of this name, where the manifest is not the one that this suite makes,
    where the machine interrupted chains, for a quick run, where the code has changed since, where a
    plugin of a row is not installed or its file fails the conformance kit, and where a row is above
    `nature` or a gap is not that of its calibration.  Raises NothingMatched where chains are
    missing or damaged.

    Without ``force``, a process of its own imports and runs the plugin files that the manifest
    names.
    """
    from ..board.words import report

    ran = results(output, suite)
    manifest, folder = saved_run(ran.output, ran.suite), named_folder(to, "the published files")
    files = [folder / f"{ran.suite}.parquet", folder / f"{ran.suite}.md"]
    if not force:
        _check_request(output, manifest, files)
    records = whole(ran.store, manifest)
    codes: dict[str, list[Mapping[str, Any]]] = {}
    for record, entry in records:
        codes.setdefault(entry.id, []).append(record.code)
    stale = outdated(manifest, codes, ran.store, registry(()))
    if not force:
        _check_plugins(ran.output, manifest, stale)
        _check_chains(records)
    rows = {entry.name for entry in manifest.entries}
    choices = choices_of_run(ran.output, ran.suite, ran.archive)
    tuning = [choice for choice in choices if set(choice.entries) <= rows]
    signs = signs_of_run(ran.output, ran.suite, ran.archive)
    board = board_of(ran.store, manifest, tuning=tuning, signs=signs)
    if board.doubts and not force:
        raise UsageError(f"{board.doubts[0]}; publish with --force once you have checked it")
    # without a command, and without paths of this machine
    notes = (*board.notes, *stale.sentences(), *stale.doubts(paths=False))
    text = report(dataclasses.replace(board, notes=notes))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish(records, manifest, files[0], tuning, signs)
        replace_file(files[1], f"{text}\n".encode())
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    return files


def _check_request(output: str | Path, manifest: Manifest, files: Sequence[Path]) -> None:
    """Raises UsageError for a quick run, for settings other than those of the suite of this name,
    and for files that would be replaced."""
    if manifest.published:
        raise UsageError(
            f"{output} holds a quick run, which reuses the published records {manifest.published}; "
            "run the suite without --quick, or publish both together with --force"
        )
    if changed := changes_of(manifest, registry(())):
        raise UsageError(
            f"{output} was not run with the settings of suite {manifest.suite.name} "
            f"(changed: {', '.join(changed)}); run the suite without --set, --seeds and --budget, "
            "give your own suite file another name, or publish it with --force"
        )
    if existing := [str(file) for file in files if file.exists()]:
        raise UsageError(
            f"{' and '.join(existing)} would be replaced; choose another folder with -o, "
            "or replace with --force"
        )


def _check_plugins(output: Path, manifest: Manifest, stale: Outdated) -> None:
    """Raises UsageError where the installed plugins would not make these records, or this manifest,
    and where a plugin file fails the conformance kit."""
    if stale.cells:
        raise UsageError(
            f"{'; '.join(stale.sentences())}; run {run_again(output, manifest, stale.methods)}, "
            "or publish the older records with --force"
        )
    if stale.gone or stale.unchecked:
        raise UsageError(
            f"{'; '.join(stale.doubts())}, or publish the records as they are with --force"
        )
    if other := differences(manifest, registry(())):
        raise UsageError(
            f"the manifest of {output} is not the one that the installed suite makes "
            f"({len(other)} differences, the first: {other[0]}); run the suite again, which reuses "
            "all records, or publish with --force"
        )
    if unfit := failures(manifest.files):
        raise UsageError(
            f"{unfit[0]} ({len(unfit)} in all; `collapse-bench check --plugin FILE` lists them); "
            "fix the plugin, run the suite again without it, or publish with --force"
        )


def _check_chains(records: Sequence[tuple[Record, ManifestEntry]]) -> None:
    """Raises UsageError where the machine interrupted chains."""
    broken = [
        (status, f"{entry.name} on {entry.task}")
        for record, entry in records
        for status in record.status.values()
        if status in BROKEN_OFF
    ]
    if broken:
        raise UsageError(
            f"{len(broken)} chain(s) were interrupted by the machine "
            f"(the first: {', '.join(broken[0])}); run the suite again, which runs only these, "
            "or publish with --force"
        )
