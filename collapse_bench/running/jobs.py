"""What executors share: a job, what came of it, and the running of one job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.cell import Cell
from ..records.record import Record
from ..records.store import Store
from ..status import FINISHED, Status
from .chains import CHECKPOINT_SECONDS, MEMORY, Progress, chunks, run_chains

#: endings of a whole group that halves of it may not share
_HALVED = tuple({s} for s in (Status.FAILED, Status.SKIPPED, Status.OOM, Status.OVER_BUDGET))


@dataclass(frozen=True)
class Job:
    """Chains of one cell, all within one block of seeds."""

    cell: Cell
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job: how many chains ended in which status, and the first reason where one went wrong."""

    job: Job
    statuses: dict[Status, int]
    reason: str | None
    seconds: float

    @property
    def good(self) -> bool:
        return not set(self.statuses) - set(FINISHED)


@dataclass(frozen=True)
class Options:
    """How jobs are run; none of it changes a number."""

    output: Path
    plugins: tuple[str, ...] = ()  # plugin files that workers load as well
    memory: int = MEMORY  # bytes per chunk of chains
    timeout: float | None = None  # seconds per job
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and BLAS on one thread: small batched work only spins on more, and busy cores make that 5-10x slower."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def run_job(job: Job, options: Options, progress: Progress | None = None) -> JobOutcome:
    """Run a job chunk by chunk, each written to the store as it ends."""
    store = Store(options.output)
    statuses: dict[Status, int] = {}
    reason, seconds = None, 0.0
    for record in _records(job, store, options, progress):
        store.write(record, job.cell)
        if Status.OOM not in record.facts.status:
            store.drop_checkpoint(job.cell.id, record.seeds)
        for status in record.facts.status:
            statuses[status] = statuses.get(status, 0) + 1
        reason = reason or next((r for r in record.facts.reason if r), None)
        seconds += record.runs[-1]["seconds"]
    return JobOutcome(job, statuses, reason, seconds)


def _records(
    job: Job, store: Store, options: Options, progress: Progress | None
) -> Iterator[Record]:
    """Records of the job's chains.  A group that fails, refuses or wants more memory than there is runs again in halves,
    so that a chain that goes wrong takes none of its neighbours along."""
    waiting = _chunks(job, options.memory)
    fits = (
        job.cell.incompatibility() is None
    )  # a pair that does not fit is refused for all of its chains
    while waiting:
        seeds = waiting.pop(0)
        record = run_chains(job.cell, seeds, store, progress, options.checkpoint_seconds)
        if fits and len(seeds) > 1 and set(record.facts.status) in _HALVED:
            half = len(seeds) // 2
            waiting = [seeds[:half], seeds[half:], *waiting]
        else:
            yield record


def _chunks(job: Job, memory: int) -> list[list[int]]:
    try:
        return list(chunks(job.cell, list(job.seeds), memory))
    except Exception:  # a data generator that cannot even ask: running it records why
        return [list(job.seeds)]
