"""Suites: named tasks, the entries that compete on them, and what calibration froze; and the plan of a run.

A task is a cell without mitigations.  The harness adds the controls `none`, `nature` and the learning curve of
`real-only`; `frozen` is read off none's generation 0.
"""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .budget import Budget
from .cell import SCHEMA, Cell, is_none
from .errors import NothingMatched, UsageError
from .registry import Registry, nearest
from .spec import CellSpec, parse_call, parse_cell
from .store import Damaged, Store, blocks_of, replace_file

CALIBRATION_SEEDS = range(1_000_000, 1_000_256)  # chains set apart: no suite ranks them
MOST_CHAINS = 1_000_000
DATA = "$COLLAPSE_BENCH_DATA"  # in a suite file: the folder of real data, which every user has elsewhere
MARK = "# -- calibration, written by `collapse-bench suite calibrate`; do not edit --"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskModel(_Strict):
    """One [[tasks]] table: a data generator and a model, under several protocols."""

    data: str
    model: str
    protocols: list[str] | None = None  # default: those of the suite
    mitigations: list[str] | None = None  # likewise
    n: int | None = Field(None, ge=1)
    generations: int | None = Field(None, ge=0)
    growth: float = Field(0.0, ge=0)
    first: str | None = None


class Calibration(_Strict):
    """One [[calibration]] table: what `suite calibrate` froze for a task."""

    task: str
    floor: float  # r_k, in units of the loss
    gap: float  # G_k, mean over chains of log(none + r) - log(nature + r)
    gap_sd: float  # standard deviation of that difference over chains
    chains: int


class SuiteModel(_Strict):
    """A suite file."""

    name: str = Field(pattern=r"^[A-Za-z][\w.-]*$")
    version: int = Field(1, ge=1)
    title: str = ""
    seeds: str = "0:32"
    generations: int = Field(10, ge=0)
    n: int = Field(100, ge=1)
    protocols: list[str] = ["replace"]
    mitigations: list[str] = []
    focus: str | None = None  # the entry that is compared with all others, named before the run
    tasks: list[TaskModel] = []
    calibration: list[Calibration] = []


@dataclass(frozen=True)
class Entry:
    """One cell of a suite, and the part it plays."""

    cell: Cell
    task: str
    name: str  # the label of the mitigations; none, nature, real-only
    role: str  # entry, control or curve (a point of real-only's learning curve)
    skip: str | None = None  # why it takes no part


@dataclass(frozen=True)
class Suite:
    """A parsed suite: its settings, its cells, where it came from."""

    model: SuiteModel
    entries: tuple[Entry, ...]
    path: Path | None = None
    skipped_tasks: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # of a quick run: entries of which no record was found

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def seeds(self) -> list[int]:
        return parse_seeds(self.model.seeds)

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(entry.task for entry in self.entries))

    @property
    def methods(self) -> list[str]:
        """The entries that compete, in the order of the file."""
        return list(dict.fromkeys(entry.name for entry in self.entries if entry.role == "entry"))

    def run_list(self) -> list[Entry]:
        """The entries to run, each cell once, those of one task together."""
        seen: set[str] = set()
        unique = []
        for entry in self.entries:
            if entry.skip is None and entry.cell.id not in seen:
                seen.add(entry.cell.id)
                unique.append(entry)
        return unique


def parse_seeds(text: str) -> list[int]:
    """`0:64` is 0 .. 63, `5` is one seed, `0:4,10:12` joins two ranges."""
    ranges = []
    try:
        for piece in text.split(","):
            first, colon, last = piece.strip().partition(":")
            ranges.append(range(int(first), int(last) if colon else int(first) + 1))
    except ValueError:
        ranges = []
    if not all(ranges) or not ranges or min(r.start for r in ranges) < 0:
        raise UsageError(f"seeds {text!r} cannot be read; write a range such as 0:64, a number, or several by commas")
    if max(r.stop for r in ranges) > 2**63 or sum(r.stop - r.start for r in ranges) > MOST_CHAINS:
        raise UsageError(f"seeds {text!r} are too many or too large: at most {MOST_CHAINS} seeds, each below 2^63")
    return sorted({seed for r in ranges for seed in r})


