"""From records to a board: read the records, add the derived controls, and score."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NothingMatched, UsageError
from ..records.again import run_again
from ..records.agreement import disagreement
from ..records.archive import SHIPPED, OverlayStore
from ..records.facts import TRACKS, joined_tracks
from ..records.faults import Rejected
from ..records.manifest import Manifest, ManifestEntry, ManifestTask
from ..records.record import Record, blocks_of
from ..records.settings import SuiteModel
from ..records.signs import SignGrid
from ..records.store import Store
from ..records.tuning import Tuned
from ..scoring.rules import LEAST_GAP_ERRORS, REFUSED
from ..scoring.score import Scores, score
from ..scoring.task import Task
from ..scoring.tuning import TUNED
from ..status import Status
from .doubts import doubts
from .provisional import provisional
from .ranked import MOST_LOST, RankedBoard
from .table import Board, LossBoard
from .tuned import picked, usable, usage_of_tuned, with_tuned
from .usage import usage_by_entry, usage_of


def frame_of(
    store: Store,
    entries: Iterable[ManifestEntry],
    seeds: Iterable[int],
    manifest: Manifest | None = None,
) -> pd.DataFrame:
    """All values of these entries as a table.

    Columns: task, entry, role, rows, seed, generation, metric, value.  manifest: what the records
    must agree with, as on a board; None for entries outside a manifest.
    """
    wanted = list(seeds)
    pieces = []
    for entry, records in _of_one_code(store, entries, wanted, [], manifest):
        for record in records:
            keep = np.isin(record.seed, wanted)
            piece = pd.DataFrame(
                {
                    "seed": record.seed[keep],
                    "generation": record.generation[keep],
                    "metric": record.metric[keep],
                    "value": record.value[keep],
                }
            )
            pieces.append(
                piece.assign(task=entry.task, entry=entry.name, role=entry.role, rows=entry.rows)
            )
    columns = ["task", "entry", "role", "rows", "seed", "generation", "metric", "value"]
    return (
        pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)
    )


def _records(
    store: Store,
    entry: ManifestEntry,
    seeds: Iterable[int],
    notes: list[str],
    manifest: Manifest | None,
) -> list[Record]:
    """The complete records of an entry.

    Damaged ones, and those that are not what the manifest says, are reported in ``notes`` and left
    out.
    """
    records = []
    if entry.skip is None:
        for block in blocks_of(seeds):
            try:
                record = store.read(entry.id, block)
            except Rejected as problem:
                notes.append(f"{problem}; run again to replace it")
                continue
            if record is None:
                continue
            why = disagreement(manifest, entry, record) if manifest is not None else None
            if why is None:
                records.append(record)
            else:
                notes.append(
                    f"{entry.name} on {entry.task}: its record is left out, since it is not what "
                    f"the manifest says ({why}); run the suite again"
                )
    return records


def _of_one_code(
    store: Store,
    entries: Iterable[ManifestEntry],
    seeds: Sequence[int],
    notes: list[str],
    manifest: Manifest | None,
) -> list[tuple[ManifestEntry, list[Record]]]:
    """Every entry with its complete records, all computed by the same version of the code.

    manifest: what the records must agree with; None for entries outside a manifest.

    If a run after an edit was interrupted, some records come from the code before the edit.  They
    are reported in ``notes`` and left out.
    """
    pairs = [(entry, _records(store, entry, seeds, notes, manifest)) for entry in entries]
    newest: dict[str, tuple[str, Any]] = {}  # plugin -> (time, its code at that time)
    for record in (record for _, records in pairs for record in records):
        for plugin, code in record.code.items():
            newest[plugin] = max(newest.get(plugin, ("", code)), (record.at, code), key=_when)
    kept = []
    for entry, records in pairs:
        last = max(records, key=lambda record: record.at).code if records else {}
        good, lost = [], 0
        for record in records:
            if record.code == last and all(newest[p][1] == c for p, c in record.code.items()):
                good.append(record)
            else:
                lost += len(set(record.seeds) & set(seeds))
        if lost:
            notes.append(
                f"{entry.name} on {entry.task}: {lost} chain(s) were computed by older code than "
                "the newest records and are left out; run them again"
            )
        kept.append((entry, good))
    return kept


def _when(dated: tuple[str, Any]) -> str:
    return dated[0]


def laws_of(store: Store, manifest: Manifest) -> dict[str, list[float]]:
    """task -> expected primary loss of `none` by generation, NaN where unknown.

    Tasks without a law are left out.
    """
    laws = {}
    for entry, records in _of_one_code(store, manifest.entries, manifest.seeds, [], manifest):
        if entry.name == "none":
            for record in records[:1]:
                law = record.facts.theory.predicted
                if law is not None:
                    laws[entry.task] = [math.nan if value is None else value for value in law]
    return laws


def losses_of(
    store: Store, manifest: Manifest
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Task]]:
    """Losses and usage of a run, one row per chain, and its calibrated tasks, for ``scoring``.

    Raises NothingMatched if there is no record.
    """
    found = _collected(store, manifest)
    if not found.rows:
        raise NothingMatched(f"{store.path} holds no record of suite {manifest.suite.name}")
    return _without_excuses(pd.DataFrame(found.rows)), pd.DataFrame(found.used), _tasks(manifest)


def board_of(
    store: Store,
    manifest: Manifest,
    focus: str | None = None,
    track: str | None = None,
    tuning: Sequence[Tuned] = (),
    signs: SignGrid | None = None,
) -> Board:
    """The leaderboard of a run, from its manifest and its records; no plugin is loaded.

    ``focus`` replaces the focus row of the suite, which is the tuned row of its method where there
    is one.  ``track``: only the tasks on which an entry uses no more than this track allows.
    ``tuning``: the configurations that were picked, which add a tuned row for each method.
    ``signs``: the scores at other numbers of rows and generations.

    Raises NothingMatched if there is no record, or none of `none` on a suite with scores,
    UsageError for a track in a suite that is not calibrated.
    """
    found = _collected(store, manifest)
    _check_recorded(store, manifest, found)
    losses = _without_excuses(pd.DataFrame(found.rows))
    usage = pd.DataFrame(found.used)
    calibrated = _tasks(manifest)
    if track is not None and not calibrated:
        raise UsageError(
            f"suite {manifest.suite.name} is not calibrated, and its board has no tracks by task; "
            "run `collapse-bench suite calibrate`, then the suite"
        )
    if gone := manifest.left_out:
        found.notes.append(
            "left out of this quick run because no complete record has their version, parameters "
            f"and chains: {', '.join(gone)}"
        )
    chosen = focus or manifest.suite.focus
    if not focus and chosen is not None and chosen not in set(losses.entry):
        found.notes.append(f"the focus row {chosen} has no record yet; run the suite again")
        chosen = None
    found.notes += _without_task(manifest)
    found.notes += _without_values(manifest, found)
    found.notes += _foreign_archive(store)
    suite = manifest.suite.model_copy(update={"focus": chosen})
    if calibrated:
        tuning, lost = usable(tuning, set(losses.entry))
        found.notes += lost
        if not focus and chosen in {choice.method for choice in tuning}:
            suite = suite.model_copy(update={"focus": f"{chosen} {TUNED}"})
        return _ranked(manifest, suite, calibrated, found, losses, usage, track, tuning, signs)
    # without scores it is of no account why a method does not run
    losses = losses.assign(status=losses.status.replace(REFUSED, Status.SKIPPED.value))
    measured, lacking = provisional(losses, manifest)
    return LossBoard(
        suite=suite,
        losses=losses,
        usage=usage_by_entry(usage, losses, found.curves, manifest.tasks),
        skipped_tasks=manifest.skipped_tasks,
        notes=tuple(dict.fromkeys(found.notes)),  # tasks share records
        codes=found.codes,
        provisional=measured,
        lacking=lacking,
    )


def _check_recorded(store: Store, manifest: Manifest, found: _Collected) -> None:
    """Raises NothingMatched where there is nothing to show, or no zero of the score.

    A run writes its manifest first, so it may have been killed before its first record.
    """
    recorded = {row["entry"] for row in found.rows if row["seed"] is not None}
    if "none" in recorded or (recorded and not _tasks(manifest)):
        return
    chains = "none, the zero of the score," if recorded else f"suite {manifest.suite.name}"
    lacking = [e for e in manifest.entries if not recorded or e.name == "none"]
    rejected: list[str] = []
    _of_one_code(store, lacking, manifest.seeds, rejected, manifest)
    why = (
        f"can be used ({rejected[0].partition('; run ')[0]})"
        if rejected
        else "has been recorded yet"
    )
    methods = {e.name: None for e in manifest.entries if e.role == "entry"}.keys() - recorded
    again = run_again(store.path, manifest, sorted(methods))
    raise NothingMatched(f"no chain of {chains} in {store.path} {why}; run it with: {again}")


def _without_task(manifest: Manifest) -> list[str]:
    """A note for each entry that fits no task, with the reasons."""
    reasons: dict[str, list[str | None]] = {}
    for entry in manifest.entries:
        if entry.role == "entry":
            reasons.setdefault(entry.name, []).append(entry.skip)
    return [
        f"{name} fits no task: {'; '.join(dict.fromkeys(filter(None, why)))}"
        for name, why in reasons.items()
        if None not in why
    ]


def _without_values(manifest: Manifest, found: _Collected) -> list[str]:
    """A note for each declared metric of the tail or of diversity that no record holds."""
    measured = {(row["task"], row["what"]) for row in found.secondary}
    ran = {row["task"] for row in found.rows if row["status"] != Status.SKIPPED.value}
    return [
        f"no {what} lost for {name}: its data generator declares the metric {metric!r}, and no "
        "record has it"
        for name, task in manifest.tasks.items()
        for what, metric in (("tail", task.tail), ("diversity", task.diversity))
        if metric and name in ran and (name, what) not in measured
    ]


def _foreign_archive(store: Store) -> list[str]:
    """[a sentence] where rows come from published records that do not ship with this version."""
    if not isinstance(store, OverlayStore) or store.archive.seal in SHIPPED.values():
        return []
    return [
        f"rows of this board come from {store.archive.path} (seal {store.archive.seal[:12]}), "
        "which does not ship with this version: they are as good as their source"
    ]


def _ranked(
    manifest: Manifest,
    suite: SuiteModel,
    calibrated: Mapping[str, Task],
    found: _Collected,
    losses: pd.DataFrame,
    usage: pd.DataFrame,
    track: str | None,
    tuning: Sequence[Tuned],
    signs: SignGrid | None,
) -> RankedBoard:
    """The board of a suite with calibrated tasks."""
    by_task = {place: joined_tracks(names) for place, names in found.by_task.items()}
    losses = _with_unplanned(losses, manifest)
    losses, unranked = with_tuned(losses, calibrated, tuning)
    usage = usage_of_tuned(usage, calibrated, tuning)
    if signs is not None:
        ids = {entry.id for entry in manifest.entries}
        signs, gone = signs.of_board(set(losses.entry), ids)
        found.notes += gone
    controls = ["none", "nature", *_controls(manifest), *unranked]
    by_task |= {
        (f"{method} {TUNED}", task): by_task[entry, task]
        for (method, task), entry in picked(tuning, calibrated).items()
        if (entry, task) in by_task
    }
    union = {name: joined_tracks(names) for name, names in found.tracks.items()}
    for name in {entry for entry, _ in by_task} - set(union):
        union[name] = joined_tracks(t for (entry, _), t in by_task.items() if entry == name)
    if track is not None:
        losses = within_track(losses, by_task, controls, track)
        union = {name: union[name] if name in controls else track for name in union}
    scored_with = partial(
        score,
        controls=controls,
        tracks=union,
        planned=len(manifest.seeds),
        shown=_for_some(manifest),
    )
    scores = scored_with(losses, calibrated, focus=suite.focus)
    chains = {row.task: row.chains for row in suite.calibration}
    doubtful = doubts(scores, losses, calibrated, chains)
    scored = scored_of(scores)
    usage, known = usage[usage.task.isin(scored)], losses[losses.task.isin(scored)]
    return RankedBoard(
        suite=suite,
        losses=losses,
        usage=usage_by_entry(usage, known, found.curves, manifest.tasks),
        skipped_tasks=manifest.skipped_tasks,
        notes=tuple(dict.fromkeys([*found.notes, *doubtful])),
        codes=found.codes,
        doubts=tuple(doubtful),
        scores=scores,
        lost=_lost(pd.DataFrame(found.secondary), scored),
        tracks=by_task,
        track=track,
        laws={
            (name, of_track): loss
            for name, about in manifest.tasks.items()
            for of_track, loss in about.ceilings.items()
        },
        tuned=tuple(choice.method for choice in tuning),
        method_of_row={name: choice.method for choice in tuning for name in choice.entries},
        picks=picked(tuning, calibrated),
        signs=signs,
        worlds=_by_world(scores, losses, calibrated, manifest, scored_with),
    )


def _by_world(
    scores: Scores,
    losses: pd.DataFrame,
    calibrated: Mapping[str, Task],
    manifest: Manifest,
    scored_with: Callable[..., Scores],
) -> dict[str, Scores]:
    """Kind of world -> the scores of its tasks only; empty for a suite of one kind."""
    kinds: dict[str, str] = {name: manifest.tasks[name].world for name in calibrated}
    if len(set(kinds.values())) == 1:
        return {}
    return {
        kind: scored_with(
            losses[losses.task.map(kinds) == kind],
            {name: task for name, task in calibrated.items() if kinds[name] == kind},
        )
        for kind in sorted({kinds[name] for name in scored_of(scores)})
    }


def scored_of(scores: Scores) -> set[str]:
    """The tasks that enter the means of these scores."""
    return set(scores.per_task.task[scores.per_task.weight > 0])


def _with_unplanned(losses: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The losses with a skipped row for each task that does not name a control of another task.

    A control is compared on the tasks that have it, as if it did not fit the others.
    """
    planned = {(entry.task, entry.name) for entry in manifest.entries} | {
        (task, "frozen") for task in manifest.tasks
    }
    rows = [
        {"task": t, "entry": name, "seed": None, "loss": math.nan, "status": Status.SKIPPED.value}
        for name in _controls(manifest)
        for t in manifest.tasks
        if (t, name) not in planned
    ]
    if not rows:
        return losses
    added = pd.DataFrame(rows, columns=losses.columns).astype({"loss": float})
    return pd.concat([losses, added], ignore_index=True)


