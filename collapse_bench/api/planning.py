"""What a run would do, before it does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..board.signs import FACTORS
from ..errors import NothingMatched, UsageError, UserError
from ..paths import named
from ..records.archive import Archive, shipped, shipped_archive, store_with
from ..records.key import why_no_key
from ..records.record import RecordReader
from ..records.store import Store
from ..records.tuning import Tuned, saved_tuning
from ..registry.discovery import registry
from ..running.execute import jobs_of
from ..running.jobs import Job
from ..suite.aside import Choice, Grid, Groups, choice_among, grid_of, store_of
from ..suite.expand import Suite
from ..suite.plan import CellPlan, Estimate, estimate
from ..suite.plan import plan as plan_cells
from ..suite.quick import thinned
from ..suite.tunings import configurations, groups_to_tune, row_name
from .arguments import listed, plugin_paths
from .loading import load_suite
from .request import RunRequest


@dataclass(frozen=True)
class RunPlan:
    """What a run would do with each cell."""

    request: RunRequest
    suite: Suite  # of a quick run: without entries that lack complete records
    steps: tuple[CellPlan, ...]
    archive: Archive | None = field(default=None, repr=False)  # published records to reuse
    choice: Choice | None = field(default=None, repr=False)  # of configurations, with ``tune``
    grid: Grid | None = field(default=None, repr=False)  # with ``signs``

    @cached_property
    def steps_aside(self) -> list[CellPlan]:
        """What ``tune`` and ``signs`` do on calibration seeds."""
        store = store_of(self.request.output)
        tuning = [] if self.choice is None else self.choice.plan(store)
        # a cell of the grid that the choice runs too has its chains then
        run = {step.entry.cell.id for step in tuning}
        signs = [] if self.grid is None else self.grid.plan(store)
        return [*tuning, *(step for step in signs if step.entry.cell.id not in run)]

    @property
    def jobs(self) -> list[Job]:
        return jobs_of([*self.steps_aside, *self.steps])

    def warning(self) -> str | None:
        """Why a cell that is interrupted would start again; None where it would not."""
        return why_no_key() if self.jobs else None

    def estimate(self) -> Estimate:
        """The CPU time of the run, from records in the output folder and the published ones."""
        stores: list[RecordReader] = [Store(self.request.output), store_of(self.request.output)]
        if shipped(self.suite.name).is_file():
            archive = shipped_archive(self.suite.name)
            with suppress(UserError):  # another file is in its place: the times are not known
                len(archive)  # reads it
                stores.append(archive)
        return estimate([*self.steps, *self.steps_aside], stores)


def plan(request: RunRequest) -> RunPlan:
    """What a run would do with each cell of its suite.  Writes nothing.

    Raises what ``load_suite`` raises, and NothingMatched where the suite has no cell to run, where
    a mitigation of the request fits no task, or where that of a quick run has nothing to compare
    with.
    """
    texts = [str(text) for text in listed(request.mitigations)]
    if request.tune and texts:
        reg = registry(plugin_paths(request.plugins))
        names = [name for text in texts for name in configurations(text, reg)]
        request = dataclasses.replace(request, mitigations=list(dict.fromkeys(names)))
    suite = load_suite(request)
    archive = archive_of(suite, request.published) if request.quick or request.published else None
    choices = () if archive is None else archive.tuning
    if request.signs and not request.tune:
        # the grid of a suite that was tuned runs what was picked
        choices = (*choices, *saved_tuning(Path(request.output), suite.name))
    if choices:
        suite = load_suite(request, choices)
    rows = [row_name(str(text), suite, registry()) for text in listed(request.mitigations)]
    if request.quick and not rows:
        raise UsageError("a quick run needs the entries to run: --quick --mitigation NAME")
    _check_fits(suite, [row_name(text, suite, registry()) for text in texts])
    only = rows if request.quick else None
    # a quick run forces its own entries, not the published ones that it compares them with
    store = store_with(request.output, archive)
    steps = plan_cells(suite, store, suite.seeds, request.force, only)
    if only is not None:
        suite, steps = thinned(suite, steps, set(only))
    choice = choice_among(suite, groups_to_tune(texts, suite, registry())) if request.tune else None
    grid = None
    if request.signs:
        # before a choice is made, each of its methods runs its default
        grid = grid_with(suite, choices, {} if choice is None else choice.groups, only)
    return RunPlan(request, suite, tuple(steps), archive, choice, grid)


def _check_fits(suite: Suite, names: Sequence[str]) -> None:
    """Raises NothingMatched where the suite has no cell, or one of these entries fits no task."""
    if not suite.entries:
        why = next(iter(suite.skipped_tasks.values()))
        raise NothingMatched(f"nothing to run in suite {suite.name}: {why}")
    for name in names:
        cells = [entry for entry in suite.entries if (entry.role, entry.name) == ("entry", name)]
        if cells and all(entry.skip is not None for entry in cells):
            raise NothingMatched(f"{name} fits no task of {suite.name}: {cells[0].skip}")


def grid_with(
    suite: Suite, choices: Sequence[Tuned], groups: Groups, only: Sequence[str] | None
) -> Grid:
    """The grid of signs with what was picked; a later choice replaces an earlier one."""
    known = {**{one.method: one.entries for one in choices}, **groups}
    picked = {one.method: one.picks for one in choices}
    return grid_of(suite, registry(), FACTORS, known, picked, only)


def archive_of(suite: Suite, published: str | Path | None = None) -> Archive:
    """The published records of a suite: the file ``published``, or else the one that ships with
    this package.

    Raises UsageError where there is no such file.
    """
    archive = (
        shipped_archive(suite.name)
        if published is None
        else Archive(named(published, "the published records"))
    )
    if not archive.path.is_file():
        raise UsageError(
            f"there are no published records of suite {suite.name} at {archive.path}; "
            "name their file with --published, or run without --quick"
        )
    return archive
