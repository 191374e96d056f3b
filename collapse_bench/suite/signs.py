"""The grid of signs: the marked tasks of a suite at other numbers of rows and generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import NothingMatched, UserError
from ..records.settings import SuiteModel, TaskModel
from ..registry.discovery import Registry
from .expand import CONTROLS, Entry, Suite, expand

#: (row on the board, family) -> whether the grid runs this row on the tasks of the family
Wanted = Callable[[str, str], bool]


@dataclass(frozen=True)
class GridCell:
    """One of the nine cells: the marked tasks at one number of rows and of generations."""

    rows: float  # factor on n
    generations: float  # factor on T
    suite: Suite  # the tasks that can run
    places: Mapping[str, str] = field(default_factory=dict)  # task of the suite -> task here
    lacking: Mapping[str, str] = field(default_factory=dict)  # task of the suite -> why it is not


def grid_cells(
    suite: Suite,
    registry: Registry,
    factors: Sequence[tuple[float, float]],
    wanted: Wanted,
) -> list[GridCell]:
    """The cells of the grid, in the order of ``factors`` on n and T, with ``none``, ``nature``,
    ``trivial`` and the rows that are ``wanted``; their names are those of the suite.

    A task that cannot run in a cell is ``lacking`` there.  Raises NothingMatched where no task of
    the suite is marked with ``signs = true``, or none of the marked ones can run as it is.
    """
    marked = [task for task in suite.model.tasks if task.signs]
    if not marked:
        raise NothingMatched(
            f"suite {suite.name} marks no task for the grid of signs; write signs = true in the "
            "[[tasks]] tables that --signs is to run"
        )
    names = {e.cell.entry: e.name for e in suite.entries if e.role == "entry"}
    build = _Builder(suite, registry, names, wanted)
    places = [(task, protocol) for task in marked for protocol in _protocols(task, suite.model)]
    known = {}
    for task, protocol in places:
        middle, why = build(task, protocol, 1.0, 1.0)
        if middle:
            known[middle[0].task] = (task, protocol)
    if not known:
        raise NothingMatched(f"no task that suite {suite.name} marks for the grid can run: {why}")
    return [_cell_at(suite, known, build, rows, ends) for rows, ends in factors]


def _cell_at(
    suite: Suite,
    known: Mapping[str, tuple[TaskModel, str]],
    build: _Builder,
    rows: float,
    ends: float,
) -> GridCell:
    entries: list[Entry] = []
    places, lacking = {}, {}
    for name, (task, protocol) in known.items():
        some, why = build(task, protocol, rows, ends)
        if some:
            places[name] = some[0].task
            entries += some
        else:
            lacking[name] = why
    model = suite.model.model_copy(update={"calibration": []})
    return GridCell(rows, ends, Suite(model, tuple(entries), suite.path), places, lacking)


@dataclass(frozen=True)
class _Builder:
    """Builds a marked task at other numbers of rows and generations."""

    suite: Suite
    registry: Registry
    names: Mapping[str, str]  # label of an entry -> its row on the board
    wanted: Wanted

    def __call__(
        self, task: TaskModel, protocol: str, rows: float, ends: float
    ) -> tuple[list[Entry], str]:
        """(its entries, or none; why it cannot run, or "")"""
        model, first = self.suite.model, self.suite.entries[0].cell
        changed = _scaled(task, protocol, model, rows, ends)
        if isinstance(changed, str):
            return [], changed
        alone = model.model_copy(update={"tasks": [changed], "calibration": []})
        budgets = (entry.cell.budget for entry in self.suite.entries)
        budget = next((budget for budget in budgets if budget is not None), None)
        try:
            whole = expand(alone, self.registry, device=first.device, budget=budget)
        except UserError as problem:
            return [], str(problem)
        if why := next(iter(whole.skipped_tasks.values()), ""):
            return [], why
        return list(self._kept(whole)), ""

    def _kept(self, whole: Suite) -> Iterator[Entry]:
        for entry in whole.entries:
            name = self.names.get(entry.cell.entry, "") if entry.role == "entry" else entry.name
            if entry.role == "control" and name in CONTROLS:
                yield entry
            elif entry.role == "entry" and name and self.wanted(name, entry.cell.data.family):
                yield replace(entry, name=name)


def _protocols(task: TaskModel, model: SuiteModel) -> list[str]:
    return model.protocols if task.protocols is None else task.protocols


def _scaled(
    task: TaskModel, protocol: str, model: SuiteModel, rows: float, ends: float
) -> TaskModel | str:
    """The task with n and T multiplied, rounded down; a sentence where nothing is left."""
    n = task.n or model.n
    horizon = model.generations if task.generations is None else task.generations
    sizes = {"n": int(n * rows), "generations": int(horizon * ends)}
    if task.n0 is not None:
        sizes["n0"] = int(task.n0 * rows)
    if min(sizes["n"], sizes.get("n0", 1)) < 1:
        return f"{rows:g} times {n if sizes['n'] < 1 else task.n0} rows is less than one row"
    if sizes["generations"] < 1:
        return f"{ends:g} times {horizon} generation(s) is less than one generation"
    return task.model_copy(update={**sizes, "protocols": [protocol]})