def _controls(manifest: Manifest) -> list[str]:
    """The controls besides `none` and `nature`."""
    names = [entry.name for entry in manifest.entries if entry.role == "control"]
    return [name for name in dict.fromkeys([*names, "frozen"]) if name not in ("none", "nature")]


def within_track(
    losses: pd.DataFrame,
    tracks: Mapping[tuple[str, str], str],
    controls: Sequence[str],
    track: str,
) -> pd.DataFrame:
    """The losses on the tasks where an entry uses no more than ``track`` allows.

    tracks: (entry, task) -> track.  Other tasks count as not fitting.  Entries that use more
    everywhere are left out, controls are not.

    Raises UsageError for an unknown track, NothingMatched where no entry is left.
    """
    allowed = set(track.split("+")) | {"blind"}
    known = {*TRACKS.values(), "blind"}
    if not allowed <= known:
        wrong = sorted(allowed - known)[0]
        raise UsageError(
            f"unknown track {wrong!r}; known: {', '.join(['blind', *TRACKS.values()])}, and "
            "several joined by '+'"
        )
    places = zip(losses.entry, losses.task, strict=True)
    within = [set(tracks.get(place, "blind").split("+")) <= allowed for place in places]
    inside = pd.Series(within, losses.index) | losses.entry.isin(controls)
    ran = inside & ~losses.status.isin([Status.SKIPPED.value, REFUSED])
    left = set(losses.entry[ran])
    if not left - set(controls):
        raise NothingMatched(f"no entry uses no more than track {track} allows, on any task")
    kept = losses.assign(
        status=losses.status.where(inside, Status.SKIPPED.value), loss=losses.loss.where(inside)
    )
    return kept[kept.entry.isin(left | set(controls))]


