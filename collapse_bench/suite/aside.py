"""What a run does on calibration seeds, next to the chains that a board ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UsageError
from ..records.store import Store
from ..registry.discovery import Registry
from .expand import Suite
from .model import CALIBRATION_SEEDS
from .plan import CellPlan, plan
from .signs import GridCell, grid_cells

FOLDER = "tuning"  # of these chains, in the output folder; the grid reuses those of the choice
SIGN_CHAINS = 16  # of each cell of the grid
CHOICE_CHAINS = 16  # of each configuration, to choose one; fewer where the exam has fewer

#: row of a method -> the rows of its configurations, the default first
Groups = Mapping[str, Sequence[str]]
#: row of a method -> family -> the configuration that was picked
Picks = Mapping[str, Mapping[str, str]]


def store_of(output: str | Path) -> Store:
    """The store of these chains; a run creates it."""
    return Store(Path(output).absolute() / FOLDER)


@dataclass(frozen=True)
class Choice:
    """The chains that choose a configuration of each method."""

    suite: Suite  # the configurations, `none` and `trivial`
    groups: Groups

    @property
    def seeds(self) -> Sequence[int]:
        return CALIBRATION_SEEDS[: min(CHOICE_CHAINS, len(self.suite.seeds))]

    def plan(self, store: Store) -> list[CellPlan]:
        return [_for(step, "--tune") for step in plan(self.suite, store, self.seeds)]


def choice_among(suite: Suite, groups: Groups) -> Choice:
    """The choice among the rows of a suite.

    Raises UsageError where the suite is not calibrated.
    """
    _check_calibrated(suite, "tuning")
    wanted = {"none", "trivial", *(name for names in groups.values() for name in names)}
    some = tuple(e for e in suite.entries if e.name in wanted and e.role != "curve")
    return Choice(replace(suite, entries=some), groups)


@dataclass(frozen=True)
class Grid:
    """The nine cells of the grid of signs, and the names that their rows have on the board."""

    cells: Sequence[GridCell]
    methods: Mapping[str, str] = field(default_factory=dict)  # picked configuration -> its method
    only: Sequence[str] | None = None  # the rows that it runs; None: all

    @property
    def seeds(self) -> Sequence[int]:
        return CALIBRATION_SEEDS[:SIGN_CHAINS]

    def plan(self, store: Store) -> list[CellPlan]:
        entries = tuple(entry for cell in self.cells for entry in cell.suite.entries)
        whole = replace(self.cells[0].suite, entries=entries)
        return [_for(step, "--signs") for step in plan(whole, store, self.seeds)]


def grid_of(
    suite: Suite,
    registry: Registry,
    factors: Sequence[tuple[float, float]],
    groups: Groups,
    picks: Picks,
    only: Sequence[str] | None = None,
) -> Grid:
    """The grid of the marked tasks of a suite.

    factors: on n and T, one pair per cell.  groups: the configurations of the methods.  picks: of
    the methods for which a choice was made; the others run their default.  only: the rows to run;
    None: all.  Raises NothingMatched where no marked task can run, UsageError where the suite is
    not calibrated.
    """
    _check_calibrated(suite, "the grid of signs")
    of = {name: method for method, names in groups.items() for name in names}

    def wanted(name: str, family: str) -> bool:
        method = of.get(name, name)
        if only is not None and name not in only:
            return False
        return name == picks.get(method, {}).get(family, method)

    methods = {name: method for name, method in of.items() if method in picks}
    return Grid(grid_cells(suite, registry, factors, wanted), methods, only)


def _check_calibrated(suite: Suite, what: str) -> None:
    """Raises UsageError where the suite is not calibrated."""
    if not suite.model.calibration:
        raise UsageError(
            f"suite {suite.name} is not calibrated, and {what} needs scores: run `collapse-bench "
            "suite calibrate` first"
        )


def _for(step: CellPlan, option: str) -> CellPlan:
    return replace(step, why=f"{step.why}; for {option}")