def read_suite(path: str | Path) -> SuiteModel:
    """Parse and validate a suite file; every fault is one sentence that names the key and the remedy."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise UsageError(f"suite file {path} is not there") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(f"suite file {path} cannot be read: {problem}") from problem
    return validated(raw, str(path))


def validated(raw: dict[str, Any], where: str) -> SuiteModel:
    """A suite from plain values."""
    try:
        return SuiteModel.model_validate(raw)
    except ValidationError as problem:
        raise UsageError(f"{where}: {_sentence(problem)}") from problem


def _sentence(problem: ValidationError) -> str:
    fault = problem.errors()[0]
    *place, key = fault["loc"]
    within = ".".join(map(str, place))
    if fault["type"] == "extra_forbidden":
        tables = {"tasks": TaskModel, "calibration": Calibration}
        model = tables.get(str(place[0]), SuiteModel) if place else SuiteModel
        return f"unknown key {key!r}{f' in {within}' if within else ''}{nearest(str(key), model.model_fields)}"
    if fault["loc"] == ("seeds",):
        return f'seeds must be text, "0:32" for 32 chains, "7" for one or "0:4,10:12" for both, got {fault["input"]!r}'
    if fault["type"] == "string_pattern_mismatch":  # the name of a suite is part of the names of files
        near = re.sub(r"[^\w.-]+", "-", fault["input"], flags=re.ASCII).lstrip("-._0123456789") or "mine"
        return (
            f"{key} must begin with a letter and go on with letters, digits, _, - and ., got {fault['input']!r}; "
            f'write {key} = "{near}"'
        )
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def find_suite(name: str, registry: Registry) -> Path:
    """A suite by name or path."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise UsageError(f"suite file {name} is not there")
        return Path(name)
    known = {path.stem: path for path in registry.suites}
    if not name.strip():
        raise UsageError(f"the name of the suite is empty; known: {', '.join(sorted(known))}")
    if name not in known:
        hint = nearest(name, known)
        spec = "" if hint.endswith("?") else "; a spec has at least 'data | model'"
        raise UsageError(f"unknown suite {name!r}{hint}{spec}")
    return known[name]


def expand(
    model: SuiteModel,
    registry: Registry,
    path: Path | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
) -> Suite:
    """All cells of a suite: every task under its protocols, every entry, the controls and the curve.

    The budget holds for the entries; controls have none.
    """
    entries: list[Entry] = []
    skipped: dict[str, str] = {}
    for task in model.tasks:
        task, lacking = _with_data(task)
        if lacking is not None:
            skipped[f"{task.data} | {task.model}"] = lacking
            continue
        named = model.mitigations if task.mitigations is None else task.mitigations
        mitigations = [registry.mitigations(text) for text in named]
        protocols = model.protocols if task.protocols is None else task.protocols
        if not protocols:
            who = f"suite {model.name}" if task.protocols is None else f"the task {task.data} | {task.model}"
            raise UsageError(f'{who} names no protocol; write protocols = ["replace"], or leave the key out')
        for protocol in protocols:
            settings = [
                ("n", task.n or model.n),
                ("T", model.generations if task.generations is None else task.generations),
            ]
            if task.growth:
                settings.append(("growth", task.growth))
            if task.first:
                settings.append(("first", parse_call(task.first)))
            spec = CellSpec(parse_call(task.data), parse_call(task.model), parse_call(protocol), (), tuple(settings))
            bare = registry.cell(spec, device=device)
            reason = bare.why_not()
            if reason is not None:
                skipped[bare.label] = reason
                continue
            entries += _entries_of(bare, mitigations, registry, budget)
    once = {(entry.task, entry.name, entry.cell.n): entry for entry in entries}  # what is written twice is run once
    return Suite(model, tuple(once.values()), path, skipped)


def _with_data(task: TaskModel) -> tuple[TaskModel, str | None]:
    """The task with ``$COLLAPSE_BENCH_DATA`` in its data and model put in full; or the task, and what is to be set."""
    if not any(DATA in text for text in (task.data, task.model)):
        return task, None
    folder = os.environ.get(DATA[1:])
    if not folder:
        return task, f"it reads files below ${DATA[1:]}, which is not set; set it to the folder that holds them"
    place = str(Path(folder).expanduser())
    return task.model_copy(update={what: getattr(task, what).replace(DATA, place) for what in ("data", "model")}), None


