"""What executors share: a job, its outcome, and how one job is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..core.cell import Cell
from ..errors import UserError
from ..foreign.calls import contained, described
from ..records.record import Record
from ..records.store import Store
from ..status import FINISHED, Status
from .chains import CHECKPOINT_SECONDS, MEMORY, Progress, chunks, run_group
from .facts import without_result

#: 30 minutes: time limit of foreign code between two signs of progress
SILENCE = 1800.0
#: statuses of a whole group of chains that its halves may not share
_HALVED = tuple({s} for s in (Status.FAILED, Status.SKIPPED, Status.OOM, Status.OVER_BUDGET))


@dataclass(frozen=True)
class Job:
    """Chains of one cell, all within one block of seeds."""

    cell: Cell
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended."""

    job: Job
    statuses: dict[Status, int]  # status -> number of chains
    reason: str | None  # the first one given by a chain that is not done
    seconds: float

    @property
    def good(self) -> bool:
        """Whether no chain needs another run."""
        return not set(self.statuses) - set(FINISHED)


@dataclass(frozen=True)
class Options:
    """How jobs are run.  No option changes a number."""

    output: Path
    plugins: tuple[str, ...] = ()  # plugin files of the command, for workers of a script's classes
    memory: int = MEMORY  # bytes per chunk of chains
    timeout: float | None = None  # seconds per job
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    # seconds without progress after which a job of foreign code is ended, where there is no timeout
    silence: float = SILENCE


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and BLAS on one thread.

    Small batches gain nothing from more threads, and are 5 to 10 times slower on busy cores.
    """
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
    """Run a job chunk by chunk, and write each chunk to the store when it ends."""
    store = Store(options.output)
    statuses: dict[Status, int] = {}
    reason, seconds = None, 0.0
    for record in _records(job, store, options, progress):
        record = _written(record, job.cell, store)
        if Status.OOM not in record.facts.status:
            store.drop_checkpoint(job.cell.id, record.seeds)
        for status in record.facts.status:
            statuses[status] = statuses.get(status, 0) + 1
        reason = reason or next((r for r in record.facts.reason if r), None)
        seconds += record.runs[-1]["seconds"]
    return JobOutcome(job, statuses, reason, seconds)


def _written(record: Record, cell: Cell, store: Store) -> Record:
    """Write a record, or where it cannot be packed, that of its failure; returns what is written.

    Raises OSError where the store cannot be written.
    """
    try:
        store.write(record, cell)
    except (OSError, UserError):
        raise
    except Exception as problem:
        reason = f"its record cannot be written: {described(problem)}"
        record = without_result(cell, record.seeds, Status.FAILED, reason)
        store.write(record, cell)
    return record


def _records(
    job: Job, store: Store, options: Options, progress: Progress | None
) -> Iterator[Record]:
    """Run the chains of a job.

    A group that fails, is skipped, runs out of memory or exceeds a budget is run again in halves,
    so that one bad chain does not affect its neighbours.  It is not where no chain can differ: the
    parts of the cell refuse each other, or one lacks what another asks of it.
    """
    waiting = _chunks(job, options.memory)
    fits = _fits(job.cell)  # otherwise all chains have one reason
    while waiting:
        seeds = waiting.pop(0)
        record, alike = run_group(job.cell, seeds, store, progress, options.checkpoint_seconds)
        if fits and not alike and len(seeds) > 1 and set(record.facts.status) in _HALVED:
            half = len(seeds) // 2
            waiting = [seeds[:half], seeds[half:], *waiting]
        else:
            yield record


def _fits(cell: Cell) -> bool:
    try:
        with contained() if cell.foreign else nullcontext():
            return cell.incompatibility() is None
    except Exception:  # a plugin fails to answer; running the chains records why
        return False


def _chunks(job: Job, memory: int) -> list[list[int]]:
    try:
        with contained() if job.cell.foreign else nullcontext():
            return list(chunks(job.cell, list(job.seeds), memory))
    except Exception:  # the data generator fails; running the chains records why
        return [list(job.seeds)]
