"""From a suite file to cells: every task under its protocols, its entries, controls and curve."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.budget import Budget
from ..core.cell import Cell
from ..core.identity import is_none
from ..errors import UsageError
from ..records.settings import SuiteModel, TaskModel
from ..registry.discovery import Registry
from ..spec import CellSpec, parse_call, parse_cell
from .model import parse_seeds

DATA = "$COLLAPSE_BENCH_DATA"  # in a suite file: the folder of real data, which every user has elsewhere


@dataclass(frozen=True)
class Entry:
    """One cell of a suite, and the part it plays."""

    cell: Cell
    task: str
    name: str  # the label of the mitigations; none, nature, real-only
    role: str  # entry, control or curve (a point of real-only's learning curve)
    skip: str | None = None  # why it takes no part


@dataclass(frozen=True)
class Suite:
    """A parsed suite: its settings, its cells, where it came from."""

    model: SuiteModel
    entries: tuple[Entry, ...]
    path: Path | None = None
    skipped_tasks: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # of a quick run: entries of which no record was found

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def seeds(self) -> list[int]:
        return parse_seeds(self.model.seeds)

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(entry.task for entry in self.entries))

    @property
    def methods(self) -> list[str]:
        """The entries that compete, in the order of the file."""
        return list(dict.fromkeys(entry.name for entry in self.entries if entry.role == "entry"))

    def run_list(self) -> list[Entry]:
        """The entries to run, each cell once, those of one task together."""
        seen: set[str] = set()
        unique = []
        for entry in self.entries:
            if entry.skip is None and entry.cell.id not in seen:
                seen.add(entry.cell.id)
                unique.append(entry)
        return unique


def expand(
    model: SuiteModel,
    registry: Registry,
    path: Path | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
) -> Suite:
    """All cells of a suite: every task under its protocols, every entry, the controls and the curve.

    The budget holds for the entries; controls have none.
    """
    entries: list[Entry] = []
    skipped: dict[str, str] = {}
    for task in model.tasks:
        task, lacking = _with_data(task)
        if lacking is not None:
            skipped[f"{task.data} | {task.model}"] = lacking
            continue
        named = model.mitigations if task.mitigations is None else task.mitigations
        mitigations = [registry.mitigations(text) for text in named]
        protocols = model.protocols if task.protocols is None else task.protocols
        if not protocols:
            who = (
                f"suite {model.name}"
                if task.protocols is None
                else f"the task {task.data} | {task.model}"
            )
            raise UsageError(
                f'{who} names no protocol; write protocols = ["replace"], or leave the key out'
            )
        for protocol in protocols:
            settings: list[tuple[str, Any]] = [
                ("n", task.n or model.n),
                ("T", model.generations if task.generations is None else task.generations),
            ]
            if task.growth:
                settings.append(("growth", task.growth))
            if task.first:
                settings.append(("first", parse_call(task.first)))
            spec = CellSpec(
                parse_call(task.data),
                parse_call(task.model),
                parse_call(protocol),
                (),
                tuple(settings),
            )
            bare = registry.cell(spec, device=device)
            reason = bare.incompatibility()
            if reason is not None:
                skipped[bare.label] = reason
                continue
            entries += _entries_of(bare, mitigations, registry, budget)
    once = {
        (entry.task, entry.name, entry.cell.n): entry for entry in entries
    }  # what is written twice is run once
    return Suite(model, tuple(once.values()), path, skipped)


def _with_data(task: TaskModel) -> tuple[TaskModel, str | None]:
    """The task with ``$COLLAPSE_BENCH_DATA`` in its data and model put in full; or the task, and what is to be set."""
    if not any(DATA in text for text in (task.data, task.model)):
        return task, None
    folder = os.environ.get(DATA[1:])
    if not folder:
        return (
            task,
            f"it reads files below ${DATA[1:]}, which is not set; set it to the folder that holds them",
        )
    place = str(Path(folder).expanduser())
    return task.model_copy(
        update={what: getattr(task, what).replace(DATA, place) for what in ("data", "model")}
    ), None


def _entries_of(
    bare: Cell, mitigations: Sequence[tuple[Any, ...]], registry: Registry, budget: Budget | None
) -> Iterator[Entry]:
    task = bare.label
    yield Entry(bare, task, "none", "control")
    yield Entry(
        replace(bare, mitigations=registry.mitigations("nature")), task, "nature", "control"
    )
    competing = []
    for acts in mitigations:
        cell = replace(bare, mitigations=acts, budget=budget)
        if all(is_none(act) for act in acts) or cell.nature:
            continue  # a control named as an entry is there already
        competing.append(Entry(cell, task, cell.entry, "entry", cell.incompatibility()))
    yield from competing
    plain = registry.build("protocol", "replace")
    for m in curve_sizes(bare):
        cell = Cell(bare.data, bare.model, plain, (), m, 0, device=bare.device)
        yield Entry(cell, task, "real-only", "curve")


def curve_sizes(cell: Cell) -> list[int]:
    """Numbers of real rows at which real-only's learning curve is measured: octaves around n, up to all that a
    method could have drawn."""
    most = sum(cell.size(t) for t in range(cell.generations + 1))
    pool = cell.data.pool_size or math.inf
    octaves = range(-3, max(1, math.ceil(math.log2(max(1, most / cell.n)))) + 1)
    sizes = {
        min(int(pool), round(cell.n * 2.0**j)) if pool < math.inf else round(cell.n * 2.0**j)
        for j in octaves
    }
    return sorted(m for m in sizes if m >= 2)


def adhoc(specs: Iterable[str], registry: Registry) -> SuiteModel:
    """A suite from cells that were typed: their tasks, and their mitigations as entries."""
    tasks: dict[str, TaskModel] = {}
    for text in specs:
        spec = parse_cell(text)
        cell = registry.cell(spec)
        reason = cell.incompatibility()
        if reason is not None:
            raise UsageError(f"{cell.label}: {reason}")
        before = (tasks[cell.task].mitigations or []) if cell.task in tasks else []
        named = (
            bool(cell.mitigations)
            and not cell.nature
            and not all(is_none(m) for m in cell.mitigations)
        )
        written = cell.spec
        tasks[cell.task] = TaskModel(
            data=str(written.data),
            model=str(written.model),
            protocols=[str(written.protocol)],
            mitigations=list(dict.fromkeys([*before, cell.entry] if named else before)),
            n=cell.n,
            generations=cell.generations,
            growth=cell.growth,
            first=str(dict(written.settings)["first"]) if cell.first_teacher is not None else None,
        )
    return SuiteModel(
        name="typed",
        title="Cells typed at the prompt",
        tasks=list(tasks.values()),
    )
