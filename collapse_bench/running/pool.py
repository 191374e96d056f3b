"""Run jobs in worker processes, one job at a time in each.

Workers are forked from a server that has imported everything once.  When a worker dies, for example
because the system is out of memory, its job is recorded as ``killed``.  A worker that exceeds the
time limit is killed, and its job is recorded as ``timeout``.  The other workers continue.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from ..core.cell import Cell
from ..core.components import Component
from ..core.identity import changed_names
from ..errors import UsageError, UserError
from ..records.store import Store
from ..status import Status
from .chains import Progress, ProgressEvent
from .facts import refused
from .jobs import Job, JobOutcome, Options, one_thread, run_job

INTERVAL = 0.5  # least seconds between two progress messages about one job


def _serve(pipe: Connection, options: Options) -> None:
    """The loop of a worker: receive pickled jobs and send outcomes, until the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent kills its workers
    threading.Thread(target=_follow_parent, daemon=True).start()
    sys.stdout = sys.stderr  # keeps what a plugin prints out of the output of the command
    from ..registry.discovery import registry

    with one_thread(), suppress(EOFError, ConnectionError):  # the parent has ended
        try:
            registry(options.plugins)
        except UserError as problem:
            pipe.send(("error", problem))
            return
        pipe.send(("ready", None))
        while True:
            pipe.send(_served(pipe.recv_bytes(), options, _Throttled(pipe)))


def _follow_parent() -> None:
    """End this process when the parent ends."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait([parent.sentinel])
    os._exit(1)


class _Throttled:
    """Sends progress to the parent: steps at most every ``INTERVAL`` seconds, and each generation
    that took at least as long."""

    def __init__(self, pipe: Connection):
        self.pipe, self.last, self.generation = pipe, time.monotonic(), time.monotonic()

    def __call__(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        ended = event.step is None
        send = now - (self.generation if ended else self.last) >= INTERVAL
        if ended:
            self.generation = now
        if send:
            self.last = now
            self.pipe.send(("progress", event))


def _served(packed: bytes, options: Options, progress: Progress) -> tuple[str, Any]:
    """("done", fields of the outcome), or ("error", an exception to raise in the parent)."""
    try:
        job = _unpacked(packed)
    except Exception as problem:
        if isinstance(problem, UserError):
            return "error", problem
        return "error", UsageError(f"a worker could not read its job ({problem}); {_REMEDY}")
    try:
        outcome = run_job(job, options, progress)
    except Exception as problem:  # a job could not write its record, e.g. on a full disk
        return "error", problem if isinstance(problem, OSError) else RuntimeError(repr(problem))
    return "done", (outcome.statuses, outcome.reason, outcome.seconds)


@dataclass
class _Worker:
    options: Options
    job: Job | None = None
    since: float | None = None  # when it began its job; None before it is ready
    ready: bool = False
    process: Any = field(init=False)
    pipe: Connection = field(init=False)

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["collapse_bench.running.warm"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.options), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job, packed: bytes) -> None:
        self.job, self.since = job, time.monotonic() if self.ready else None
        with suppress(ConnectionError):  # a worker that has just died; `_outcome` notices
            self.pipe.send_bytes(packed)

    def spent(self) -> float:
        """Seconds at the job, without the time that the worker took to start."""
        return 0.0 if self.since is None else time.monotonic() - self.since

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_in_workers(
    jobs: Iterable[Job], options: Options, workers: int, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run the jobs and yield their outcomes as they come.

    Raises OSError where a record could not be written, UsageError where a job cannot be sent to a
    worker.  Jobs that have not begun are then not run.
    """
    waiting = deque((job, _packed(job)) for job in jobs)
    pool = [_Worker(options) for _ in range(max(1, min(workers, len(waiting))))]
    try:
        for worker in pool:
            worker.give(*waiting.popleft())
        while busy := [(w, w.job) for w in pool if w.job is not None]:
            wait(
                [w.pipe for w, _ in busy] + [w.process.sentinel for w, _ in busy],
                timeout=_patience([w for w, _ in busy], options),
            )
            for worker, job in busy:
                outcome = _outcome(worker, job, options, progress)
                if outcome is None:
                    continue
                worker.job = None
                if not worker.process.is_alive():
                    worker.end()
                    pool[pool.index(worker)] = worker = _Worker(options)
                if waiting:
                    worker.give(*waiting.popleft())
                yield outcome
    finally:
        for worker in pool:
            worker.end()