# -- from records to rows --------------------------------------------------------------------------


def _curves() -> dict[str, dict[int, dict[int, float]]]:
    return defaultdict(lambda: defaultdict(dict))


@dataclass
class _Collected:
    """What the records of a run say, row by row."""

    rows: list[dict[str, Any]] = field(default_factory=list)  # task, entry, seed, loss, status
    curves: dict[str, dict[int, dict[int, float]]] = field(
        default_factory=_curves
    )  # task -> real rows -> seed -> loss, of real-only
    used: list[dict[str, Any]] = field(default_factory=list)
    # task, entry, seed, what (tail or diversity), value
    secondary: list[dict[str, Any]] = field(default_factory=list)
    tracks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # (entry, task) -> tracks of its records
    by_task: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    has_frozen: set[str] = field(default_factory=set)  # tasks whose control `frozen` is not derived
    codes: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)  # by the id of a cell
    notes: list[str] = field(default_factory=list)

    def add_row(
        self, entry: ManifestEntry, name: str, seed: int | None, loss: float, end: str
    ) -> None:
        """One loss of a row of the board."""
        self.rows.append(
            {"task": entry.task, "entry": name, "seed": seed, "loss": loss, "status": str(end)}
        )

    def add(
        self, entry: ManifestEntry, record: Record, about: ManifestTask, seeds: set[int]
    ) -> None:
        """Count in the chains of one record that belong to ``seeds``."""
        final = _values(record, about.primary, entry.horizon)
        over = dict.fromkeys(record.beyond(entry.limits), Status.OVER_BUDGET)
        status = {**record.status, **over}
        if entry.role == "curve":
            done = {s: v for s, v in final.items() if status[s] is Status.DONE}
            self.curves[entry.task][entry.rows].update(done)
            return
        chains = [seed for seed in record.seeds if seed in seeds]
        declined = record.declined if entry.role == "entry" else set()
        for s in chains:
            end = REFUSED if s in declined else status[s]
            self.add_row(entry, entry.name, s, final.get(s, math.nan), end)
        derived = entry.name == "none" and entry.task not in self.has_frozen
        if derived:  # the control `frozen` is generation 0 of none
            start = _values(record, about.primary, 0)
            for s in chains:
                end = Status.DONE if s in start else status[s]
                self.add_row(entry, "frozen", s, start.get(s, math.nan), end)
        self.secondary += _tail_and_diversity(record, entry, about, chains, derived)
        self.tracks[entry.name].append(record.facts.track)
        self.by_task[entry.name, entry.task].append(record.facts.track)
        self.notes += [remark for run in record.runs for remark in run.get("remarks", ())]
        ran = [s for s in chains if status[s] is not Status.SKIPPED]
        self.used += usage_of(record, entry, ran)


