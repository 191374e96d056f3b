"""Choose how jobs are run.  Executors take jobs and yield outcomes; they share only the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..errors import UsageError
from ..records.record import blocks_of
from ..suite.expand import Entry
from . import inline, pool
from .chains import Progress
from .jobs import Job, JobOutcome, Options


def jobs_of(entry: Entry, seeds: Iterable[int]) -> Iterator[Job]:
    """One job per aligned block of seeds, or per seed where the model is slow."""
    for block_seeds in blocks_of(seeds).values():
        groups = (
            [[seed] for seed in block_seeds]
            if entry.cell.model.one_chain_per_job
            else [block_seeds]
        )
        yield from (Job(entry.cell, tuple(group)) for group in groups)


def execute(
    jobs: Sequence[Job], options: Options, n_jobs: int, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run jobs in this process, or in worker processes if n_jobs > 1 or there is a time limit.

    Raises UsageError where n_jobs < 1.
    """
    if n_jobs < 1:
        raise UsageError(f"n_jobs must be >= 1, got {n_jobs}")
    if jobs and (n_jobs > 1 or options.timeout is not None):
        return pool.run_in_workers(jobs, options, n_jobs, progress)
    return inline.run_here(jobs, options, progress)
