"""Write a submission from the folder of a run."""

from __future__ import annotations

import json
import math
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
from ..paths import unwritable
from ..records.archive import Archive, OverlayStore, publish, reused, store_with, whole
from ..records.facts import joined_tracks
from ..records.files import replace_file
from ..records.manifest import Manifest
from ..records.settings import SuiteModel
from ..records.store import Store
from ..running.facts import environment
from ..spec import parse_mitigations
from ..suggest import nearest
from ..suite.manifest import saved_run
from .card import read_card, template
from .submission import CARD, ENDING, MANIFEST, PLUGIN, RECORDS, about_of, zipped


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
    or a run that cannot be submitted, NothingMatched where chains are missing.
    """
    manifest = saved_run(folder, suite)
    store = store_with(folder, reused(folder, manifest))
    name = _row(manifest, mitigation)
    own = only(manifest, name)
    records = whole(store, own)
    tracks = {r.facts.track for r, entry in records if entry.name == name and entry.role == "entry"}
    track = joined_tracks(tracks)
    source = None if plugin is None else _source(plugin)
    _check_code(name, own, [r.code for r, e in records if e.name == name], source)
    if not card.exists():
        try:
            text = template({"mitigation": name, "track": track})
            replace_file(card, text.encode())
        except OSError as problem:
            raise unwritable(card, problem) from problem
        return None
    described = read_card(card.read_bytes(), str(card))
    if described.mitigation != name:
        raise UsageError(f"{card} is the card of {described.mitigation!r}, not of {name!r}")
    if described.track != track:
        raise UsageError(
            f"{card} claims the track {described.track}, and the ledger of {name} shows {track}; "
            "write what the ledger shows"
        )
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
            CARD: card.read_bytes(),
            MANIFEST: (json.dumps(own.to_json(), indent=1) + "\n").encode(),
            RECORDS: file.read_bytes(),
        }
        for module, text in (source.files if source else {}).items():
            members[f"{PLUGIN}{module}"] = text.encode()
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
    path = to or Path(f"{_file_name(name)}{ENDING}")
    try:
        replace_file(path, zipped({"submission.json": about, **members}))
    except OSError as problem:
        raise unwritable(path, problem) from problem
    return path


def only(manifest: Manifest, name: str) -> Manifest:
    """The manifest of one competing row and the controls, without paths of this machine."""
    others = {e.name for e in manifest.entries if e.role == "entry"} - {name}
    files = {
        plugin: Path(file).name
        for plugin, file in manifest.files.items()
        if plugin.partition(" ")[2] in {call.name for call in parse_mitigations(name)}
    }
    return replace(
        manifest,
        suite=_only_one(manifest.suite, others, name),
        entries=tuple(e for e in manifest.entries if e.name not in others),
        left_out=(),
        published=None,
        files=files,
    )


def _only_one(suite: SuiteModel, others: set[str], name: str) -> SuiteModel:
    def kept(names: list[str]) -> list[str]:
        return [one for one in names if one not in others]

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
    """The competing row of this name; without one, the only one or the one in focus."""
    names = list(dict.fromkeys(e.name for e in manifest.entries if e.role == "entry"))
    if mitigation is None:
        if len(names) != 1:
            raise UsageError(
                f"the run has {len(names)} competing rows; choose one with --mitigation"
            )
        return names[0]
    if mitigation not in names:
        raise UsageError(f"the run has no row {mitigation!r}{nearest(mitigation, names)}")
    return mitigation


def _source(plugin: Path) -> Source:
    try:
        return Source.of_file(plugin)
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"plugin file {plugin} cannot be read: {problem}") from problem


def _check_code(name: str, manifest: Manifest, codes: list[dict[str, Any]], source: Any) -> None:
    """Raises UsageError where the plugin file is not the code that made the records."""
    if source is not None and (why := other_code(codes, source)):
        raise UsageError(
            f"{source.name} is not the code that made the records of {name}: {why}; run the suite "
            "again, which runs these cells only"
        )


def other_code(codes: list[dict[str, Any]], source: Source) -> str | None:
    """Why records were not made by the code of a plugin file, or None."""
    digests = digests_of_source(source)
    for code in codes:
        found = {
            plugin: mine for plugin, mine in code.items() if plugin not in ("", "composed fits")
        }
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
    return any(set(r.code) - {"", "composed fits"} for r, entry in records if entry.name == name)


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-") or "mine"
