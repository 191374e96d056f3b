"""Run jobs one after another in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .chains import Progress
from .jobs import Job, JobOutcome, Options, one_thread, run_job


def run_here(
    jobs: Iterable[Job], options: Options, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run the jobs in order, on one thread, and yield their outcomes."""
    with one_thread():
        for job in jobs:
            yield run_job(job, options, progress)
