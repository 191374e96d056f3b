"""From records to a board: read the records, add the derived controls, and score."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NothingMatched
from ..records.facts import joined_tracks
from ..records.manifest import Manifest, ManifestEntry, ManifestTask
from ..records.record import Damaged, Record, blocks_of
from ..records.store import Store
from ..scoring.rules import LEAST_GAP_ERRORS
from ..scoring.score import score
from ..scoring.task import Task
from ..status import Status
from .real_only import REAL_ONLY, real_only
from .table import MOST_LOST, Board, LossBoard, ScoredBoard
from .usage import usage_by_entry, usage_of


def frame_of(store: Store, entries: Iterable[ManifestEntry], seeds: Iterable[int]) -> pd.DataFrame:
    """All values of these entries as a table.

    Columns: task, entry, role, rows, seed, generation, metric, value.
    """
    wanted = list(seeds)
    pieces = []
    for entry, records in _of_one_code(store, entries, wanted, []):
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
    store: Store, entry: ManifestEntry, seeds: Iterable[int], notes: list[str]
) -> list[Record]:
    """The complete records of an entry; damaged ones are reported in ``notes`` and left out."""
    records = []
    if entry.skip is None:
        for block in blocks_of(seeds):
            try:
                record = store.read(entry.id, block)
            except Damaged as problem:
                notes.append(f"{problem}; run again to replace it")
                continue
            if record is not None:
                records.append(record)
    return records


def _of_one_code(
    store: Store, entries: Iterable[ManifestEntry], seeds: Sequence[int], notes: list[str]
) -> list[tuple[ManifestEntry, list[Record]]]:
    """Every entry with its complete records, all computed by the same version of the code.

    If a run after an edit was interrupted, some records come from the code before the edit.  They
    are reported in ``notes`` and left out.
    """
    pairs = [(entry, _records(store, entry, seeds, notes)) for entry in entries]
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
    for entry, records in _of_one_code(store, manifest.entries, manifest.seeds, []):
        if entry.name == "none":
            for record in records[:1]:
                law = record.facts.theory.predicted
                if law is not None:
                    laws[entry.task] = [math.nan if value is None else value for value in law]
    return laws


def board_of(store: Store, manifest: Manifest, focus: str | None = None) -> Board:
    """The leaderboard of a run, from its manifest and its records; no plugin is loaded.

    ``focus`` replaces the focus row of the suite.  Raises NothingMatched if there is no record.
    """
    tasks, notes = manifest.tasks, list[str]()
    primary = {name: task.primary for name, task in tasks.items()}
    suite = manifest.suite if not focus else manifest.suite.model_copy(update={"focus": focus})
    rows: list[dict[str, Any]] = []  # task, entry, seed, loss, status
    curves: dict[str, dict[int, dict[int, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )  # task -> m -> seed -> loss
    used: list[dict[str, Any]] = []
    secondary: list[dict[str, Any]] = []  # task, entry, seed, what (tail or diversity), value
    tracks: dict[str, list[str]] = defaultdict(list)
    codes: dict[str, list[Mapping[str, Any]]] = {}
    for entry, records in _of_one_code(store, manifest.entries, manifest.seeds, notes):
        codes[entry.id] = [record.code for record in records]
        task, name, seeds = entry.task, entry.name, manifest.seeds
        if entry.skip is not None:
            rows.append(
                {
                    "task": task,
                    "entry": name,
                    "seed": None,
                    "loss": math.nan,
                    "status": Status.SKIPPED.value,
                }
            )
            continue
        for record in records:
            final = _values(record, primary[task], entry.horizon)
            status = {
                **record.status,
                **dict.fromkeys(record.beyond(entry.limits), Status.OVER_BUDGET),
            }
            if entry.role == "curve":
                curves[task][entry.rows].update(
                    {s: v for s, v in final.items() if status[s] is Status.DONE}
                )
                continue
            chains = [seed for seed in record.seeds if seed in set(seeds)]
            rows += [
                {
                    "task": task,
                    "entry": name,
                    "seed": s,
                    "loss": final.get(s, math.nan),
                    "status": status[s].value,
                }
                for s in chains
            ]
            if name == "none":
                start = _values(record, primary[task], 0)
                rows += [
                    {
                        "task": task,
                        "entry": "frozen",
                        "seed": s,
                        "loss": start.get(s, math.nan),
                        "status": (Status.DONE if s in start else status[s]).value,
                    }
                    for s in chains
                ]
            secondary += _tail_and_diversity(record, entry, tasks[task], chains)
            tracks[name].append(record.facts.track)
            notes += [remark for run in record.runs for remark in run.get("remarks", ())]
            used += usage_of(record, entry, [s for s in chains if status[s] is not Status.SKIPPED])
    if not rows:
        raise NothingMatched(
            f"{store.path} holds no record of suite {manifest.suite.name}; run it first"
        )
    losses = _without_excuses(pd.DataFrame(rows))
    usage = pd.DataFrame(used)
    # entries that drew more real rows than the learning curve covers
    beyond: set[str] = set()
    losses = pd.concat([losses, real_only(losses, usage, curves, tasks, beyond)], ignore_index=True)
    notes += [
        f"{e} used more real rows than real-only was measured with, so the two are not compared"
        for e in sorted(beyond)
    ]
    if gone := manifest.left_out:
        notes.append(
            "left out of this quick run because no complete record has their version, parameters "
            f"and chains: {', '.join(gone)}"
        )
    calibrated = _tasks(manifest)
    if not calibrated:
        return LossBoard(
            suite=suite,
            losses=losses,
            usage=usage_by_entry(usage, losses, curves, tasks),
            skipped_tasks=manifest.skipped_tasks,
            notes=tuple(dict.fromkeys(notes)),  # tasks share records
            codes=codes,
        )
    controls = [
        *("none", "nature", "frozen"),
        *(n for n in losses.entry.unique() if n.startswith(REAL_ONLY)),
    ]
    scores = score(
        losses,
        calibrated,
        focus=suite.focus,
        controls=controls,
        tracks={name: joined_tracks(names) for name, names in tracks.items()},
        planned=len(manifest.seeds),
        shown=_for_some(manifest),
    )
    # usage is averaged over the scored tasks only
    scored = set(scores.per_task.task[scores.per_task.weight > 0])
    usage = usage_by_entry(
        usage[usage.task.isin(scored)], losses[losses.task.isin(scored)], curves, tasks
    )
    untimed = [
        name for name, cost in usage.cost.items() if name in scores.entries and math.isnan(cost)
    ]
    if untimed:
        notes.append(
            f"no cost for {', '.join(untimed)}: the seconds of none come from records of another "
            "run, perhaps on another machine"
        )
    return ScoredBoard(
        suite=suite,
        losses=losses,
        usage=usage,
        skipped_tasks=manifest.skipped_tasks,
        notes=tuple(dict.fromkeys(notes)),
        codes=codes,
        scores=scores,
        lost=_lost(pd.DataFrame(secondary), scored),
    )


def _tail_and_diversity(
    record: Record, entry: ManifestEntry, about: ManifestTask, chains: list[int]
) -> list[dict[str, Any]]:
    """The task's metrics of the tail and of diversity at the horizon.

    For `frozen`, those of `none` at generation 0.
    """
    ends = {entry.name: entry.horizon} | ({"frozen": 0} if entry.name == "none" else {})
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

    Values are limited to [-4, 4], so that no single task dominates the mean over tasks: 4 equals
    the lowest score, -3.  A failed chain has no value and counts 4.  Tasks in which `none` and
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
    skipped = losses.status == Status.SKIPPED.value
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
            task.log_loss,
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
