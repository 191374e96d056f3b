"""Choose how jobs are run.  Executors take jobs and yield outcomes; they share only the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..core.cell import Cell
from ..errors import UsageError
from ..records.record import blocks_of
from ..registry.discovery import registry
from ..suite.plan import CellPlan
from . import inline, pool
from .chains import Progress
from .jobs import Job, JobOutcome, Options


def jobs_of(steps: Iterable[CellPlan]) -> list[Job]:
    """The jobs of a plan: one per aligned block of seeds, or per seed where the model is slow."""
    return [job for step in steps for job in _jobs_of_cell(step.entry.cell, step.todo)]


def _jobs_of_cell(cell: Cell, seeds: Iterable[int]) -> Iterator[Job]:
    one_by_one = _one_chain_per_job(cell)
    for block_seeds in blocks_of(seeds).values():
        groups = [[seed] for seed in block_seeds] if one_by_one else [block_seeds]
        yield from (Job(cell, tuple(group)) for group in groups)


def _one_chain_per_job(cell: Cell) -> bool:
    try:
        return bool(cell.model.one_chain_per_job)
    except Exception:  # the model of a plugin fails; running the chains records why
        return False


def execute(
    jobs: Sequence[Job], options: Options, n_jobs: int, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run jobs in this process, or in worker processes.

    Workers are used if n_jobs > 1, if there is a time limit, or if foreign plugins take part, which
    run in processes of their own.  Only a class that was offered by itself, as in a notebook, runs
    here with n_jobs = 1: no other process can load it.  Raises UsageError where n_jobs < 1.
    """
    if n_jobs < 1:
        raise UsageError(f"n_jobs must be >= 1, got {n_jobs}")
    origins = [registry().origins(job.cell) for job in jobs]
    isolated = n_jobs > 1 or options.timeout is not None
    in_workers = isolated or any(origins)
    there: list[Job] = []
    here: list[Job] = []
    for job, some in zip(jobs, origins, strict=True):
        (there if in_workers and (isolated or some is not None) else here).append(job)
    if there:
        yield from pool.run_in_workers(there, options, n_jobs, progress)
    if here:
        yield from inline.run_here(here, options, progress)
