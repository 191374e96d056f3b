"""One consumer of the loop: it runs chains of a cell, saves on the way, and returns their record.

Nothing that a plugin does ends the run of the others: what happened becomes the status of its chains.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .cell import SCHEMA, Cell
from .engine import Generation, generations, nature
from .errors import ContractError, OverBudget, Unfit
from .ledger import SUBSTANCES, Ledger
from .nouns import DataGenerator
from .pulse import Beat, listening
from .registry import registry
from .store import Record, Store
from .streams import Stream
from .training import merged

MEMORY = 512 * 2**20  # bytes that the rows of one chunk of chains may take
CHECKPOINT_SECONDS = 5.0  # a generation that ends later than this after the last save is saved


@dataclasses.dataclass(frozen=True)
class Moment:
    """Where a run of a cell is: ``done`` of ``total`` generations, and a step within the one under way."""

    label: str
    done: int
    total: int
    beat: Beat | None = None  # None where a generation has just ended
    seconds: float = 0.0  # since this run of the cell began
    started: float = 0.0  # the share of the work that was done when it began, where it goes on from a checkpoint

    @property
    def share(self) -> float:
        """How much of the work is done, in [0, 1], as far as steps of training tell it."""
        within = self.beat.done / max(1, self.beat.total) if self.beat is not None and self.beat.work == "fit" else 0.0
        return (self.done + within) / self.total


Progress = Callable[[Moment], None]


@dataclasses.dataclass
class _Rows:
    """Numbers collected so far, one entry per (generation, metric), each of shape (R,)."""

    generation: list[int] = dataclasses.field(default_factory=list)
    metric: list[str] = dataclasses.field(default_factory=list)
    value: list[np.ndarray] = dataclasses.field(default_factory=list)

    def add(self, t: int, metrics: dict[str, torch.Tensor], chains: int) -> None:
        for name, value in metrics.items():
            if tuple(value.shape) != (chains,):
                raise ValueError(f"{name} has shape {tuple(value.shape)}; one number per chain was due, ({chains},)")
            self.value.append(value.detach().cpu().numpy())
            self.generation.append(t)
            self.metric.append(name)

    def columns(self, seeds: list[int]) -> tuple[np.ndarray, ...]:
        """(seed, generation, metric, value), ordered by seed, then as collected."""
        m, R = len(self.metric), len(seeds)
        values = np.stack(self.value, 1).astype(np.float64, copy=False).reshape(-1) if m else np.empty(0)
        return (
            np.repeat(np.asarray(seeds, np.int64), m),
            np.tile(np.asarray(self.generation, np.int32), R),
            np.tile(np.asarray(self.metric, dtype=object), R),
            values,
        )


@dataclasses.dataclass
class _Work:
    """What the generations of this run took, and what could not be measured."""

    wall: float = 0.0  # seconds of runs that were broken off, up to the checkpoint from which this one goes on
    cpu: float = 0.0
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    accounts: list[dict[str, float]] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)

    def add(self, now: Generation) -> None:
        for name, seconds in now.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if now.teacher.account:
            self.accounts.append(dict(now.teacher.account))

    def after(self, wall: float, cpu: float) -> _Work:
        """The same with the seconds of this run counted in, and without its remarks, which the next one makes again."""
        return dataclasses.replace(self, wall=self.wall + wall, cpu=self.cpu + cpu, remarks=[])

    def told(self) -> dict[str, Any]:
        """For the account of a run: wall time by part, how training went, remarks; nothing where there is nothing to say."""
        said = {"seconds_by_part": self.seconds, "training": merged(self.accounts), "remarks": self.remarks}
        return {name: value for name, value in said.items() if value}


class _GlobalDraws:
    """Whether anybody drew from the generators that all code of a process shares, which no seed of a chain governs."""

    def __init__(self) -> None:
        self._before = self._state()

    @staticmethod
    def _state() -> tuple[bytes, bytes, int, tuple]:
        _, words, place, *_ = np.random.get_state()
        return torch.get_rng_state().numpy().tobytes(), words.tobytes(), place, random.getstate()

    def remark(self, entry: str) -> list[str]:
        if self._state() == self._before:
            return []
        return [
            f"{entry}: global random numbers were drawn (torch.rand, numpy.random or random), so that this cannot be "
            "repeated; draw from the stream that is handed in"
        ]


@dataclasses.dataclass
class _Told:
    """Tells the listener of a run where it is."""

    progress: Progress | None
    cell: Cell
    began: float
    start: int = 0  # generations that a checkpoint held
    done: int = 0

    def beat(self, beat: Beat | None) -> None:
        if self.progress is not None:
            spent, total = time.perf_counter() - self.began, self.cell.generations + 1
            self.progress(Moment(self.cell.label, self.done, total, beat, spent, self.start / total))

    def generation(self, t: int) -> None:
        self.done = t + 1
        self.beat(None)


def chunks(cell: Cell, seeds: list[int], memory: int = MEMORY) -> Iterator[list[int]]:
    """Seeds in groups whose rows fit the memory budget, going by what one row of the data generator takes.

    Chains are independent of their neighbours, so the split changes no number.
    """
    if not seeds:
        return
    row = _row_bytes(cell.data, cell.device)
    rows = sum(cell.size(t) for t in range(cell.generations + 1))  # what an accumulating protocol ends up with
    step = int(max(1, min(len(seeds), memory // max(1, row * rows))))
    for i in range(0, len(seeds), step):
        yield seeds[i : i + step]


@lru_cache(maxsize=256)
def _row_bytes(data: DataGenerator, device: str) -> int:
    stream = Stream([0], device=device)
    return 8 * (data.drawn(stream.at("truth")).ask(1, stream.at("probe"))[0].numel() + 4)


def run_chains(
    cell: Cell,
    seeds: list[int],
    store: Store | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Record:
    """Run the chains of these seeds (all within one block) and return their record.

    The store keeps checkpoints; whoever writes the record drops them then.
    """
    _ = cell.id  # worked out once for all chunks
    cell = cell.for_seeds(seeds)
    began, cpu = time.perf_counter(), time.process_time()
    rows, start, now, work = _Rows(), None, None, _Work()
    told, shared = _Told(progress, cell, began), _GlobalDraws()
    status, reason, resumed, trace, ledger = "done", None, None, None, None
    try:
        reason = cell.why_not()
        if reason is not None:
            raise Unfit(reason)
        if store is not None:
            start, rows, resumed, work = _resumed(store, cell, seeds, rows, work)
            told.start = told.done = 0 if start is None else start.t + 1
        saved = time.perf_counter()
        data = nature(cell)
        work.remarks += data.remarks()
        with listening(told.beat if progress is not None else None):
            for now in generations(cell, start, data):
                rows.add(now.t, {**data.describe(now.teacher), **now.scores, "effective_size": now.size}, len(seeds))
                work.add(now)
                told.generation(now.t)
                late = cell.model.alone or time.perf_counter() - saved >= checkpoint_seconds
                if store is not None and late and now.t < cell.generations:
                    spent = time.perf_counter() - began, time.process_time() - cpu
                    _save(store, cell, seeds, now, rows, work.after(*spent))
                    saved = time.perf_counter()
    except Unfit as refusal:
        # a pair that does not fit says so when it first meets; a method that refuses later has failed
        early = now is None or (now.t == 0 and cell.first_teacher is None)
        status, reason = "skipped" if early else "failed", str(refusal)
        ledger = getattr(refusal, "ledger", None)
    except OverBudget as problem:
        status, reason = "over-budget", f"{problem}, in generation {told.done}"
        ledger = getattr(problem, "ledger", None)
    except (torch.OutOfMemoryError, MemoryError) as problem:
        status, reason = "oom", str(problem).split("\n")[0] or "out of memory"
    except (Exception, SystemExit) as problem:
        status = "oom" if "out of memory" in str(problem).lower() else "failed"
        reason = f"{type(problem).__name__}: {problem}".split("\n")[0].rstrip(": ")
        if not isinstance(problem, ContractError):  # whose sentence says what is to be mended
            reason += _place(problem, cell)
        trace = traceback.format_exc()
        ledger = getattr(problem, "ledger", None)
    work.remarks += shared.remark(cell.entry)
    facts = _facts(cell, seeds, status, reason, now, ledger)
    run = {
        "seeds": [seeds[0], seeds[-1]],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": work.wall + time.perf_counter() - began,
        "cpu_seconds": work.cpu + time.process_time() - cpu,
        "process_peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "resumed_from": resumed,
        "device": cell.device,
        "environment": environment(),
        **work.told(),
    }
    if trace is not None:
        run["traceback"] = trace
    return Record(*rows.columns(seeds), facts, [run])


def _place(problem: BaseException, cell: Cell) -> str:
    """` (mine.py, line 12)`: the innermost line that the error came through in a plugin file, or else in the file of
    a mitigation or of another part of the cell; nothing where it came through none."""
    lines = {frame.filename: frame.lineno for frame in traceback.extract_tb(problem.__traceback__)}
    parts = [*(act for _, act in reversed(cell.acts)), cell.model, cell.data, cell.protocol]
    parts.sort(key=lambda part: not type(part).file_digest)  # those of a plugin file first
    files = [getattr(sys.modules.get(type(part).__module__), "__file__", None) for part in parts]
    return next((f" ({Path(file).name}, line {lines[file]})" for file in files if file in lines), "")


def refused(cell: Cell, seeds: list[int], status: str, reason: str) -> Record:
    """The record of chains that were not run to their end."""
    facts = _facts(cell, seeds, status, reason, None, None)
    run = {"seeds": [seeds[0], seeds[-1]], "at": datetime.now(UTC).isoformat(timespec="seconds")}
    return Record(*_Rows().columns(seeds), facts, [run])


def _resumed(store: Store, cell: Cell, seeds: list[int], rows: _Rows, work: _Work):
    match store.load_checkpoint(cell.id, seeds):
        case Generation() as start, _Rows() as saved, sources, _Work() as done if sources == cell.sources:
            return start, saved, start.t, done
    return None, rows, None, work


def _save(store: Store, cell: Cell, seeds: list[int], now: Generation, rows: _Rows, work: _Work) -> None:
    with suppress(Exception):  # a teacher that cannot be pickled, or a full disk, costs the checkpoint and not the run
        store.save_checkpoint(cell.id, seeds, (now, rows, cell.sources, work))


def _facts(
    cell: Cell,
    seeds: list[int],
    status: str,
    reason: str | None,
    now: Generation | None,
    ledger: Ledger | None,  # of the generation that went wrong, where one did
) -> dict[str, Any]:
    statuses, reasons = [status] * len(seeds), [reason] * len(seeds)
    if status == "done" and now is not None:
        starved = [False] * len(seeds) if now.starved is None else now.starved.tolist()
        for i, undefined in enumerate(now.scores[cell.data.primary].isnan().tolist()):
            if starved[i]:
                who = cell.entry if cell.mitigations else cell.protocol.title()
                statuses[i], reasons[i] = "starved", f"{who} left no row any weight, so that there was nothing to read"
            elif undefined:
                statuses[i], reasons[i] = "failed", f"{cell.data.primary} is NaN after generation {now.t}"
    ledger = ledger or (now.ledger if now is not None else None) or Ledger()
    amounts = {what: _per_chain(ledger.total(what), len(seeds)) for what in SUBSTANCES}
    amounts |= {f"{what}_by_methods": _per_chain(ledger.by_methods(what), len(seeds)) for what in SUBSTANCES}
    return {
        "schema": SCHEMA,
        "id": cell.id,
        "label": cell.label,
        "task": cell.task,
        "entry": cell.entry,
        "canonical": cell.canonical,
        "sources": cell.sources,
        "family": cell.data.family,
        "primary": cell.data.primary,
        "generations": cell.generations,
        "track": ledger.track(),
        "seeds": list(seeds),
        "status": statuses,
        "reason": reasons,
        "ledger": amounts,
        "verifiers": [[*key, calls] for key, calls in sorted(ledger.verifiers.items())],
        "external": [[*key, calls] for key, calls in sorted(ledger.external.items())],
        "theory": {"predicted": predicted(cell)},
    }


def predicted(cell: Cell) -> list[float | None] | None:
    """Expected primary loss by generation, None where it is not known; None where the cell has no law."""
    curve = _predicted(cell)
    return curve and [None if math.isnan(value) else value for value in curve]


_LAWS: dict[str, tuple[float, ...] | None] = {}


def _predicted(cell: Cell) -> tuple[float, ...] | None:
    if cell.id not in _LAWS:
        try:
            _LAWS[cell.id] = registry().predicted(cell)
        except Exception:  # a law that breaks costs the comparison, and 'predict' and 'check' tell why
            _LAWS[cell.id] = None
    return _LAWS[cell.id]


def _per_chain(amount: Any, chains: int) -> list[int]:
    values = amount.tolist() if isinstance(amount, torch.Tensor) else [amount] * chains
    return [int(v) for v in values]


@cache
def environment() -> dict[str, str]:
    """Versions and machine, for the metadata of a record."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("collapse-bench", "torch", "numpy", "scipy", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    found["threads"] = str(torch.get_num_threads())
    return found
