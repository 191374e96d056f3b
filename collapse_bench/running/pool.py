"""Run jobs in worker processes, one job at a time in each.

Workers are forked from a server that has imported the suite once.  A worker serves the cells of one
set of foreign plugins and loads only these, so that no plugin affects the cells of another one or
those of the suite.  When a worker dies, for example because the system is out of memory, its job is
recorded.  A worker that exceeds a time limit is killed, with all processes that it has started, and
its job is recorded as ``timeout``.  The other workers continue.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle

from ..core.cell import Cell
from ..core.components import Component
from ..core.identity import changed_names
from ..errors import PluginError, UsageError, UserError
from ..foreign.calls import LOAD_SECONDS, Broke, bounded, contained, described
from ..foreign.process import OF_LATER_IMPORTS, safe_path
from ..records.store import Store
from ..registry.discovery import Origin, loaded, registry
from ..status import Status
from .chains import Progress, ProgressEvent
from .facts import without_result
from .jobs import Job, JobOutcome, Options, one_thread, run_job

INTERVAL = 0.5  # least seconds between two progress messages about one job
CLOSING_SECONDS = 2.0  # that a worker has to end after it has closed its connection
START_SECONDS = 60.0  # time limit for starting a worker, besides loading its plugins

#: The foreign plugins that a worker loads.  None: all that the command has loaded, and the script
#: that is the main module, which holds classes that were offered by themselves.
Origins = tuple[Origin, ...] | None


# -- in the worker ---------------------------------------------------------------------------------


def _serve(
    pipe: Connection, options: Options, origins: Origins, environment: Mapping[str, str]
) -> None:
    """The loop of a worker: receive pickled jobs and send outcomes, until the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent kills its workers
    with suppress(PermissionError):  # a session leader already leads its group
        os.setpgid(0, 0)  # processes that a plugin starts are killed with the worker
    multiprocessing.current_process().daemon = False  # daemons may not start processes
    os.environ.clear()  # the server may have been started with another environment
    os.environ.update(environment)
    threading.Thread(target=_follow_parent, daemon=True).start()
    with suppress(OSError):  # stderr is closed
        os.dup2(2, 1)  # keeps what a plugin prints out of the output of the command
    sys.stdout = sys.stderr
    with one_thread(), suppress(EOFError, ConnectionError):  # the parent has ended
        try:
            if origins is None:
                registry(options.plugins, reload=True)
            else:
                loaded(origins, OF_LATER_IMPORTS)
        except UserError as problem:
            pipe.send(("unloaded", str(problem)))
            return
        pipe.send(("ready", None))
        while True:
            pipe.send(_served(pipe.recv_bytes(), options, _Throttled(pipe)))


