"""What a run does on calibration seeds, which no board ranks: the choice of configurations, and the
grid of signs.  Both keep their chains in one folder, so that the grid reuses those of the choice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .board.collect import losses_of
from .board.render import named_rows
from .board.signs import scores_by_own_units
from .errors import UsageError
from .records.signs import SignGrid
from .records.store import Store
from .records.tuning import Tuned
from .registry.discovery import Registry
from .scoring.rules import TRIVIAL
from .scoring.stability import GENERATIONS, ROWS
from .scoring.tuning import TUNED, complete, picks, tuning_fits
from .suite.expand import Suite
from .suite.manifest import manifest_of
from .suite.model import CALIBRATION_SEEDS
from .suite.plan import CellPlan
from .suite.plan import plan as plan_cells
from .suite.signs import GridCell, grid_cells

FOLDER = "tuning"  # of the chains, in the output folder
SIGN_CHAINS = 16  # of each cell of the grid

#: row of a method -> the rows of its configurations, the default first
Groups = Mapping[str, Sequence[str]]


def store_of(output: str | Path) -> Store:
    """The store of these chains; created by its first use in a run."""
    return Store(Path(output).absolute() / FOLDER)


def check_trivial(suite: Suite, what: str) -> None:
    """Raises UsageError where the suite was calibrated without `trivial`."""
    if not any(row.harm is not None for row in suite.model.calibration):
        raise UsageError(
            f"suite {suite.name} was calibrated without the control trivial; {what} needs scores: "
            "run `collapse-bench suite calibrate` first"
        )


# -- the choice of configurations ------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """The chains that choose a configuration of each method: as many as the exam has."""

    suite: Suite  # the configurations, `none` and `trivial`
    groups: Groups

    @property
    def seeds(self) -> Sequence[int]:
        return CALIBRATION_SEEDS[: len(self.suite.seeds)]

    def plan(self, store: Store) -> list[CellPlan]:
        return [_for(step, "--tune") for step in plan_cells(self.suite, store, self.seeds)]

    def made(self, store: Store) -> list[Tuned]:
        """The choices.  Raises UsageError where a configuration lacks chains."""
        losses, usage, tasks = losses_of(store, manifest_of(self.suite, self.seeds))
        if lacking := complete(losses, self.groups):
            raise UsageError("; ".join(lacking))
        chosen = picks(losses, tasks, self.groups)
        fits = tuning_fits(usage, self.groups)
        return [
            Tuned(
                method,
                tuple(names),
                {row.family: row.entry for row in named_rows(chosen) if row.method == method},
                fits[method],
            )
            for method, names in self.groups.items()
        ]


def choice_among(suite: Suite, groups: Groups) -> Choice:
    """The choice among the rows of a suite.

    Raises UsageError where the suite was calibrated without `trivial`.
    """
    check_trivial(suite, "tuning")
    wanted = {"none", TRIVIAL, *(name for names in groups.values() for name in names)}
    some = tuple(e for e in suite.entries if e.name in wanted and e.role != "curve")
    return Choice(dataclasses.replace(suite, entries=some), groups)


# -- the grid of signs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Signs:
    """The nine cells of the grid, and the names that their rows have on the board."""

    cells: Sequence[GridCell]
    tuned: Mapping[str, str] = field(default_factory=dict)  # configuration -> its tuned row
    only: Sequence[str] | None = None  # the rows that it runs; None: all

    @property
    def seeds(self) -> Sequence[int]:
        return CALIBRATION_SEEDS[:SIGN_CHAINS]

    def plan(self, store: Store) -> list[CellPlan]:
        entries = tuple(entry for cell in self.cells for entry in cell.suite.entries)
        whole = dataclasses.replace(self.cells[0].suite, entries=entries)
        return [_for(step, "--signs") for step in plan_cells(whole, store, self.seeds)]

    def measured(self, store: Store) -> SignGrid:
        """The score of each entry in each cell; None where one of its tasks cannot run."""
        middle = next(cell for cell in self.cells if (cell.rows, cell.generations) == (1, 1))
        fits = self._fits(middle)
        scores: dict[str, list[float | None]] = {entry: [] for entry in fits}
        notes: list[str] = []
        for cell in self.cells:
            found, lacking = self._scores(cell, store, notes)
            there = self._fits(cell)
            for entry, tasks in fits.items():
                value = found.get(entry, math.nan)
                runs = tasks - lacking <= there.get(entry, set()) and not tasks & lacking
                scores[entry].append(value if runs and math.isfinite(value) else None)
        return SignGrid(
            SIGN_CHAINS,
            tuple(middle.places),
            {entry: tuple(values) for entry, values in scores.items()},
            tuple(notes),
        )

    def _scores(
        self, cell: GridCell, store: Store, notes: list[str]
    ) -> tuple[dict[str, float], set[str]]:
        """(entry -> S, tasks that cannot run) of one cell.  Adds to ``notes`` why."""
        places = {there: name for name, there in cell.places.items()}
        found: dict[str, float] = {}
        unmeasured: dict[str, str] = {}
        if places:
            names = {
                (e.task, e.name): self.tuned[e.name]
                for e in cell.suite.entries
                if e.name in self.tuned
            }
            manifest = manifest_of(cell.suite, self.seeds)
            found, wrong, unscored = scores_by_own_units(store, manifest, names)
            unmeasured = {places[task]: why for task, why in wrong.items()}
            notes += [
                f"signs: at {_at(cell)}, {places[task]} is not scored: {why}"
                for task, why in unscored.items()
            ]
        lacking = {**cell.lacking, **unmeasured}
        notes += [
            f"signs: at {_at(cell)}, {task} cannot run, so that the cell agrees with none of the "
            f"entries that fit it: {why}"
            for task, why in lacking.items()
        ]
        return found, set(lacking)

    def _fits(self, cell: GridCell) -> dict[str, set[str]]:
        """Row -> the tasks of the suite that it fits in this cell."""
        places = {there: name for name, there in cell.places.items()}
        fits: dict[str, set[str]] = {}
        for entry in cell.suite.entries:
            if entry.role == "entry":
                tasks = fits.setdefault(self.tuned.get(entry.name, entry.name), set())
                if entry.skip is None or entry.declined:
                    tasks.add(places[entry.task])
        return fits


def grid_of(
    suite: Suite,
    registry: Registry,
    choices: Sequence[Tuned],
    groups: Groups,
    only: Sequence[str] | None = None,
) -> Signs:
    """The grid of the marked tasks of a suite.

    choices: what was picked; a method without one runs its default configuration.  groups: the
    configurations of the methods.  only: the rows to run; None: all.  Raises NothingMatched where
    no marked task can run, UsageError where the suite was calibrated without `trivial`.
    """
    check_trivial(suite, "the grid of signs")
    known = {choice.method: choice for choice in choices}
    of = {name: method for method, names in groups.items() for name in names}

    def wanted(name: str, family: str) -> bool:
        if only is not None and name not in only:
            return False
        method = of.get(name, name)
        picked = known[method].picks.get(family, method) if method in known else method
        return name == picked

    factors = [(rows, ends) for rows in ROWS for ends in GENERATIONS]
    tuned = {name: f"{method} {TUNED}" for name, method in of.items() if method in known}
    return Signs(grid_cells(suite, registry, factors, wanted), tuned, only)


def _at(cell: GridCell) -> str:
    return f"{cell.rows:g} n and {cell.generations:g} T"


def _for(step: CellPlan, option: str) -> CellPlan:
    return dataclasses.replace(step, why=f"{step.why}; for {option}")