def _collected(store: Store, manifest: Manifest) -> _Collected:
    """All records of a run that were computed by one version of the code."""
    found, seeds = _Collected(), set(manifest.seeds)
    found.has_frozen = {entry.task for entry in manifest.entries if entry.name == "frozen"}
    # where the truth moves, generation 0 of none was examined in another world
    found.has_frozen |= {name for name, about in manifest.tasks.items() if about.world == "moving"}
    for entry, records in _of_one_code(
        store, manifest.entries, manifest.seeds, found.notes, manifest
    ):
        found.codes[entry.id] = [record.code for record in records]
        if entry.skip is not None:
            end = REFUSED if entry.declined else Status.SKIPPED
            found.add_row(entry, entry.name, None, math.nan, end)
            continue
        for record in records:
            found.add(entry, record, manifest.tasks[entry.task], seeds)
    return found


def _tail_and_diversity(
    record: Record, entry: ManifestEntry, about: ManifestTask, chains: list[int], frozen: bool
) -> list[dict[str, Any]]:
    """The task's metrics of the tail and of diversity at the horizon.

    frozen: whether the control `frozen` is derived: it is `none` at generation 0.
    """
    ends = {entry.name: entry.horizon} | ({"frozen": 0} if frozen else {})
    return [
        {"task": entry.task, "entry": name, "seed": seed, "what": what, "value": value}
        for what, metric in (("tail", about.tail), ("diversity", about.diversity))
        if metric
        for name, generation in ends.items()
        for seed, value in _values(record, metric, generation).items()
        if seed in set(chains)
    ]


