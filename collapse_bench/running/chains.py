"""Run chains of one cell, save checkpoints on the way, and return their record.

An error in a plugin does not end the run of other cells: it becomes the status of its chains.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor

from ..core.apart import Apart
from ..core.cell import Cell
from ..core.components import DataGenerator, Model, Teacher
from ..core.content import cached_by_content, compare
from ..core.contracts import accounted, sentences
from ..core.examined import forget
from ..core.intact import replaced
from ..core.ledger import Ledger
from ..core.loop import Generation, as_judged, generations, nature
from ..core.progress import Step, listening
from ..core.replicates import merged
from ..core.rng import Stream
from ..errors import (
    ContractError,
    DataChanged,
    Declined,
    Incompatible,
    Lacking,
    Lacks,
    OverBudget,
    Unsupported,
)
from ..foreign.calls import Broke, contained, described, out_of_memory, sentence, traced
from ..foreign.process import OF_LATER_IMPORTS, RANDOM, restored
from ..records.facts import RunAccount
from ..records.record import Record
from ..records.store import Store
from ..registry.discovery import registry
from ..status import Status
from .facts import Rows, environment, facts_of
from .leftovers import Leftovers

MEMORY = 512 * 2**20  # bytes for the rows of one chunk of chains
CHECKPOINT_SECONDS = 5.0  # least time between two checkpoints


@dataclasses.dataclass(frozen=True)
class ProgressEvent:
    """Progress of one cell: ``done`` of ``total`` generations, and a step in the next one."""

    label: str
    done: int
    total: int
    step: Step | None = None  # None when a generation has just ended
    seconds: float = 0.0  # since this run of the cell began
    started: float = 0.0  # share of the work that a checkpoint held when this run began
    losses: tuple[float, ...] = ()  # mean primary loss of the generations that this run has ended

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1], measured in generations and training steps."""
        within = (
            self.step.done / max(1, self.step.total)
            if self.step is not None and self.step.work == "fit"
            else 0.0
        )
        return (self.done + within) / self.total


Progress = Callable[[ProgressEvent], None]


@dataclasses.dataclass
class _Work:
    """Time and training accounts of the generations so far, and remarks for the record."""

    wall: float = 0.0  # seconds of earlier runs, up to the checkpoint that this one resumed from
    cpu: float = 0.0  # likewise, CPU seconds
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)  # by part of the loop
    accounts: list[dict[str, float]] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)

    def add(self, now: Generation, model: str) -> None:
        for name, seconds in now.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if account := accounted(model, now.teacher):
            self.accounts.append(account)

    def after(self, wall: float, cpu: float) -> _Work:
        """What a checkpoint holds: with the seconds of this run, and without its remarks, which the
        next run makes again."""
        return dataclasses.replace(self, wall=self.wall + wall, cpu=self.cpu + cpu, remarks=[])

    def account(self) -> RunAccount:
        """Wall time by part, training and remarks for the account of a run, without empty ones."""
        account: RunAccount = {}
        if self.seconds:
            account["seconds_by_part"] = self.seconds
        if training := merged(self.accounts):
            account["training"] = training
        if self.remarks:
            account["remarks"] = self.remarks
        return account


@dataclasses.dataclass
class _Reporting:
    """Reports the progress of a run to its listener."""

    progress: Progress | None
    cell: Cell
    began: float
    start: int = 0  # generations that a checkpoint held
    done: int = 0  # generations
    raised: BaseException | None = None  # by the listener: no fault of the cell
    losses: tuple[float, ...] = ()  # of the generations of this run

    def step(self, step: Step | None) -> None:
        if self.progress is None:
            return
        spent, total = time.perf_counter() - self.began, self.cell.generations + 1
        event = ProgressEvent(
            self.cell.label, self.done, total, step, spent, self.start / total, self.losses
        )
        try:
            self.progress(event)
        except BaseException as problem:
            self.raised = problem
            raise

    def apart(self, step: Step) -> None:
        """A step of the chain that runs by itself first: a sign of progress that adds no share."""
        self.step(dataclasses.replace(step, work=f"{step.work} of one chain"))

    def generation(self, now: Generation) -> None:
        self.done = now.t + 1
        if self.progress is not None:
            loss = now.scores.get(self.cell.data.primary)
            self.losses += () if loss is None else (float(loss.double().nanmean()),)
        self.step(None)


