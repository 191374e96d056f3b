"""The plan of a run: which cells are reused, run or skipped, and an estimate of the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records.faults import Rejected
from ..records.record import RecordReader, blocks_of
from ..records.store import Store
from .expand import Entry, Suite
from .staleness import code_changes, version_changes

IDLE = ("skip", "left out")  # verdicts on cells that a run does not touch
#: of a run, in the order shown.  unfit: chains of the cell ran before, and its parts did not fit
VERDICTS = ("reuse", "run", "stale", "unfit", "skip", "left out")


@dataclass(frozen=True)
class CellPlan:
    """What a run would do with one cell."""

    entry: Entry
    verdict: str  # one of VERDICTS
    why: str
    todo: tuple[int, ...] = ()  # seeds to run


def plan(
    suite: Suite,
    store: Store,
    seeds: Sequence[int],
    force: bool = False,
    only: Sequence[str] | None = None,
) -> list[CellPlan]:
    """For each cell: reuse finished chains, run missing, damaged and failed ones, skip what does
    not fit.

    force: run finished chains again, of the entries named in ``only``, or of all where it is None.
    """
    known = store.cells()
    steps = [CellPlan(e, "skip", e.skip) for e in suite.entries if e.skip is not None]
    forced = {e.name for e in suite.entries if force and (only is None or e.name in only)}
    return steps + [
        _step(entry, store, seeds, known, entry.name in forced) for entry in suite.run_list()
    ]


def _step(
    entry: Entry,
    store: Store,
    seeds: Sequence[int],
    known: Mapping[str, Mapping[str, Mapping[str, Any]]],
    force: bool,
) -> CellPlan:
    if force:
        return CellPlan(entry, "run", "forced by --force", tuple(seeds))
    todo: list[int] = []
    why: list[str] = []
    edited: dict[str, None] = {}
    beyond: dict[int, str] = {}
    misfit, ran = "", 0
    for block, block_seeds in blocks_of(seeds).items():
        try:
            record = store.read(entry.cell.id, block)
        except Rejected as problem:
            todo += block_seeds
            why.append(str(problem))
            continue
        if record is None:
            todo += block_seeds
            continue
        if record.code != entry.cell.code:
            edited |= dict.fromkeys(code_changes(record.code, entry.cell.code))
            todo += block_seeds
            continue
        finished = set(record.finished)
        beyond |= record.beyond(entry.cell.limits)
        remaining = [seed for seed in block_seeds if seed not in finished]
        todo += remaining
        misfit = misfit or next(iter(record.refusals.values()), "")
        ran += len(set(record.seeds) - set(record.refusals))
        unfinished = sorted({status for seed, status in record.status.items() if seed in remaining})
        if unfinished:
            why.append(f"{' and '.join(unfinished)} last time")
    if edited:
        return CellPlan(entry, "stale", "; ".join(edited), tuple(todo))
    if misfit and not ran:
        return CellPlan(entry, "unfit", misfit, tuple(todo))
    if not todo:
        remark = (
            f"; over budget: {next(iter(beyond.values()))}"
            if beyond
            else f"; skipped: {misfit}"
            if misfit
            else ""
        )
        return CellPlan(entry, "reuse", f"{len(seeds)} chains are there{remark}")
    if len(todo) < len(seeds) and not why:
        why.append(f"{len(seeds) - len(todo)} of {len(seeds)} chains are there")
    others = {i: form for i, form in known.get(entry.cell.label, {}).items() if i != entry.cell.id}
    if others and len(todo) == len(seeds):
        changes = version_changes(entry.cell, *next(reversed(others.items())))
        return CellPlan(entry, "stale", "; ".join(changes), tuple(todo))
    return CellPlan(entry, "run", "; ".join(why) or "no record", tuple(todo))


@dataclass(frozen=True)
class Estimate:
    """CPU time that a plan will take, as far as earlier records tell it."""

    per_chain: Mapping[str, float]  # cell id -> seconds per chain, of cells whose time is known
    seconds: float  # of all chains whose time is known
    chains: int  # that the plan runs
    unknown: int  # of these, chains without a timing


def estimate(steps: Sequence[CellPlan], stores: Sequence[RecordReader]) -> Estimate:
    """Times are means over records in these stores: of the same cell, or else of its task."""
    spent: dict[str, list[float]] = {}  # cell id or task -> seconds per chain
    for step in steps:
        measured = (
            [s for store in stores for s in _seconds(store, step.entry.cell.id)]
            if step.verdict not in IDLE
            else []
        )
        for key in (step.entry.cell.id, step.entry.task):
            spent.setdefault(key, []).extend(measured)
    per_chain = {}
    for step in steps:
        if known := spent.get(step.entry.cell.id) or spent.get(step.entry.task):
            per_chain[step.entry.cell.id] = sum(known) / len(known)
        if step.verdict == "unfit":
            per_chain[step.entry.cell.id] = 0.0
    todo = Counter[str]()  # a cell may run on the seeds of the board and on calibration seeds
    for step in steps:
        todo[step.entry.cell.id] += len(step.todo)
    return Estimate(
        per_chain,
        sum(per_chain.get(cell, 0.0) * chains for cell, chains in todo.items()),
        todo.total(),
        sum(chains for cell, chains in todo.items() if cell not in per_chain),
    )


def _seconds(store: RecordReader, cell_id: str) -> list[float]:
    """[CPU seconds per chain] in the first block of a cell, [] where it is not recorded."""
    record = store.read_or_none(cell_id, 0)
    if record is None or not set(record.finished) - set(record.refusals):
        return []
    return [sum(run.get("cpu_seconds", 0.0) for run in record.runs) / len(record.seeds)]
