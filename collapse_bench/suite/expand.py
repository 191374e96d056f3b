"""From the settings of a suite to its cells: tasks, entries, controls and learning curves."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..core.budget import Budget
from ..core.cell import Cell
from ..core.components import Mitigation
from ..core.identity import is_none, written
from ..errors import Lacks, NothingMatched, UsageError
from ..places import DATA, data_folder, missing
from ..records.settings import SuiteModel, TaskModel
from ..registry.discovery import Registry
from ..spec import Call, CellSpec, parse_call, parse_cell, parse_mitigations
from .calibration import matching
from .model import parse_seeds

#: every task has them, and they are its zero, its upper and its lower end
CONTROLS = ("none", "nature", "trivial")


@dataclass(frozen=True)
class Entry:
    """One cell of a suite, and its role there."""

    cell: Cell
    task: str
    name: str  # the mitigations as they were given; none, nature, real-only
    role: str  # entry, control or curve (a point on the learning curve of real-only)
    skip: str | None = None  # why it is not run; None: it is

    @property
    def declined(self) -> bool:
        """Whether a mitigation chose not to run it; a control has no choice."""
        return self.role == "entry" and self.skip is not None and not isinstance(self.skip, Lacks)


@dataclass(frozen=True)
class Suite:
    """A suite with its cells built, ready to be planned and run."""

    model: SuiteModel
    entries: tuple[Entry, ...]
    path: Path | None = None  # its file; None for typed specs
    skipped_tasks: dict[str, str] = field(default_factory=dict)  # task -> why
    left_out: tuple[str, ...] = ()  # of a quick run: entries without complete records

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
    def task_ids(self) -> dict[str, str]:
        """Task -> id of its cell without a mitigation."""
        return {entry.task: entry.cell.id for entry in self.entries if entry.name == "none"}

    @property
    def methods(self) -> list[str]:
        """The entries that compete, in the order of the file."""
        return list(dict.fromkeys(entry.name for entry in self.entries if entry.role == "entry"))

    def run_list(self) -> list[Entry]:
        """The entries to run, each cell once, grouped by task."""
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
    typed: Collection[str] = (),
) -> Suite:
    """Build all cells of a suite: each task under each of its protocols, with the entries, the
    controls and the learning curve.

    budget: limits for the entries; controls have none.  typed: mitigations that a user typed, whose
    rows are named as they were written.  Raises UsageError for a spec that cannot be built, or a
    task without a protocol, NothingMatched for a suite without tasks.
    """
    if not model.tasks:
        raise NothingMatched(
            f"nothing to run in suite {model.name}: it names no task; give it a table [[tasks]] "
            "with data and model"
        )
    entries: list[Entry] = []
    skipped: dict[str, str] = {}
    for task in model.tasks:
        if _lacks_data(task):
            skipped[f"{task.data} | {task.model}"] = missing()
            continue
        named = model.mitigations if task.mitigations is None else task.mitigations
        mitigations = [registry.mitigations(text) for text in named]
        protocols = model.protocols if task.protocols is None else task.protocols
        if not protocols:
            owner = (
                f"suite {model.name}"
                if task.protocols is None
                else f"the task {task.data} | {task.model}"
            )
            raise UsageError(
                f'{owner} names no protocol; write protocols = ["replace"], or leave the key out'
            )
        for protocol in protocols:
            bare = registry.cell(_bare_spec(model, task, protocol), device=device)
            reason = _why_skipped(bare)
            if reason is not None:
                skipped[bare.label] = reason
                continue
            entries += _entries_of(bare, mitigations, registry, budget)
    # a cell that the file lists twice is run once
    shown = _shown(model, registry, typed)
    entries = [replace(e, name=shown.get(e.name, e.name)) for e in entries]
    # the control `real-only` and the points of the learning curve share a name, and no role
    unique = {(entry.task, entry.role, entry.name, entry.cell.n): entry for entry in entries}
    suite = Suite(model, tuple(unique.values()), path, skipped)
    if any(row.cell is not None for row in model.calibration):
        rows = matching(model.calibration, suite.task_ids)
        suite = replace(suite, model=model.model_copy(update={"calibration": rows}))
    return suite


def _bare_spec(model: SuiteModel, task: TaskModel, protocol: str) -> CellSpec:
    """The spec of a task under one protocol, without mitigations."""
    settings: list[tuple[str, Any]] = [
        ("n", task.n or model.n),
        ("T", model.generations if task.generations is None else task.generations),
    ]
    if task.growth:
        settings.append(("growth", task.growth))
    if task.n0 is not None:
        settings.append(("n0", task.n0))
    if task.first:
        settings.append(("first", parse_call(task.first)))
    return CellSpec(
        parse_call(task.data), parse_call(task.model), parse_call(protocol), (), tuple(settings)
    )


def _lacks_data(task: TaskModel) -> bool:
    """Whether the task reads files in the folder of real data, and that is not known."""
    texts = (task.data, task.model, task.first or "", *(task.protocols or ()))
    return data_folder() is None and any(DATA in text for text in texts)


def _shown(model: SuiteModel, registry: Registry, typed: Collection[str]) -> dict[str, str]:
    """Label of mitigations -> the name of their row, where it is another.

    The name has the parameters that are given although they have their defaults, where the text was
    typed, or is one of a sweep: several entries of one method.
    """
    lists = [model.mitigations, *(task.mitigations or [] for task in model.tasks)]
    built = {text: registry.mitigations(text) for texts in lists for text in texts}
    labels = {text: _written(acts) for text, acts in built.items()}
    methods = {label: tuple(act.title() for act in built[text]) for text, label in labels.items()}
    swept = Counter(methods.values())
    return {
        labels[text]: _written(acts, parse_mitigations(text))
        for text, acts in built.items()
        if text in typed or swept[methods[labels[text]]] > 1
    }


def typed_among(model: SuiteModel, registry: Registry, names: Collection[str]) -> set[str]:
    """The mitigations of a suite whose rows have these names because a user typed them so.

    ``names`` are those of the rows.  The result is the argument ``typed`` of ``expand``.
    """
    lists = [model.mitigations, *(task.mitigations or [] for task in model.tasks)]
    return {
        text
        for texts in lists
        for text in texts
        if _written(registry.mitigations(text), parse_mitigations(text)) in names
    }


def _written(acts: Sequence[Mitigation], calls: Sequence[Call] = ()) -> str:
    """The label of a composition, with all parameters that these calls give."""
    named = [dict(call.args) for call in calls] or [{}] * len(acts)
    return " + ".join(str(written(act, names)) for act, names in zip(acts, named, strict=True))


def _entries_of(
    bare: Cell,
    mitigations: Sequence[tuple[Any, ...]],
    registry: Registry,
    budget: Budget | None,
) -> Iterator[Entry]:
    task: str = bare.label
    controls: tuple[str, ...] = CONTROLS
    if bare.data.moves and "frozen" in registry.classes["mitigation"]:
        # a board derives it from generation 0 of none only where nature stands still
        controls = (*controls, "frozen")
    yield Entry(bare, task, "none", "control")
    for name in controls[1:]:
        cell = replace(bare, mitigations=registry.mitigations(name))
        yield Entry(cell, task, name, "control", _why_skipped(cell))
    for acts in mitigations:
        cell = replace(bare, mitigations=acts, budget=budget)
        if all(is_none(act) for act in acts) or cell.entry in controls:
            continue  # the control exists already
        if all(act.control for act in acts):
            cell = replace(cell, budget=None)
            yield Entry(cell, task, cell.entry, "control", _why_skipped(cell))
        else:
            yield Entry(cell, task, cell.entry, "entry", _why_skipped(cell))
    plain = registry.build("protocol", "replace")
    for m in curve_sizes(bare):
        cell = Cell(bare.data, bare.model, plain, (), m, 0, device=bare.device)
        yield Entry(cell, task, "real-only", "curve")


def _why_skipped(cell: Cell) -> str | None:
    """Why the parts of a cell do not fit together; None where they do.

    None also where a plugin fails to answer: running the cell records why.
    """
    try:
        return cell.incompatibility()
    except UsageError:
        return None


def curve_sizes(cell: Cell) -> list[int]:
    """Numbers of real rows at which the learning curve of real-only is measured.

    They are n times powers of two, from n / 8 up to the number of rows that a method reads in all
    generations, and at most the pool of real rows.
    """
    most = cell.rows
    pool = cell.data.pool_size or math.inf
    octaves = range(-3, max(1, math.ceil(math.log2(max(1, most / cell.n)))) + 1)
    sizes = {
        min(int(pool), round(cell.n * 2.0**j)) if pool < math.inf else round(cell.n * 2.0**j)
        for j in octaves
    }
    return sorted(m for m in sizes if m >= 2)


def typed_name(model: SuiteModel) -> str:
    """The name of a suite of typed specs: a digest of its cells, so that two share no manifest."""
    cells = model.model_dump(mode="json", exclude={"name", "seeds", "focus", "calibration"})
    for task in cells["tasks"]:
        del task["signs"]  # which changes no cell
    return f"typed-{sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:8]}"


def adhoc(specs: Iterable[str], registry: Registry) -> SuiteModel:
    """A suite from typed specs: their tasks, with their mitigations as entries.

    Raises UsageError for a spec that cannot be built, or whose parts do not fit.
    """
    tasks: dict[str, TaskModel] = {}
    for text in specs:
        spec = parse_cell(text)
        cell = registry.cell(spec)
        reason = _why_skipped(cell)
        if reason is not None:
            raise UsageError(f"{cell.label}: {reason}")
        before = (tasks[cell.task].mitigations or []) if cell.task in tasks else []
        named = (
            bool(cell.mitigations)
            and not cell.nature
            and not all(is_none(m) for m in cell.mitigations)
        )
        given = " + ".join(map(str, spec.mitigations))
        plain = cell.spec
        tasks[cell.task] = TaskModel(
            data=str(plain.data),
            model=str(plain.model),
            protocols=[str(plain.protocol)],
            mitigations=list(dict.fromkeys([*before, given] if named else before)),
            n=cell.n,
            generations=cell.generations,
            growth=cell.growth,
            n0=cell.n0,
            first=str(dict(plain.settings)["first"]) if cell.first_teacher is not None else None,
        )
    return SuiteModel(
        name="typed",
        title="Cells typed at the prompt",
        tasks=list(tasks.values()),
    )