def chunks(cell: Cell, seeds: list[int], memory: int = MEMORY) -> Iterator[list[int]]:
    """Split seeds into groups whose rows fit into ``memory`` bytes.

    The size of a row is measured on the data generator.  Chains do not depend on each other, so the
    split changes no number.
    """
    if not seeds:
        return
    row = _row_bytes(cell.data, cell.device)
    # an accumulating protocol holds the rows of all generations
    step = int(max(1, min(len(seeds), memory // max(1, row * cell.rows))))
    for i in range(0, len(seeds), step):
        yield seeds[i : i + step]


@cached_by_content(maxsize=256)
def _row_bytes(data: DataGenerator, device: str) -> int:
    stream = Stream([0], device=device)
    return 8 * (data.sample_truth(stream.at("truth")).ask(1, stream.at("probe"))[0].numel() + 4)


def run_chains(
    cell: Cell,
    seeds: list[int],
    store: Store | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Record:
    """Run the chains of these seeds, all within one block, and return their record.

    store: where checkpoints are saved; the caller drops them after writing the record.  Errors of
    plugins become the status of the chains.
    """
    return run_group(cell, seeds, store, progress, checkpoint_seconds)[0]


def run_group(
    cell: Cell,
    seeds: list[int],
    store: Store | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> tuple[Record, bool]:
    """(what ``run_chains`` returns, whether every chain by itself would be skipped like these)."""
    _ = cell.id  # computed once for all chunks
    cell = cell.for_seeds(seeds)
    foreign = cell.foreign
    began, cpu = time.perf_counter(), time.process_time()
    rows, start, now, work = Rows(), None, None, _Work()
    reporting, ending, resumed = _Reporting(progress, cell, began), _Ending(Status.DONE), None
    leftovers = Leftovers() if foreign else None
    try:
        with contained() if foreign else restored(OF_LATER_IMPORTS) as changed:
            reason = cell.incompatibility()
            if reason is not None:
                raise Incompatible(reason) if isinstance(reason, Lacks) else Declined(reason)
            if store is not None:
                start, rows, resumed, work = _resumed(store, cell, seeds, rows, work)
                reporting.start = reporting.done = 0 if start is None else start.t + 1
            saved = time.perf_counter()
            data = nature(cell)
            work.remarks += sentences(cell.data.title(), data.remarks())
            with listening(reporting.apart if progress is not None else None):
                apart = Apart(cell)
            work.remarks += apart.remarks
            with listening(reporting.step if progress is not None else None):
                for now in generations(cell, start, data):
                    apart.compare(now)
                    rows.add(now.t, _metrics(cell, data, now), len(seeds), cell.data.title())
                    work.add(now, cell.model.title())
                    reporting.generation(now)
                    late = (
                        cell.model.one_chain_per_job
                        or time.perf_counter() - saved >= checkpoint_seconds
                    )
                    if store is not None and late and now.t < cell.generations:
                        spent = time.perf_counter() - began, time.process_time() - cpu
                        _save(store, cell, seeds, now, rows, work.after(*spent))
                        saved = time.perf_counter()
            for _, part in cell.parts():
                if type(part).file_digests:  # the suite's own plugins compare whenever they read
                    compare(part)
    except Broke as broke:
        ending = _ending(broke.problem, cell, now, reporting.done)
    except (Exception, SystemExit) as problem:
        ending = _ending(problem, cell, now, reporting.done)
    finally:
        forget()
    if reporting.raised is not None:
        raise reporting.raised
    work.remarks += _changes(cell.entry, changed, foreign)
    if leftovers is not None:
        work.remarks += leftovers.remarks(cell.entry) + registry().remarks(cell)
    if patch := replaced(registry().foreign_files()):
        ending = _Ending(Status.FAILED, patch)
    facts = facts_of(cell, seeds, ending.status, ending.reason, now, ending.ledger)
    if ending.declined:
        facts = dataclasses.replace(facts, declined=(True,) * len(seeds))
    work.wall += time.perf_counter() - began
    work.cpu += time.process_time() - cpu
    account = _account(cell, work, resumed, ending.trace)
    return rows.record(seeds, facts, account), ending.every_chain


def _metrics(cell: Cell, data: DataGenerator, now: Generation) -> dict[str, Tensor]:
    """What is recorded of a generation: diagnostics, losses and the effective size, each (R,)."""
    return {
        **data.at(now.t).diagnostics(as_judged(cell, now.teacher)),
        **now.scores,
        "effective_size": now.size,
    }


def _account(cell: Cell, work: _Work, resumed: int | None, trace: str | None) -> RunAccount:
    """What a run of the chains of a cell took, and where.

    resumed: the generation of the checkpoint from which it continued.  trace: of its error.
    """
    run: RunAccount = {
        "seeds": [cell.seeds[0], cell.seeds[-1]],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": work.wall,
        "cpu_seconds": work.cpu,
        "process_peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "resumed_from": resumed,
        "device": cell.device,
        "environment": environment(),
        **work.account(),
    }
    if trace is not None:
        run["traceback"] = trace
    return run


def _changes(entry: str, changed: list[str], foreign: bool) -> list[str]:
    """Sentences about what the run changed in the process.

    Random draws are named for every cell, other settings for foreign code only: the suite's own
    code changes them where it imports a library for the first time.
    """
    remarks = []
    if set(changed) & set(RANDOM):
        remarks.append(
            f"{entry}: global random numbers were drawn (torch.rand, numpy.random or random), so "
            "this run cannot be repeated; draw from the stream that the method receives"
        )
    others = [name for name in changed if name not in RANDOM]
    if others and foreign:
        remarks.append(
            f"{entry}: the run changed {', '.join(others)}; this was undone after it, so that no "
            "other cell is affected"
        )
    return remarks


@dataclasses.dataclass(frozen=True)
class _Ending:
    """How the chains ended, and what their record says about it."""

    status: Status
    reason: str | None = None
    trace: str | None = None
    ledger: Ledger | None = None  # of the generation that was not completed
    every_chain: bool = False  # whether each chain of the cell, by itself, would be skipped as well
    declined: bool = False  # skipped by the choice of a mitigation


def _ending(problem: BaseException, cell: Cell, now: Generation | None, done: int) -> _Ending:
    """The ending that an exception stands for; ``done`` generations were complete."""
    ledger = vars(problem).get("ledger")  # no property of a plugin's exception
    ledger = ledger if isinstance(ledger, Ledger) else None
    if isinstance(problem, Incompatible):
        # parts that do not fit are skipped at generation 0; an error later is a failure
        early = now is None or (now.t == 0 and cell.first_teacher is None)
        status = Status.SKIPPED if early else Status.FAILED
        every_chain = early and isinstance(problem, Unsupported)
        declined = early and _declined(problem)
        return _Ending(status, sentence(problem), None, ledger, every_chain, declined)
    if isinstance(problem, DataChanged):  # no fault of the method: the chains are broken off
        return _Ending(Status.KILLED, sentence(problem))
    if isinstance(problem, OverBudget):
        reason = f"{sentence(problem)}, in generation {done}"
        return _Ending(Status.OVER_BUDGET, reason, None, ledger)
    if out_of_memory(problem):
        return _Ending(Status.OOM, f"out of memory: {sentence(problem)}", None, ledger)
    reason = described(problem)
    if not isinstance(problem, ContractError):  # its sentence already says what to fix
        reason += _place(problem, cell)
    return _Ending(Status.FAILED, reason, traced(problem), ledger)


def _declined(problem: Incompatible) -> bool:
    """Whether a method chose not to run: it said so, or code that is not part of the suite raised
    the error or caused it.  A part of the suite that lacks a method is no choice."""
    if isinstance(problem, Declined):
        return True
    foreign = registry().foreign_files()
    if isinstance(problem, Lacking) and problem.owner not in (Teacher, DataGenerator, Model):
        file = getattr(sys.modules.get(problem.owner.__module__), "__file__", None)
        return file in foreign
    frames = traceback.extract_tb(problem.__traceback__)
    return any(frame.filename in foreign for frame in frames)


def _place(problem: BaseException, cell: Cell) -> str:
    """` (mine.py, line 12)`: the innermost line of the traceback in the file of a part of the cell.

    Plugin files are preferred, then mitigations, then other parts.  Empty where no such file is in
    the traceback.
    """
    lines = {frame.filename: frame.lineno for frame in traceback.extract_tb(problem.__traceback__)}
    ranks = ("mitigations", "protocol.decode", "model", "data", "protocol", "first")
    parts = [
        part
        for rank in ranks
        for place, part in reversed([*cell.parts()])
        if place.startswith(rank)
    ]
    parts.sort(key=lambda part: not type(part).file_digests)  # plugin files first
    files = [getattr(sys.modules.get(type(part).__module__), "__file__", None) for part in parts]
    return next(
        (f" ({Path(file).name}, line {lines[file]})" for file in files if file in lines), ""
    )


def _resumed(
    store: Store, cell: Cell, seeds: list[int], rows: Rows, work: _Work
) -> tuple[Generation | None, Rows, int | None, _Work]:
    """(generation, rows, number of the generation, work) of a checkpoint made by the same code.

    Without one: (None, ``rows``, None, ``work``).
    """
    match store.load_checkpoint(cell.id, seeds):
        case Generation() as start, Rows() as saved, code, _Work() as done if code == cell.code:
            return start, saved, start.t, done
    return None, rows, None, work


def _save(
    store: Store, cell: Cell, seeds: list[int], now: Generation, rows: Rows, work: _Work
) -> None:
    with suppress(Exception):  # a full disk, or a teacher that cannot be pickled: run on without
        store.save_checkpoint(cell.id, seeds, (now, rows, cell.code, work))
