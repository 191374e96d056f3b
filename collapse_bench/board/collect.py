"""From records to a board: read what a run left, add the controls that are read off, and score."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import NothingMatched
from ..store import Damaged, Record, Store, blocks_of
from . import score as scoring
from .table import MOST_LOST, Board

COST = ("real_rows", "real_unique", "verifier_calls", "provenance_lookups", "generated_rows")
REAL_ONLY = "real-only @ "  # + entry: fitted on nothing but the real rows that the entry drew


def frame_of(store: Store, told: Mapping[str, Any], seeds: Iterable[int] | None = None) -> pd.DataFrame:
    """Every number of the entries of a manifest: task, entry, role, rows, seed, generation, metric, value."""
    wanted = list(seeds if seeds is not None else told["seeds"])
    pieces = []
    for entry in told["entries"]:
        for record in _records(store, entry, wanted, []):
            keep = np.isin(record.seed, wanted)
            piece = pd.DataFrame(
                {
                    "seed": record.seed[keep],
                    "generation": record.generation[keep],
                    "metric": record.metric[keep],
                    "value": record.value[keep],
                }
            )
            head = {"task": entry["task"], "entry": entry["name"], "role": entry["role"], "rows": entry.get("rows", 0)}
            pieces.append(piece.assign(**head))
    columns = ["task", "entry", "role", "rows", "seed", "generation", "metric", "value"]
    return pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)


def _records(store: Store, entry: Mapping[str, Any], seeds: list[int], notes: list[str]) -> list[Record]:
    """The whole records of an entry; damaged ones are reported and left out."""
    found = []
    if entry["skip"] is None:
        for block in blocks_of(seeds):
            try:
                record = store.read(entry["id"], block)
            except Damaged as problem:
                notes.append(f"{problem}; run again to compute it anew")
                continue
            if record is not None:
                found.append(record)
    return found


def laws_of(store: Store, told: Mapping[str, Any]) -> dict[str, list[float]]:
    """task -> expected primary loss of `none` by generation, NaN where unknown; tasks without a law are left out."""
    found = {}
    for entry in told["entries"]:
        if entry["name"] == "none":
            for record in _records(store, entry, told["seeds"], [])[:1]:
                law = record.facts["theory"]["predicted"]
                if law is not None:
                    found[entry["task"]] = [math.nan if value is None else value for value in law]
    return found


def board_of(store: Store, told: Mapping[str, Any], focus: str | None = None) -> Board:
    """The leaderboard of a run, from its manifest and its records; it needs no plugin."""
    tasks, notes = told["tasks"], []
    primary = {task: about["primary"] for task, about in tasks.items()}
    rows: list[dict[str, Any]] = []  # task, entry, seed, loss, status
    curves: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))  # task -> m -> seed -> loss
    used: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []  # task, entry, seed, what (tail or diversity), value
    tracks: dict[str, set[str]] = defaultdict(set)
    for entry in told["entries"]:
        task, name, seeds = entry["task"], entry["name"], told["seeds"]
        if entry["skip"] is not None:
            rows.append({"task": task, "entry": name, "seed": None, "loss": math.nan, "status": "skipped"})
            continue
        for record in _records(store, entry, seeds, notes):
            final = _values(record, primary[task], entry["horizon"])
            status = {**record.status, **dict.fromkeys(record.beyond(entry.get("limits", {})), "over-budget")}
            if entry["role"] == "curve":
                curves[task][entry["rows"]].update({s: v for s, v in final.items() if status[s] == "done"})
                continue
            chains = [seed for seed in record.seeds if seed in set(seeds)]
            rows += [
                {"task": task, "entry": name, "seed": s, "loss": final.get(s, math.nan), "status": status[s]}
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
                        "status": "done" if s in start else status[s],
                    }
                    for s in chains
                ]
            beside += _beside(record, entry, tasks[task], chains)
            tracks[name].add(record.facts["track"])
            notes += [said for run in record.runs for said in run.get("remarks", ())]
            used += _usage(record, entry, [s for s in chains if status[s] != "skipped"])
    if not rows:
        raise NothingMatched(f"{store.path} holds no record of suite {told['suite']['name']}; run it first")
    losses = _without_excuses(pd.DataFrame(rows))
    usage = pd.DataFrame(used)
    beyond: set[str] = set()  # entries that drew more real rows than any curve was measured at
    losses = pd.concat([losses, _real_only(losses, usage, curves, tasks, beyond)], ignore_index=True)
    notes += [
        f"{e}: more real rows than real-only was measured at, so the two are not compared" for e in sorted(beyond)
    ]
    if gone := told.get("left_out"):
        notes.append(
            f"left out of this quick run, since no whole record has their version, parameters and chains: {', '.join(gone)}"
        )
    board = Board(
        suite={**told["suite"], "focus": focus or told["suite"]["focus"]},
        losses=losses,
        usage=_usage_by_entry(usage, losses, curves, tasks),
        skipped_tasks=told["skipped_tasks"],
        notes=tuple(dict.fromkeys(notes)),  # tasks share records
    )
    calibrated = _tasks(told)
    if not calibrated:
        return board
    controls = [*("none", "nature", "frozen"), *(n for n in losses.entry.unique() if n.startswith(REAL_ONLY))]
    scores = scoring.score(
        losses,
        calibrated,
        focus=focus or told["suite"]["focus"],
        controls=controls,
        tracks={name: "+".join(_joined(found)) for name, found in tracks.items()},
        planned=len(told["seeds"]),
        shown=_for_some(told),
    )
    scored = set(scores.per_task.task[scores.per_task.weight > 0])  # what is used is told of the tasks that are scored
    usage = _usage_by_entry(usage[usage.task.isin(scored)], losses[losses.task.isin(scored)], curves, tasks)
    lost = _lost(pd.DataFrame(beside), scored)
    untimed = [name for name, cost in usage.cost.items() if name in scores.entries and math.isnan(cost)]
    if untimed:
        notes.append(f"cost of {', '.join(untimed)} is not told: the seconds of none stand in records of another run")
    return replace(board, scores=scores, usage=usage, lost=lost, notes=tuple(dict.fromkeys(notes)))


def _beside(record: Record, entry: Mapping[str, Any], about: Mapping[str, Any], chains: list[int]) -> list[dict]:
    """What the task tells of the tail and of diversity at the horizon, and at generation 0 for `frozen`."""
    moments = {entry["name"]: entry["horizon"]} | ({"frozen": 0} if entry["name"] == "none" else {})
    return [
        {"task": entry["task"], "entry": name, "seed": seed, "what": what, "value": value}
        for what in ("tail", "diversity")
        if about.get(what)
        for name, generation in moments.items()
        for seed, value in _values(record, about[what], generation).items()
        if seed in set(chains)
    ]


def _lost(beside: pd.DataFrame, scored: set[str]) -> pd.DataFrame:
    """(task, entry, what, lost): where a mean over chains stands between `nature`, 0, and `none`, 1; at most 4, as a score
    is at least -3, and at least -4, since an excess without bound would drown the other tasks.  A chain that has no value,
    since it failed, counts 4.  Tasks in which the two do not differ by five standard errors are left out."""
    columns = ["task", "entry", "what", "lost"]
    rows = []
    if beside.empty:
        return pd.DataFrame(rows, columns=columns)
    for (task, what), piece in beside[beside.task.isin(scored)].groupby(["task", "what"]):
        table = piece.pivot(index="seed", columns="entry", values="value")
        if not {"none", "nature"} <= set(table.columns):
            continue
        gap = (table["none"] - table["nature"]).dropna()
        if len(gap) < 2 or not abs(gap.mean()) >= scoring.LEAST_GAP_ERRORS * gap.sem() > 0:
            continue
        place = (table.mean() - table["nature"].mean()) / gap.mean()
        there = table.notna().mean()
        lost = there * place.fillna(MOST_LOST).clip(-MOST_LOST, MOST_LOST) + (1 - there) * MOST_LOST
        rows += [(task, entry, what, value) for entry, value in lost.items()]
    return pd.DataFrame(rows, columns=columns)


def _without_excuses(losses: pd.DataFrame) -> pd.DataFrame:
    """A chain that was refused where others of its cell ran has failed: a method does not choose its chains."""
    skipped = losses.status == "skipped"
    partly = skipped & ~skipped.groupby([losses.task, losses.entry]).transform("all")
    return losses.assign(status=losses.status.mask(partly, "failed"))


def _joined(found: set[str]) -> list[str]:
    """blind, unless something was used somewhere."""
    used = sorted({piece for track in found for piece in track.split("+")} - {"blind"})
    return used or ["blind"]


def _values(record: Record, metric: str, generation: int) -> dict[int, float]:
    """Of each chain, by its seed."""
    rows = (record.metric == metric) & (record.generation == generation)
    return dict(zip(record.seed[rows].tolist(), record.value[rows].tolist(), strict=True))


def _tasks(told: Mapping[str, Any]) -> dict[str, scoring.Task]:
    frozen = {row["task"]: row for row in told["suite"]["calibration"]}
    return {
        name: scoring.Task(
            name, about["family"], frozen[name]["floor"], frozen[name]["gap"], frozen[name]["gap_sd"], about["log_loss"]
        )
        for name, about in told["tasks"].items()
        if name in frozen
    }


def _for_some(told: Mapping[str, Any]) -> set[str]:
    """Tasks that the suite plans for some of its entries alone."""
    methods: dict[str, set[str]] = {task: set() for task in told["tasks"]}
    for entry in told["entries"]:
        if entry["role"] == "entry":
            methods[entry["task"]].add(entry["name"])
    everyone = set().union(*methods.values())
    return {task for task, names in methods.items() if names != everyone}


def _usage(record: Record, entry: Mapping[str, Any], chains: list[int]) -> list[dict[str, Any]]:
    at = {seed: i for i, seed in enumerate(record.seeds)}
    sizes = (record.metric == "effective_size") & (record.generation == entry["horizon"])
    size = dict(zip(record.seed[sizes].tolist(), record.value[sizes].tolist(), strict=True))
    per_chain = sum(run.get("seconds", 0.0) for run in record.runs) / max(1, len(record.seeds))
    return [
        {
            "task": entry["task"],
            "entry": entry["name"],
            "seed": seed,
            "lesson": size.get(seed, math.nan) / entry["rows"],
            "seconds": per_chain,
            "machine": record.facts.get("published", "this one"),
            **{what: record.facts["ledger"][what][at[seed]] for what in COST},
            **{
                f"own_{what}": record.facts["ledger"].get(f"{what}_by_methods", [0] * len(at))[at[seed]]
                for what in COST
            },
        }
        for seed in chains
    ]


def _curve(points: Mapping[int, Mapping[int, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """log rows and log loss of one chain's learning curve."""
    sizes = [m for m in sorted(points) if seed in points[m] and points[m][seed] > 0]
    return np.log(sizes), np.log([points[m][seed] for m in sizes])


