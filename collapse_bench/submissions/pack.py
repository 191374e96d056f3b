"""Write a submission from the folder of a run."""

from __future__ import annotations

import json
import math
import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..board.collect import board_of
from ..board.ranked import RankedBoard
from ..core.identity import NUMERICS
from ..errors import UsageError
from ..isolation.audit import Source, digests_of_source
from ..paths import exists, unwritable
from ..records.archive import Archive, OverlayStore, publish, reused, store_with, whole
from ..records.facts import joined_tracks
from ..records.faults import Rejected, Unreadable
from ..records.files import read_file, replace_file
from ..records.manifest import Manifest
from ..records.settings import SuiteModel
from ..records.store import Store
from ..registry.discovery import registry
from ..running.facts import environment
from ..scoring.tuning import HINDSIGHT, TUNED
from ..spec import parse_mitigations
from ..suggest import MOST, nearest
from ..suite.manifest import changes_of, saved_run
from .card import MOST_BYTES, read_card, template
from .rows import row_of
from .submission import CARD, ENDING, MANIFEST, MEMBER, PLUGIN, RECORDS, about_of, zipped


def pack(
    folder: Path,
    mitigation: str | None,
    card: Path,
    to: Path | None = None,
    suite: str | None = None,
    plugin: Path | None = None,
) -> Path | None:
    """Write the submission of one row of a run; returns its file.

    mitigation: the row; None: the only competing one.  plugin: the file that offers it; None: its
    card names repository and commit, or it comes with the suite.  Where ``card`` is missing, a
    template is written there, and None is returned.  Raises UsageError for a row, a card, a plugin
    or a run that cannot be submitted, NothingMatched where there are no results or chains are
    missing.
    """
    source = None if plugin is None else read_source(plugin)
    manifest = saved_run(folder, suite)
    _check_settings(folder, manifest)
    store = store_with(folder, reused(folder, manifest))
    name = _row(manifest, mitigation)
    own = only(manifest, name)
    records = whole(store, own)
    tracks = {r.facts.track for r, entry in records if entry.name == name and entry.role == "entry"}
    track = joined_tracks(tracks)
    _check_code(name, own, [r.code for r, e in records if e.name == name], source)
    if not exists(card):
        claim_of(store, own, name)  # a row without a score needs no card
        try:
            replace_file(card, template({"mitigation": name, "track": track}).encode())
        except OSError as problem:
            raise unwritable(card, problem) from problem
        return None
    text = _card_bytes(card)
    described = read_card(text, str(card), {"mitigation": name, "track": track})
    if source is None and described.code is None and _foreign(records, name):
        raise UsageError(
            f"{name} is no method of the suite: give its file with --plugin, or its repository and "
            f"commit in {card}"
        )
    with tempfile.TemporaryDirectory(prefix="collapse-bench-") as work:
        file = Path(work) / RECORDS
        publish(records, own, file)
        archive = Archive(file)
        claim = claim_of(OverlayStore(Path(work) / "none", archive), own, name)
        members = {
            CARD: text,
            MANIFEST: (json.dumps(own.to_json(), indent=1) + "\n").encode(),
            RECORDS: file.read_bytes(),
        }
        for module, code in (source.files if source else {}).items():
            members[f"{PLUGIN}{module}"] = code.encode()
        about = about_of(
            {
                "suite": manifest.suite.name,
                "suite_version": manifest.suite.version,
                "mitigation": name,
                "claim": claim,
                "plugin": None if source is None else source.name,
                "seal": archive.seal,
                "environment": environment(),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            members,
        )
    path = to or Path(file_name(name))
    try:
        replace_file(path, zipped({"submission.json": about, **members}))
    except OSError as problem:
        raise unwritable(path, problem) from problem
    return path


def _check_settings(folder: Path, manifest: Manifest) -> None:
    """Raises UsageError for a run that the level declared would refuse."""
    changed = [name for name in changes_of(manifest, registry(())) if name != "mitigations"]
    if changed:
        raise UsageError(
            f"{folder} was not run with the settings of suite {manifest.suite.name} (changed: "
            f"{', '.join(changed)}); run the suite without --set, --seeds and --budget, or give "
            "your own suite file another name"
        )


def only(manifest: Manifest, name: str) -> Manifest:
    """The manifest of one competing row and the controls, without paths of this machine.

    Its suite lists the same rows, so that it expands to the entries that are here.
    """
    others = {e.name for e in manifest.entries if e.role == "entry"} - {name}
    files = {
        plugin: Path(file).name
        for plugin, file in manifest.files.items()
        if plugin.partition(" ")[2] in {call.name for call in parse_mitigations(name)}
    }
    return replace(
        manifest,
        suite=_only_one(manifest, others, name),
        entries=tuple(e for e in manifest.entries if e.name not in others),
        left_out=(),
        published=None,
        files=files,
    )


def _only_one(manifest: Manifest, others: set[str], name: str) -> SuiteModel:
    suite = manifest.suite
    rows = list(dict.fromkeys(e.name for e in manifest.entries if e.role != "curve"))

    def kept(texts: list[str]) -> list[str]:
        # the names of rows are specs too, and give rows of these names again
        found = [row_of(text, rows) for text in texts]
        return [row for row in dict.fromkeys(found) if row is not None and row not in others]

    tasks = [
        task
        if task.mitigations is None
        else task.model_copy(update={"mitigations": kept(task.mitigations)})
        for task in suite.tasks
    ]
    return suite.model_copy(
        update={"mitigations": kept(suite.mitigations), "tasks": tasks, "focus": name}
    )


def claim_of(store: Store, manifest: Manifest, name: str) -> dict[str, float]:
    """Score, interval and coverage of a row, from its records.

    Raises UsageError where the suite has no scores, or the row has none.
    """
    board = board_of(store, manifest, focus=name)
    if not isinstance(board, RankedBoard):
        raise UsageError(
            f"suite {manifest.suite.name} is not calibrated with the control trivial, so that its "
            "rows have no score; run 'collapse-bench suite calibrate', then the suite"
        )
    row = next(r for r in board.scores.rows.to_dict("records") if r["entry"] == name)
    claim = {key: float(row[key]) for key in ("S", "low", "high", "coverage")}
    if not all(map(math.isfinite, claim.values())):
        raise UsageError(f"{name} has no score on suite {manifest.suite.name}: run all its chains")
    return claim


def _row(manifest: Manifest, mitigation: str | None) -> str:
    """The competing row of this name or spec; without one, the only one."""
    names = list(dict.fromkeys(e.name for e in manifest.entries if e.role == "entry"))
    if mitigation is None:
        if len(names) != 1:
            raise UsageError(
                f"the run has {len(names)} competing rows ({', '.join(names[:MOST])}"
                f"{', ...' if names[MOST:] else ''}); choose one with --mitigation"
            )
        return names[0]
    for ending in (TUNED, HINDSIGHT):
        if mitigation.endswith(ending):
            method = mitigation.removesuffix(ending).strip()
            raise UsageError(
                f"the row {mitigation!r} is made of several configurations; submit one of them"
                f"{nearest(method, names)}"
            )
    spec = parse_mitigations(mitigation)
    for name in names:
        if spec == parse_mitigations(name):
            return name
    raise UsageError(f"the run has no row {mitigation!r}{nearest(mitigation, names)}")


def read_source(plugin: Path) -> Source:
    """The text of a plugin file and its helpers.

    Raises UsageError where it cannot be read, or has a name that no submission holds.
    """
    if not exists(plugin):
        raise UsageError(f"plugin file {plugin} is not there; give the path of a Python file")
    try:
        source = Source.of_file(plugin)
    except OSError as problem:
        raise UsageError(
            f"plugin file {plugin} cannot be read ({problem.strerror}); give the path of a Python "
            "file"
        ) from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"plugin file {plugin} is not UTF-8; give a Python file") from problem
    if odd := [file for file in source.files if not MEMBER.fullmatch(f"{PLUGIN}{file}")]:
        raise UsageError(
            f"a submission cannot hold a plugin file named {odd[0]!r}: name it with letters, "
            "digits, '_', '-' and '.', ending in .py, and run the suite again"
        )
    return source