def _follow_parent() -> None:
    """End this process, and those that it has started, when the parent ends."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait([parent.sentinel])
        try:
            os.fstat(parent.sentinel)
        except OSError:  # foreign code has closed the files of this process; the parent lives
            os._exit(1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


class _Throttled:
    """Sends progress to the parent, at most every ``INTERVAL`` seconds."""

    def __init__(self, pipe: Connection):
        self.pipe, self.last = pipe, time.monotonic()

    def __call__(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        if now - self.last >= INTERVAL:
            self.last = now
            self.pipe.send(("progress", event))


def _served(packed: bytes, options: Options, progress: Progress) -> tuple[str, Any]:
    """(kind, content) of the answer to a job.

    Content is plain data, since the parent unpickles it: the fields of the outcome for "done",
    (number, text, file) of an OSError for "unwritten", else a sentence.
    """
    try:
        with contained():
            job = _unpacked(packed)
    except Broke as broke:
        if isinstance(broke.problem, UserError):
            return "unusable", str(broke.problem)
        return "unusable", f"a worker could not read its job ({broke}); {_REMEDY}"
    try:
        outcome = run_job(job, options, progress)
    except OSError as problem:  # a job could not write its record, e.g. on a full disk
        return "unwritten", (problem.errno, str(problem.strerror or problem), problem.filename)
    except BaseException as problem:
        return "failed", described(problem)
    return "done", (outcome.statuses, outcome.reason, outcome.seconds)


# -- in the parent ---------------------------------------------------------------------------------


@dataclass
class _Worker:
    options: Options
    origins: Origins
    job: Job | None = None
    since: float = 0.0  # when it was started, or began its job
    heard: float = 0.0  # when its last message came
    ready: bool = False
    process: Any = field(init=False)
    pipe: Connection = field(init=False)

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["collapse_bench.running.warm"])
        self.pipe, theirs = context.Pipe()
        args = (theirs, self.options, self.origins, dict(os.environ))
        self.process = context.Process(target=_serve, args=args, daemon=True)
        with safe_path(), nullcontext() if self.origins is None else _without_main():
            self.process.start()
        theirs.close()

    def give(self, job: Job, packed: bytes) -> None:
        self.job = job
        self.since = self.heard = time.monotonic()
        with suppress(ConnectionError):  # a worker that has just died; `_outcome` notices
            self.pipe.send_bytes(packed)

    def allowed(self) -> tuple[float, str] | None:
        """(the moment at which it must be ended, why), or None where there is no limit.

        What the worker takes to start does not count for its job.
        """
        limit = self.options.timeout
        if not self.ready:
            load = LOAD_SECONDS + START_SECONDS
            return self.since + load, f"its plugin was not loaded within {load:g} s"
        if limit is not None:
            return self.since + limit, f"ran longer than the limit of {limit:g} s"
        if self.origins == ():
            return None
        silence = self.options.silence
        return self.heard + silence, (
            f"made no progress for {silence:g} s, the default limit for code of plugins; "
            "set another one with --timeout"
        )

    def end(self) -> None:
        """Kill the worker and all processes that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """A process that is started in the block does not import the script that starts it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Pool:
    """At most ``size`` busy workers, and the idle ones, by the plugins that they have loaded."""

    def __init__(self, options: Options, size: int):
        self.options, self.size = options, size
        self.busy: list[_Worker] = []
        self.idle: list[_Worker] = []

    def give(self, job: Job, packed: bytes) -> None:
        """Give a job to an idle worker of its plugins, or to a new one."""
        origins = registry().origins(job.cell)
        worker = next((w for w in self.idle if w.origins == origins and w.process.is_alive()), None)
        if worker is not None:
            self.idle.remove(worker)
        else:
            while len(self.idle) >= self.size:
                self.idle.pop(0).end()
            worker = _Worker(self.options, origins)
        self.busy.append(worker)
        worker.give(job, packed)

    def release(self, worker: _Worker) -> None:
        """Take back a worker whose job has ended."""
        self.busy.remove(worker)
        worker.job = None
        if worker.process.is_alive():
            self.idle.append(worker)
        else:
            worker.end()

    def wait(self) -> None:
        """Wait for a message, the end of a worker, or a time limit."""
        ends = [allowed[0] for w in self.busy if (allowed := w.allowed()) is not None]
        wait(
            [w.pipe for w in self.busy] + [w.process.sentinel for w in self.busy],
            timeout=max(0.0, min(ends) - time.monotonic()) + 0.01 if ends else None,
        )

    def end(self) -> None:
        for worker in (*self.busy, *self.idle):
            worker.end()


def run_in_workers(
    jobs: Iterable[Job], options: Options, workers: int, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run the jobs and yield their outcomes as they come.

    Raises OSError where a record could not be written, UsageError where a job without a foreign
    plugin cannot be sent to a worker.  Jobs that have not begun are then not run.
    """
    waiting: deque[tuple[Job, bytes]] = deque()
    unsent: list[tuple[Job, str]] = []
    for job in jobs:
        try:
            waiting.append((job, _packed(job)))
        except UsageError as problem:
            if not registry().origins(job.cell):
                raise
            unsent.append((job, str(problem)))
    pool = _Pool(options, max(1, workers))
    try:
        for job, reason in unsent:
            yield _recorded(job, options, Status.FAILED, reason)
        while waiting or pool.busy:
            while waiting and len(pool.busy) < pool.size:
                pool.give(*waiting.popleft())
            pool.wait()
            for worker in [*pool.busy]:
                outcome = _outcome(worker, options, progress)
                if outcome is None:
                    continue
                pool.release(worker)
                if waiting:  # before the yield, which may take long
                    pool.give(*waiting.popleft())
                yield outcome
    finally:
        with _uninterrupted():
            pool.end()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore further SIGINT in the block, so that a second Ctrl-C leaves no worker behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_REMEDY = "put the plugin in a file and name it with --plugin, or use one job (--n-jobs 1)"


def _packed(job: Job) -> bytes:
    try:
        with contained() if job.cell.foreign else nullcontext():
            return _pickled(job)
    except Broke as broke:
        raise UsageError(
            f"{job.cell.label} cannot be sent to a worker ({broke}); {_REMEDY}"
        ) from broke
    except Exception as problem:
        raise UsageError(
            f"{job.cell.label} cannot be sent to a worker ({described(problem)}); {_REMEDY}"
        ) from problem