def _real_only(losses, usage, curves, tasks, beyond: set[str]) -> pd.DataFrame:
    """For every entry a control row: the learning curve at the number of unique real rows that its ledger shows."""
    rows = []
    spent = {} if usage.empty else usage.set_index(["task", "entry", "seed"]).real_unique.to_dict()
    for (task, entry, seed), m in spent.items():
        if entry in ("none", "nature") or task not in curves:
            continue
        sizes, values = _curve(curves[task], seed)
        if len(sizes) < 2:
            continue
        if tasks[task]["log_loss"]:
            values = np.exp(values)  # nats are interpolated as they are
        if not sizes[0] - 1e-9 <= math.log(max(m, 1)) <= sizes[-1] + 1e-9:
            beyond.add(entry)  # a curve is read, never prolonged: without all its chains the control has no score
            continue
        at = float(np.interp(math.log(max(m, 1)), sizes, values))
        loss = at if tasks[task]["log_loss"] else math.exp(at)
        rows.append({"task": task, "entry": REAL_ONLY + entry, "seed": seed, "loss": loss, "status": "done"})
    skipped = losses[losses.status == "skipped"]
    for task, entry in skipped[["task", "entry"]].drop_duplicates().itertuples(index=False):
        rows.append({"task": task, "entry": REAL_ONLY + entry, "seed": None, "loss": math.nan, "status": "skipped"})
    return pd.DataFrame(rows, columns=losses.columns).astype({"loss": float})