def _lost(secondary: pd.DataFrame, scored: set[str]) -> pd.DataFrame:
    """(task, entry, what, lost): the mean over chains on a scale where `nature` is 0, `none` 1.

    Values are limited to [-4, 4], so that no single task dominates the mean over tasks.  A failed
    chain has no value and counts 4.  Tasks in which `none` and
    `nature` differ by less than five standard errors are left out.
    """
    columns = ["task", "entry", "what", "lost"]
    rows: list[tuple[Any, ...]] = []
    if secondary.empty:
        return pd.DataFrame(rows, columns=columns)
    for (task, what), piece in secondary[secondary.task.isin(scored)].groupby(["task", "what"]):
        table = piece.pivot(index="seed", columns="entry", values="value")
        if not {"none", "nature"} <= set(table.columns):
            continue
        gap = (table["none"] - table["nature"]).dropna()
        mean, error = (float(v) for v in gap.agg(["mean", "sem"]))
        if len(gap) < 2 or not abs(mean) >= LEAST_GAP_ERRORS * error > 0:
            continue
        place = (table.mean() - table["nature"].mean()) / mean
        there = table.notna().mean()
        lost = there * place.fillna(MOST_LOST).clip(-MOST_LOST, MOST_LOST) + (1 - there) * MOST_LOST
        rows += [(task, entry, what, value) for entry, value in lost.items()]
    return pd.DataFrame(rows, columns=columns)


