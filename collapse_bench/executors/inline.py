"""Run jobs one after another in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from ..runner import Progress
from .jobs import Job, Options, Outcome, run_job


def run(jobs: Iterable[Job], options: Options, progress: Progress | None = None) -> Iterator[Outcome]:
    """Outcomes in order, on one torch thread: small batched work only spins on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in jobs:
            yield run_job(job, options, progress)
    finally:
        torch.set_num_threads(threads)