def _cost(usage: pd.DataFrame) -> pd.Series:
    """Seconds per chain as a multiple of those of `none`, geometric mean over tasks; NaN where the one ran here and the
    other stands in published records, since two machines are not compared."""
    by_task = usage.groupby(["entry", "task"]).agg({"seconds": "mean", "machine": "first"})
    seconds, machine = by_task.seconds.unstack("task"), by_task.machine.unstack("task")
    if "none" not in seconds.index:
        return pd.Series(dtype=float)
    return np.exp(np.log(seconds / seconds.loc["none"]).where(machine == machine.loc["none"]).mean(axis=1))


def _usage_by_entry(usage, losses, curves, tasks) -> pd.DataFrame:
    """Per entry the mean over chains and tasks of what it used; `effective_real` is n_e / n, geometric mean over tasks.

    n_e is the number of real rows at which the mean learning curve of real-only has the entry's mean log loss; beyond
    the measured curve its end counts.
    """
    if usage.empty:
        return usage
    out = usage.drop(columns=["task", "seed", "machine"]).groupby("entry").mean()
    out["cost"] = _cost(usage)
    ratios: dict[str, list[float]] = defaultdict(list)
    for (task, entry), piece in losses[losses.status != "skipped"].groupby(["task", "entry"]):
        curve = curves.get(task, {})
        sizes = [m for m in sorted(curve) if curve[m]]
        if len(sizes) < 2 or entry not in out.index:
            continue

        def logs(values, nats=tasks[task]["log_loss"]):
            return np.asarray(values, float) if nats else np.log(np.maximum(values, 1e-300))

        mean = np.minimum.accumulate([logs(list(curve[m].values())).mean() for m in sizes])
        whole = (piece.status == "done").all() and np.isfinite(piece.loss).all()
        reached = logs(piece.loss).mean() if whole else math.inf  # failed chains are worth no real row
        ratios[entry].append(np.interp(-reached, -mean, np.log(sizes)) - math.log(tasks[task]["rows"]))
    out["effective_real"] = pd.Series({entry: math.exp(np.mean(values)) for entry, values in ratios.items()})
    return out
