"""Runs a plan: the choice of configurations, the cells, the grid of signs."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..board.choices import choices_of
from ..board.signs import SignCell, sign_grid
from ..board.standing import Standing
from ..records.archive import store_with
from ..records.record import BLOCK, blocks_of
from ..records.signs import SignGrid, save_signs
from ..records.store import Store
from ..records.tuning import save_tuning
from ..running.bar import OnOutcome, OnPlan, watched
from ..running.chains import CHECKPOINT_SECONDS, MEMORY, Progress
from ..running.execute import execute, jobs_of
from ..running.jobs import Job, JobOutcome, Options
from ..status import BROKEN_OFF, Status
from ..suite.aside import Grid, store_of
from ..suite.manifest import manifest_of, save_run
from ..suite.plan import IDLE
from .arguments import Paths, absolute_paths
from .planning import RunPlan, grid_with, plan
from .reading import Results
from .request import RunRequest


def run(
    what: str | Path | Sequence[str],
    *,
    seeds: str | None = None,
    mitigations: str | Sequence[str] = (),
    focus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    budget: str | None = None,
    output: str | Path = "results",
    quick: bool = False,
    published: str | Path | None = None,
    force: bool = False,
    tune: bool = False,
    signs: bool = False,
    plugins: Paths = (),
    n_jobs: int = 1,
    memory: int = MEMORY,
    timeout: float | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: bool | None = None,
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Run a suite (by name or path) or typed specs.  Finished chains are reused, so the same call
    resumes an interrupted run.

    The arguments are the fields of ``RunRequest``, which documents them.  progress: whether to
    show a bar; None: in a notebook.  on_plan: called once with the plan and its jobs.  on_outcome:
    called after each job.  on_progress: called after each generation and during training.  Raises
    UsageError, PluginError or NothingMatched.  A cell that fails is recorded and does not stop the
    others.
    """
    request = RunRequest(
        what,
        seeds=seeds,
        mitigations=mitigations,
        focus=focus,
        settings=settings or {},
        device=device,
        budget=budget,
        output=output,
        quick=quick,
        published=published,
        force=force,
        tune=tune,
        signs=signs,
        plugins=plugins,
        n_jobs=n_jobs,
        memory=memory,
        timeout=timeout,
        checkpoint_seconds=checkpoint_seconds,
    )
    planned = plan(request)
    if (why := planned.warning()) is not None:
        warnings.warn(why, UserWarning, stacklevel=2)
    with watched(progress, on_plan, on_outcome, on_progress) as (planning, ending, moving):
        return run_plan(planned, on_plan=planning, on_outcome=ending, on_progress=moving)


def run_plan(
    planned: RunPlan,
    *,
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Do what a plan says; see ``run`` for the callbacks.

    Raises UsageError where the output folder cannot be written.
    """
    request, suite = planned.request, planned.suite
    Store(request.output).create()
    options = Options(
        store_of(request.output).path,
        absolute_paths(request.plugins),
        request.memory,
        request.timeout,
        request.checkpoint_seconds,
    )
    aside = bool(planned.choice or planned.grid)
    if on_plan is not None and aside:
        on_plan([*planned.steps_aside, *planned.steps], planned.jobs)

    def done(jobs: Sequence[Job], options: Options) -> Iterator[JobOutcome]:
        for outcome in execute(jobs, options, request.n_jobs, on_progress):
            yield outcome
            if on_outcome is not None:
                on_outcome(outcome)

    grid = planned.grid
    if planned.choice is not None:
        grid = _chosen(planned, lambda jobs: list(done(jobs, options)))
    # absolute, since workers have a working folder of their own
    store = store_with(Path(request.output).absolute(), planned.archive)
    for step in planned.steps:
        for block_seeds in blocks_of(suite.seeds).values():
            if step.verdict not in IDLE and not set(block_seeds) & set(step.todo):
                # a run that was killed after it wrote the record may have left the checkpoint
                store.drop_checkpoint(step.entry.cell.id, block_seeds)
    manifest = save_run(
        suite, suite.seeds, store, None if planned.archive is None else planned.archive.path
    )
    jobs = jobs_of(planned.steps)
    if on_plan is not None and not aside:
        on_plan(list(planned.steps), jobs)
    outcomes = list(done(jobs, dataclasses.replace(options, output=store.path)))
    outcomes = [_kept(outcome, store) for outcome in outcomes]
    if grid is not None:
        there = store_of(request.output).create()
        ended = [_kept(outcome, there) for outcome in done(jobs_of(grid.plan(there)), options)]
        # a chain that failed counts in its cell of the grid; one that was broken off must run again
        outcomes += [outcome for outcome in ended if set(outcome.statuses) & set(BROKEN_OFF)]
        save_signs(Path(request.output), suite.name, _signs_measured(grid, there))
    return Results(
        store.path, suite.name, tuple(outcomes), planned.steps, planned.archive, manifest
    )


def _chosen(planned: RunPlan, done: Callable[[Sequence[Job]], list[JobOutcome]]) -> Grid | None:
    """Run the configurations, store which one is best in each family, and return the grid with
    these.

    Raises UsageError where a configuration lacks chains.
    """
    choice, request, suite = planned.choice, planned.request, planned.suite
    assert choice is not None
    store = store_of(request.output).create()
    done(jobs_of(choice.plan(store)))
    made = choices_of(
        store, manifest_of(choice.suite, choice.seeds), choice.groups, len(choice.suite.seeds)
    )
    save_tuning(Path(request.output), suite.name, made)
    if planned.grid is None:
        return None
    published = () if planned.archive is None else planned.archive.tuning
    return grid_with(suite, (*published, *made), choice.groups, planned.grid.only)


def _signs_measured(grid: Grid, store: Store) -> SignGrid:
    """The scores in the cells of a grid whose chains were run."""
    cells = [
        SignCell(
            manifest_of(cell.suite, grid.seeds),
            {there: name for name, there in cell.places.items()},
            cell.lacking,
        )
        for cell in grid.cells
    ]
    return sign_grid(store, cells, grid.methods)


def _kept(outcome: JobOutcome, store: Store) -> JobOutcome:
    """The outcome of a job, a loss of its chains where its record is not in the output folder."""
    job = outcome.job
    path = store.block_path(job.cell.id, job.seeds[0] // BLOCK)
    if path.is_file():
        return outcome
    reason = (
        f"its record {path} is missing: something removed it while the command ran; run the same "
        "command again"
    )
    return dataclasses.replace(outcome, statuses={Status.KILLED: len(job.seeds)}, reason=reason)


def standing_of(planned: RunPlan) -> Callable[[JobOutcome], str] | None:
    """What tells the score of the focus row while the run goes on; None where no row is named.

    It is called with the outcome of each job, and returns the score so far as text.
    """
    row = planned.suite.model.focus
    if row is None or not planned.suite.entries:
        return None
    store = store_with(Path(planned.request.output).absolute(), planned.archive)
    manifest = manifest_of(planned.suite, planned.suite.seeds)
    standing = Standing(store, manifest, row, [job.cell.id for job in planned.jobs])
    return lambda outcome: standing.ended(outcome.job.cell.id)