def _entries_of(
    bare: Cell, mitigations: Sequence[tuple[Any, ...]], registry: Registry, budget: Budget | None
) -> Iterator[Entry]:
    task = bare.label
    yield Entry(bare, task, "none", "control")
    yield Entry(replace(bare, mitigations=registry.mitigations("nature")), task, "nature", "control")
    competing = []
    for acts in mitigations:
        cell = replace(bare, mitigations=acts, budget=budget)
        if all(is_none(act) for act in acts) or cell.nature:
            continue  # a control named as an entry is there already
        competing.append(Entry(cell, task, cell.entry, "entry", cell.why_not()))
    yield from competing
    plain = registry.build("protocol", "replace")
    for m in curve_sizes(bare):
        cell = Cell(bare.data, bare.model, plain, (), m, 0, device=bare.device)
        yield Entry(cell, task, "real-only", "curve")


def curve_sizes(cell: Cell) -> list[int]:
    """Numbers of real rows at which real-only's learning curve is measured: octaves around n, up to all that a
    method could have drawn."""
    most = sum(cell.size(t) for t in range(cell.generations + 1))
    pool = cell.data.pool_size or math.inf
    octaves = range(-3, max(1, math.ceil(math.log2(max(1, most / cell.n)))) + 1)
    sizes = {min(int(pool), round(cell.n * 2.0**j)) if pool < math.inf else round(cell.n * 2.0**j) for j in octaves}
    return sorted(m for m in sizes if m >= 2)


def adhoc(specs: Iterable[str], registry: Registry) -> SuiteModel:
    """A suite from cells that were typed: their tasks, and their mitigations as entries."""
    tasks: dict[str, TaskModel] = {}
    for text in specs:
        spec = parse_cell(text)
        cell = registry.cell(spec)
        reason = cell.why_not()
        if reason is not None:
            raise UsageError(f"{cell.label}: {reason}")
        before = tasks[cell.task].mitigations if cell.task in tasks else []
        named = bool(cell.mitigations) and not cell.nature and not all(is_none(m) for m in cell.mitigations)
        written = cell.spec
        tasks[cell.task] = TaskModel(
            data=str(written.data),
            model=str(written.model),
            protocols=[str(written.protocol)],
            mitigations=list(dict.fromkeys([*before, cell.entry] if named else before)),
            n=cell.n,
            generations=cell.generations,
            growth=cell.growth,
            first=str(dict(written.settings)["first"]) if cell.first_teacher is not None else None,
        )
    return SuiteModel(
        name="typed",
        title="Cells typed at the prompt",
        tasks=list(tasks.values()),
    )


# -- the plan -------------------------------------------------------------------------------------------------------


IDLE = ("skip", "left out")  # verdicts on cells with which a run does nothing


@dataclass(frozen=True)
class Step:
    """What a run would do with one cell."""

    entry: Entry
    verdict: str  # reuse, run, stale, skip or left out
    why: str
    todo: tuple[int, ...] = ()  # seeds to run


def plan(
    suite: Suite, store: Store, seeds: Sequence[int], force: bool = False, only: Sequence[str] | None = None
) -> list[Step]:
    """For each cell: reuse what is done, run what is missing, damaged or failed, skip what does not fit.

    force: run also what is done, be it of all entries or of those named by ``only``.
    """
    labels = store.labels()
    steps = [Step(e, "skip", e.skip) for e in suite.entries if e.skip is not None]
    anew = {entry.name for entry in suite.entries if force and (only is None or entry.name in only)}
    return steps + [_step(entry, store, seeds, labels, entry.name in anew) for entry in suite.run_list()]