def _card_bytes(card: Path) -> bytes:
    try:
        return read_file(card, MOST_BYTES)
    except (Rejected, Unreadable, FileNotFoundError) as problem:
        why = problem.why if isinstance(problem, Rejected | Unreadable) else "it is gone"
        raise UsageError(f"the card {card} cannot be read ({why}); name another with --card") from (
            problem
        )


def _check_code(name: str, manifest: Manifest, codes: list[dict[str, Any]], source: Any) -> None:
    """Raises UsageError where the plugin file is not the code that made the records."""
    if source is not None and not any(map(_plugins, codes)):
        raise UsageError(f"{name} comes with the suite, not from {source.name}; leave --plugin out")
    if source is not None and (why := other_code(codes, source)):
        raise UsageError(
            f"{source.name} is not the code that made the records of {name}: {why}; run the suite "
            "again, which runs these cells only"
        )


def other_code(codes: list[dict[str, Any]], source: Source) -> str | None:
    """Why records were not made by the code of a plugin file, or None."""
    digests = digests_of_source(source)
    for code in codes:
        found = _plugins(code)
        if not found:
            return "the records name no plugin"
        for plugin, modules in found.items():
            if dict(modules) != digests:
                changed = sorted(
                    module
                    for module in {*modules, *digests}
                    if dict(modules).get(module) != digests.get(module)
                )
                return f"{', '.join(changed)} (code of {plugin}) differs"
        if code.get("") != NUMERICS:
            return f"they are of version {code.get('')} of the suite's numbers, not {NUMERICS}"
    return None


def _foreign(records: Any, name: str) -> bool:
    return any(_plugins(record.code) for record, entry in records if entry.name == name)


def _plugins(code: dict[str, Any]) -> dict[str, Any]:
    """The part of the code of a record that plugin files hold."""
    return {name: mine for name, mine in code.items() if name not in ("", "composed fits")}


def file_name(name: str) -> str:
    """The file of a row, without other characters than letters, digits, '-', '_' and '.'."""
    return f"{re.sub(r'[^a-zA-Z0-9_.-]+', '-', name).strip('-') or 'mine'}{ENDING}"
