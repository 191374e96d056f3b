"""The levels that run nothing: declared and re-scored."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..errors import NothingMatched, UsageError, UserError
from ..records.agreement import disagreement
from ..records.archive import whole
from ..records.facts import joined_tracks
from ..registry.discovery import Registry
from ..suite.manifest import changes_of
from .levels import Level
from .pack import claim_of, only, other_code
from .submission import Submission

RELATIVE = 1e-9  # of a score that is computed again


def declared(submission: Submission, registry: Registry) -> Level:
    """Whether a submission is whole and agrees with itself and with the installed suite.

    What the file says of itself was checked when it was read: members, digests, seals, the card.
    """
    faults = list(dict.fromkeys(_faults(submission, registry)))
    suite = submission.manifest.suite
    installed = {path.stem for path in registry.suites}
    notes = [
        f"sha256 {submission.digest}",
        f"{len(submission.own)} cells of {submission.name}, "
        f"{len(submission.manifest.entries) - len(submission.own)} of the controls",
    ]
    if suite.name not in installed:
        notes.append(
            f"suite {suite.name} is not installed: its tasks and its calibration are those that "
            "the submission brings"
        )
    if submission.source is None and submission.card.code is not None:
        code = submission.card.code
        notes.append(
            f"the code is in {code.repository} at {code.commit}, and is not compared: get it, and "
            "verify with --plugin"
        )
    return Level("declared", tuple(faults), tuple(notes))


def _faults(submission: Submission, registry: Registry) -> Iterator[str]:
    manifest, card, about = submission.manifest, submission.card, submission.about
    name = submission.name
    if card.mitigation != name:
        yield f"its card is that of {card.mitigation}, and its row is {name}"
    if about.suite != manifest.suite.name or about.suite_version != manifest.suite.version:
        yield "its records are of another suite, or another version, than it says"
    if not submission.own:
        yield f"it has no cell of {name}"
        return
    if only(manifest, name).entries != manifest.entries:
        yield "it holds rows of other methods"
    tasks = {entry.task for entry in submission.own}
    for task in manifest.tasks:
        if task not in tasks:
            yield f"{name} is missing on {task}"
    for change in changes_of(manifest, registry):
        if change != "mitigations":  # it holds the rows of one method only
            yield f"it was not run with the settings of suite {manifest.suite.name}: {change}"
    for task in _tasks_of(registry, manifest.suite.name) - set(manifest.tasks):
        yield f"the task {task} of suite {manifest.suite.name} is missing"
    wanted = set(manifest.seeds)
    for entry in manifest.entries:
        if entry.skip is not None:
            continue
        for record in _records(submission, entry.id):
            if (why := disagreement(manifest, entry, record)) is not None:
                yield f"the record of {entry.name} on {entry.task} is not what it says: {why}"
        chains = {s for record in _records(submission, entry.id) for s in record.seeds}
        if missing := len(wanted - chains):
            yield f"{missing} chains of {entry.name} on {entry.task} are missing"
    try:
        pairs = whole(submission.store, manifest)
    except (NothingMatched, UsageError) as problem:
        yield str(problem).partition("; ")[0]
        return
    own = [record for record, e in pairs if e.role == "entry" and e.name == name]
    track = joined_tracks(record.facts.track for record in own)
    if track != card.track:
        yield f"its card claims the track {card.track}, and its ledger shows {track}"
    codes = [record.code for record in own]
    if submission.source is not None:
        if why := other_code(codes, submission.source):
            yield f"{submission.source.name} is not the code that made the records: {why}"
    elif card.code is None and any(set(code) - {"", "composed fits"} for code in codes):
        yield "it holds no code of the method, and its card names no repository"


def _records(submission: Submission, cell_id: str) -> list:
    blocks = dict.fromkeys(seed // 32 for seed in submission.manifest.seeds)
    found = (submission.store.read(cell_id, block) for block in blocks)
    return [record for record in found if record is not None]


def _tasks_of(registry: Registry, suite: str) -> set[str]:
    """The tasks of an installed suite; empty where it is not installed or cannot be built."""
    from ..suite.expand import expand
    from ..suite.model import read_suite

    path = {path.stem: path for path in registry.suites}.get(suite)
    if path is None:
        return set()
    try:
        model = read_suite(path)
        bare = model.model_copy(
            update={
                "mitigations": [],
                "tasks": [task.model_copy(update={"mitigations": None}) for task in model.tasks],
            }
        )
        return set(expand(bare, registry, path).tasks)
    except UserError:
        return set()


def rescored(submission: Submission) -> Level:
    """Whether the claimed score is that of the records, and the records are not doubtful."""
    from ..board.collect import board_of

    name, claim = submission.name, submission.about.claim
    try:
        found = claim_of(submission.store, submission.manifest, name)
        board = board_of(submission.store, submission.manifest, focus=name)
    except UserError as problem:
        return Level("re-scored", (str(problem),))
    faults = [
        f"it claims {key} {getattr(claim, key):+.6g}, and its records give {value:+.6g}"
        for key, value in found.items()
        if not math.isclose(getattr(claim, key), value, rel_tol=RELATIVE, abs_tol=RELATIVE)
    ]
    faults += board.doubts if hasattr(board, "doubts") else ()
    note = f"score {found['S']:+.3f}, 95 % {found['low']:+.3f} to {found['high']:+.3f}"
    return Level("re-scored", tuple(faults), (note,), {"score": found})