def _step(entry: Entry, store: Store, seeds: Sequence[int], labels: dict[str, list[str]], force: bool) -> Step:
    if force:
        return Step(entry, "run", "asked for anew", tuple(seeds))
    todo: list[int] = []
    why: list[str] = []
    edited: list[str] = []
    beyond: dict[int, str] = {}
    refused = ""
    for block, wanted in blocks_of(seeds).items():
        try:
            record = store.read(entry.cell.id, block)
        except Damaged as problem:
            todo += wanted
            why.append(str(problem))
            continue
        if record is None:
            todo += wanted
            continue
        was, is_now = record.facts.get("sources", {}), entry.cell.sources
        if was != is_now:
            edited += [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
            todo += wanted
            continue
        finished = set(record.finished)
        beyond |= record.beyond(entry.cell.limits)
        left = [seed for seed in wanted if seed not in finished]
        todo += left
        refused = refused or next(filter(None, map(record.refusals.get, wanted)), "")
        lost = sorted({status for seed, status in record.status.items() if seed in left})
        if lost:
            why.append(f"{' and '.join(lost)} last time")
    if edited:
        return Step(entry, "stale", f"the file of {' and '.join(sorted(set(edited)))} has changed since", tuple(todo))
    if not todo:
        told = f"; over budget: {next(iter(beyond.values()))}" if beyond else f"; skipped: {refused}" if refused else ""
        return Step(entry, "reuse", f"{len(seeds)} chains are there{told}")
    if len(todo) < len(seeds) and not why:
        why.append(f"{len(seeds) - len(todo)} of {len(seeds)} chains are there")
    others = [i for i in labels.get(entry.cell.label, []) if i != entry.cell.id]
    if others and len(todo) == len(seeds):
        return Step(entry, "stale", "a plugin or the schema has another version since", tuple(todo))
    return Step(entry, "run", "; ".join(why) or "no record", tuple(todo))


def estimate(steps: Sequence[Step], stores: Sequence[Store]) -> tuple[float, int]:
    """(CPU seconds that the plan will take, chains of which nothing is known), going by records of the same cell, or else
    of the same task, in these stores."""
    spent: dict[str, list[float]] = {}  # cell id, and task -> seconds per chain
    for step in steps:
        found = [s for store in stores for s in _seconds(store, step.entry.cell.id)] if step.verdict not in IDLE else []
        for key in (step.entry.cell.id, step.entry.task):
            spent.setdefault(key, []).extend(found)
    total, unknown = 0.0, 0
    for step in steps:
        known = spent.get(step.entry.cell.id) or spent.get(step.entry.task)
        total += len(step.todo) * sum(known) / len(known) if known else 0.0
        unknown += 0 if known else len(step.todo)
    return total, unknown


def _seconds(store: Store, cell_id: str) -> list[float]:
    """CPU seconds per chain of what is recorded of a cell, in its first block."""
    record = store.read_or_none(cell_id, 0)
    if record is None or not set(record.finished) - set(record.refusals):
        return []
    return [sum(run.get("cpu_seconds", 0.0) for run in record.runs) / len(record.seeds)]


# -- files ----------------------------------------------------------------------------------------------------------


def to_toml(model: SuiteModel) -> str:
    """The suite as a file that parses back to the same suite."""
    plain = model.model_dump(exclude_none=True, exclude={"tasks", "calibration"})
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for task in model.tasks:
        lines += ["", "[[tasks]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in task.model_dump(exclude_none=True).items()]
    text = "\n".join(lines) + "\n"
    return with_calibration(text, model.calibration) if model.calibration else text


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def with_calibration(text: str, rows: Sequence[Calibration]) -> str:
    """The text of a suite file with its calibration part replaced."""
    body = text.split(MARK)[0].rstrip() + "\n"
    tables = [
        "[[calibration]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in row.model_dump().items())
        for row in rows
    ]
    return f"{body}\n{MARK}\n\n" + "\n\n".join(tables) + "\n"


def manifest(suite: Suite, seeds: Sequence[int]) -> dict[str, Any]:
    """What a board needs to know of a run, without any plugin: which cell plays which part."""
    entries = [
        {
            "task": entry.task,
            "name": entry.name,
            "role": entry.role,
            "id": entry.cell.id,
            "rows": entry.cell.n,
            "horizon": entry.cell.generations,
            "skip": entry.skip,
            "limits": dict(entry.cell.limits),
        }
        for entry in suite.entries
    ]
    tasks = {
        entry.task: {
            "family": entry.cell.data.family,
            "primary": entry.cell.data.primary,
            "tail": entry.cell.data.tail_metric,
            "diversity": entry.cell.data.diversity_metric,
            "log_loss": entry.cell.data.log_loss,
            "resolution": entry.cell.data.resolution,
            "rows": entry.cell.n,
        }
        for entry in suite.entries
        if entry.name == "none"
    }
    return {
        "schema": SCHEMA,
        "suite": suite.model.model_dump(),
        "seeds": list(seeds),
        "tasks": tasks,
        "skipped_tasks": suite.skipped_tasks,
        "left_out": list(suite.left_out),
        "entries": entries,
    }


def changes_of(told: dict[str, Any], registry: Registry) -> list[str]:
    """Settings in which a run (its manifest: ``told``) differs from the suite of its name, further entries apart."""
    known, run = {path.stem: path for path in registry.suites}, told["suite"]
    if run["name"] not in known:
        return []
    ours = read_suite(known[run["name"]]).model_dump()
    pairs = [(ours, run), *zip(ours["tasks"], run["tasks"], strict=False)]
    keys = ("version", "seeds", "n", "generations", "growth", "protocols", "data", "model", "first")
    changed = [key for key in keys for mine, other in pairs if mine.get(key) != other.get(key)]
    if len(ours["tasks"]) != len(run["tasks"]):
        changed.append("tasks")
    if any(entry["limits"] for entry in told["entries"]):
        changed.append("budget")
    return list(dict.fromkeys(changed))


def save_run(suite: Suite, seeds: Sequence[int], store: Store, published: Path | None = None) -> None:
    """Leave the suite and its manifest in the output folder; what was calibrated there stays calibrated.

    ``published``: the file of records that stands behind the store, if one does.
    """
    known = {row.task for row in suite.model.calibration}
    kept = [row for row in _calibrated(store.path, suite.model) if row.task in set(suite.tasks) - known]
    model = suite.model.model_copy(update={"calibration": [*suite.model.calibration, *kept]})
    replace_file(store.path / f"{suite.name}.suite.toml", to_toml(model).encode())
    told = manifest(replace(suite, model=model), seeds)
    if published is not None:
        told["published"] = str(published.absolute())
    text = json.dumps(told, indent=1)
    replace_file(store.path / f"{suite.name}.manifest.json", text.encode())


def _calibrated(output: Path, suite: SuiteModel) -> list[Calibration]:
    """What `suite calibrate` has written into the file of this suite in an output folder."""
    try:
        there = read_suite(output / f"{suite.name}.suite.toml")
    except UsageError:
        return []  # this is its first run there, or the file was edited into something else
    return there.calibration if there.version == suite.version else []


def saved_run(output: Path, name: str | None) -> dict[str, Any]:
    """The manifest that a run left in its output folder."""
    ending = ".manifest.json"
    found = {path.name.removesuffix(ending): path for path in sorted(output.glob(f"*{ending}"))}
    if not found:
        raise NothingMatched(f"{output} holds no results; run a suite with --output {output} first")
    if name is not None and name not in found:
        raise UsageError(f"{output} holds no suite {name!r}{nearest(name, found)}")
    if name is None and len(found) > 1:
        raise UsageError(f"{output} holds several suites ({', '.join(found)}); choose one with --suite")
    path = found[name] if name is not None else next(iter(found.values()))
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        schema, suite = told["schema"], SuiteModel.model_validate(told["suite"])
    except (OSError, ValueError, TypeError, KeyError) as problem:
        why = _sentence(problem) if isinstance(problem, ValidationError) else f"{type(problem).__name__}: {problem}"
        raise UsageError(f"{path} cannot be read ({why}); run the suite again, which reuses all records") from problem
    if schema != SCHEMA:
        raise UsageError(f"{path} has schema {schema}, and this version reads {SCHEMA}; run the suite again")
    rows = {row.task: row.model_dump() for row in [*suite.calibration, *_calibrated(output, suite)]}
    told["suite"]["calibration"] = list(rows.values())
    return told