_REMEDY = "put the plugin in a file and name it with --plugin, or use one job (--n-jobs 1)"


def _packed(job: Job) -> bytes:
    try:
        return pickle.dumps((job, _marks(job.cell)))
    except Exception as problem:
        raise UsageError(
            f"{job.cell.label} cannot be sent to a worker ({problem}); {_REMEDY}"
        ) from problem


def _marks(cell: Cell) -> dict[type[Component], tuple[str, dict[str, str]]]:
    """class -> (name, digests of its code), which a worker does not know of classes that a script
    has offered."""
    return {
        type(part): (type(part).name, dict(type(part).file_digests)) for _, part in cell.parts()
    }


def _unpacked(packed: bytes) -> Job:
    """The job.  Raises UsageError where the code of a class differs from that of the parent."""
    job: Job
    job, marks = pickle.loads(packed)
    for cls, (name, digests) in marks.items():
        loaded = cls.__dict__.get("file_digests", digests)
        if loaded != digests:  # the records would hold digests of code that did not make them
            changed = ", ".join(changed_names(loaded, digests))
            raise UsageError(f"the code of {name} was changed while it ran ({changed}); run again")
        cls.name, cls.file_digests = name, digests
    return job


def _patience(busy: list[_Worker], options: Options) -> float | None:
    """Seconds until the first job exceeds the time limit."""
    if options.timeout is None:
        return None
    return max(0.0, options.timeout - max(w.spent() for w in busy)) + 0.01


def _outcome(
    worker: _Worker, job: Job, options: Options, progress: Progress | None
) -> JobOutcome | None:
    """The outcome of the worker's job, None while it runs.

    Raises the error that the worker sent, and UsageError for a worker that could not start.
    """
    late = options.timeout is not None and worker.spent() > options.timeout
    if worker.pipe.poll():
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, ConnectionError):
            kind, content = "died", None
        if kind == "ready":
            worker.ready, worker.since = True, time.monotonic()
            return None
        if kind == "progress":
            if progress is not None:
                progress(content)
            return None
        if kind == "done":
            return JobOutcome(job, *content)
        if kind == "error":
            raise content
    elif worker.process.is_alive() and not late:
        return None
    worker.process.kill()
    worker.process.join()
    status = Status.TIMEOUT if late else Status.KILLED
    if not late and worker.process.exitcode >= 0:
        status = Status.FAILED  # the method's doing: only its code ends the process by itself
    if not worker.ready:
        raise UsageError(
            f"a worker ended before it could start (exit code {worker.process.exitcode}, see "
            "above); a script that uses workers must call run under "
            '`if __name__ == "__main__":`, since each worker imports the script'
        )
    reason = (
        f"ran longer than the limit of {options.timeout:g} s"
        if late
        else f"the worker died (exit code {worker.process.exitcode}); "
        f"{_cause(worker.process.exitcode)}"
    )
    _record_loss(job, options, status, reason)
    return JobOutcome(job, {status: len(job.seeds)}, reason, worker.spent())


def _cause(exitcode: int) -> str:
    if exitcode == -signal.SIGKILL:
        return "the system may have killed it because memory was short"
    if exitcode < 0:
        return f"signal {-exitcode} ({signal.strsignal(-exitcode)}) killed it; see its output above"
    return "the code that it ran ended the process; see its output above"


def _record_loss(job: Job, options: Options, status: Status, reason: str) -> None:
    """Record the status of the chains that the worker did not finish."""
    store = Store(options.output)
    block = store.read_or_none(job.cell.id, job.seeds[0])
    finished = set(block.finished) if block is not None else set()
    remaining = [seed for seed in job.seeds if seed not in finished]
    if remaining:
        store.write(refused(job.cell, remaining, status, reason), job.cell)