def _pickled(job: Job) -> bytes:
    """The job for a worker.  A class that no file holds goes by value, others by their names."""
    content = job, _marks(job.cell)
    if registry().origins(job.cell) is None and any(map(_unwritten, content[1])):
        return bytes(cloudpickle.dumps(content))
    return pickle.dumps(content)


def _unwritten(cls: type[Component]) -> bool:
    """Whether no worker can import this class: it is written in a notebook or in a function."""
    module = sys.modules.get(cls.__module__)
    return "<locals>" in cls.__qualname__ or getattr(module, "__file__", None) is None


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


def _outcome(worker: _Worker, options: Options, progress: Progress | None) -> JobOutcome | None:
    """The outcome of the worker's job, None while it runs.

    Raises what keeps all jobs from running: a store that cannot be written, and a job that a worker
    of the suite's own code cannot read, or such a worker that cannot start.
    """
    limit = worker.allowed()
    late = limit is not None and time.monotonic() > limit[0]
    kind, content = _message(worker)
    if kind in ("ready", "progress"):
        _heard(worker, kind, content, progress)
        return None
    if kind == "done":
        assert worker.job is not None
        return JobOutcome(worker.job, *content)
    if kind == "unwritten":
        raise OSError(*content)
    if kind == "unusable":
        if not worker.origins:
            raise UsageError(content)
        return _lost(worker, Status.FAILED, content)
    if kind == "failed":
        return _lost(worker, Status.FAILED, content)
    if kind == "unloaded":
        if worker.origins is None:
            raise PluginError(content)
        worker.process.kill()  # it serves no jobs; a thread of the plugin may keep it alive
        worker.process.join()
        return _lost(worker, Status.FAILED, f"a worker could not load it: {content}")
    if not kind and worker.process.is_alive() and not late:
        return None
    if kind == "died":
        worker.process.join(CLOSING_SECONDS)
    closed = kind == "died" and worker.process.is_alive()
    worker.process.kill()
    worker.process.join()
    code = worker.process.exitcode
    if closed:
        return _lost(
            worker, Status.FAILED, "the code that it ran closed the files of its worker process"
        )
    if late and limit is not None:
        return _lost(worker, Status.TIMEOUT, limit[1])
    if not worker.ready and not worker.origins:
        raise UsageError(
            f"a worker ended before it could start (exit code {code}, see "
            "above); a script whose classes run in workers must call run under "
            '`if __name__ == "__main__":`, since each worker imports the script'
        )
    return _lost(worker, *_death(code))


def _message(worker: _Worker) -> tuple[str, Any]:
    """(kind, content) of the next message, ("died", None) at its end, ("", None) without one."""
    if not worker.pipe.poll():
        return "", None
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionError):
        return "died", None
    return kind, content


def _heard(worker: _Worker, kind: str, content: Any, progress: Progress | None) -> None:
    worker.heard = time.monotonic()
    if kind == "ready":
        worker.ready, worker.since = True, worker.heard
    elif progress is not None:
        progress(content)


def _death(exitcode: int) -> tuple[Status, str]:
    """The status and the reason of the chains of a worker that died."""
    words = f"the worker died (exit code {exitcode}); "
    if exitcode >= 0:  # the suite itself never ends a worker in the middle of a job
        words += "the code that it ran ended the process; see its output above"
        return Status.FAILED, words
    if exitcode == -signal.SIGKILL:
        words += "the system may have killed it because memory was short"
    else:
        name = signal.strsignal(-exitcode)
        words += f"signal {-exitcode} ({name}) killed it; see its output above"
    return Status.KILLED, words


def _lost(worker: _Worker, status: Status, reason: str) -> JobOutcome:
    """Record the status of the chains that the worker did not finish."""
    assert worker.job is not None
    return _recorded(worker.job, worker.options, status, reason, time.monotonic() - worker.since)


def _recorded(
    job: Job, options: Options, status: Status, reason: str, seconds: float = 0.0
) -> JobOutcome:
    """Record a status of the chains of a job that have no result."""
    reason = bounded(reason)
    store = Store(options.output)
    block = store.read_or_none(job.cell.id, job.seeds[0])
    finished = set(block.finished) if block is not None else set()
    remaining = [seed for seed in job.seeds if seed not in finished]
    if remaining:
        store.write(without_result(job.cell, remaining, status, reason), job.cell)
    return JobOutcome(job, {status: len(job.seeds)}, reason, seconds)