def _without_excuses(losses: pd.DataFrame) -> pd.DataFrame:
    """Count a skipped chain as failed if other chains of its cell ran.

    Otherwise a method could choose the chains on which it is judged.
    """
    skipped = losses.status.isin([Status.SKIPPED.value, REFUSED])
    partly = skipped & ~skipped.groupby([losses.task, losses.entry]).transform("all")
    return losses.assign(status=losses.status.mask(partly, Status.FAILED.value))


def _values(record: Record, metric: str, generation: int) -> dict[int, float]:
    """seed -> value of a metric at a generation."""
    rows = (record.metric == metric) & (record.generation == generation)
    return dict(zip(record.seed[rows].tolist(), record.value[rows].tolist(), strict=True))


def _tasks(manifest: Manifest) -> dict[str, Task]:
    """The calibrated tasks, as the score takes them."""
    frozen = {row.task: row for row in manifest.suite.calibration}
    return {
        name: Task(
            name,
            task.family,
            frozen[name].floor,
            frozen[name].gap,
            frozen[name].gap_sd,
            frozen[name].harm,
            frozen[name].harm_sd,
            log_loss=task.log_loss,
        )
        for name, task in manifest.tasks.items()
        if name in frozen
    }


def _for_some(manifest: Manifest) -> set[str]:
    """Tasks that the suite plans for only some of its entries."""
    methods: dict[str, set[str]] = {task: set() for task in manifest.tasks}
    for entry in manifest.entries:
        if entry.role == "entry":
            methods[entry.task].add(entry.name)
    everyone = set().union(*methods.values())
    return {task for task, names in methods.items() if names != everyone}
