"""The verbs of the suite as functions: what the command line does, and nothing that it cannot."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from typing import Any

import pandas as pd

from . import theory
from .board import Board
from .board.collect import board_of, frame_of, laws_of
from .core.budget import Budget
from .core.cell import Cell
from .core.components import Mitigation
from .errors import NothingMatched, UsageError
from .laws import verify
from .laws.verify import Verdict
from .papers.figure import Scale
from .papers.reproduce import reproduce as redrawn
from .records.archive import Archive, OverlayStore, publish, shipped, whole
from .records.manifest import Manifest
from .records.record import RecordReader, blocks_of
from .records.settings import Calibration
from .records.store import Store, replace_file
from .registry.discovery import Registry, registry
from .running.chains import MEMORY, Progress
from .running.execute import execute, jobs_of
from .running.jobs import Job, JobOutcome, Options
from .scoring.task import floor_and_gap
from .spec import Call, parse_call, parse_mitigations
from .status import BROKEN_OFF
from .suggest import nearest
from .suite.expand import Entry, Suite, adhoc, expand
from .suite.manifest import changes_of, entry_of, save_run, saved_run
from .suite.model import (
    CALIBRATION_SEEDS,
    find_suite,
    parse_seeds,
    read_suite,
    validated,
    with_calibration,
)
from .suite.plan import IDLE, CellPlan, estimate, plan
from .suite.staleness import Outdated, outdated

Some = str | Path | Sequence[str | Path]  # one file, or several


@dataclass(frozen=True)
class Results:
    """What a run left behind; a view of the store, which can be opened again with ``results(path)``."""

    output: Path
    suite: str
    outcomes: tuple[JobOutcome, ...] = ()
    steps: tuple[CellPlan, ...] = field(default=(), repr=False)
    archive: Archive | None = field(
        default=None, repr=False
    )  # published records that stand behind the store

    @property
    def store(self) -> Store:
        return _store(self.output, self.archive)

    @property
    def failed(self) -> list[JobOutcome]:
        """Jobs of this run with chains that failed."""
        return [outcome for outcome in self.outcomes if not outcome.good]

    def frame(self) -> pd.DataFrame:
        """Every number: task, entry, role, seed, generation, metric, value, one row each."""
        manifest = saved_run(self.output, self.suite)
        return frame_of(self.store, manifest.entries, manifest.seeds)

    def board(self, focus: str | None = None) -> Board:
        """The leaderboard of the run; its notes say which rows are older than the plugins."""
        manifest, store = saved_run(self.output, self.suite), self.store
        found = board_of(store, manifest, focus)
        older = outdated(manifest, found.codes, store, registry(()))
        notes = [*found.notes, *older.sentences(), *older.doubts()]
        if older.cells:
            notes.append(f"bring them up to date with: {_run_again(self.output, manifest, older)}")
        return dataclasses.replace(found, notes=tuple(notes))

    def draw(self, path: str | Path) -> Path:
        """Loss against generation for every task and entry, dashed what a law predicts, to a PNG, SVG or PDF file."""
        from .board.curves import draw_curves

        manifest = saved_run(self.output, self.suite)
        primary = {name: task.primary for name, task in manifest.tasks.items()}
        return draw_curves(self.frame(), primary, path, laws_of(self.store, manifest))


def _run_again(output: Path, manifest: Manifest, older: Outdated) -> str:
    """The command that computes again what is older."""
    words = ["collapse-bench", "run", str(output / f"{manifest.suite.name}.suite.toml")]
    for file in dict.fromkeys(manifest.files.values()):
        words += ["--plugin", file]
    if manifest.published:
        words += ["--quick", "--published", manifest.published]
        for name in older.methods:
            words += ["--mitigation", name]
    return shlex.join([*words, "-o", str(output)])


def _store(path: str | Path, archive: Archive | None) -> Store:
    return Store(path) if archive is None else OverlayStore(path, archive)


def results(
    output: str | Path, suite: str | None = None, published: str | Path | None = None
) -> Results:
    """Open the results of an earlier run; those of a quick one together with the published records behind it."""
    manifest = saved_run(Path(output), suite)
    file = published or manifest.published
    return Results(
        Path(output), manifest.suite.name, archive=None if file is None else Archive(Path(file))
    )


def load_suite(
    what: str | Path | Sequence[str],
    reg: Registry,
    *,
    seeds: str | None = None,
    mitigations: str | Sequence[str] = (),
    focus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    budget: str | None = None,
) -> Suite:
    """A suite by name or path, or one made of typed specs, with the caller's changes in it."""
    allowed = None if budget is None else Budget.parse(budget)
    items = [str(what)] if isinstance(what, (str, Path)) else list(what)
    if not items:
        raise UsageError("name a suite or type a spec: collapse-bench run smoke")
    path = None
    if any("|" in item for item in items):
        model = adhoc(items, reg)
    elif len(items) > 1:
        raise UsageError(f"one suite at a time, got {', '.join(items)}")
    else:
        path = find_suite(items[0], reg)
        model = read_suite(path)
    changes = _settings(settings or {})
    if seeds is not None:
        changes["seeds"] = seeds
    extra = [str(m) for m in _several(mitigations)]
    if extra:
        changes["mitigations"] = list(
            dict.fromkeys([*changes.get("mitigations", model.mitigations), *extra])
        )
    focus = focus or next(iter(extra), model.focus)
    if focus is not None:
        changes["focus"] = focus = _entry_name(focus, reg)
    plain = model.model_dump()
    for task in plain["tasks"]:  # a change counts for every task
        if task["mitigations"] is not None:
            task["mitigations"] = list(dict.fromkeys([*task["mitigations"], *extra]))
        task.update({key: None for key in ("n", "generations", "protocols") if key in changes})
        if "mitigations" in (settings or {}):
            task["mitigations"] = None
    model = validated({**plain, **changes}, f"suite {model.name}")
    parse_seeds(model.seeds)
    suite = expand(model, reg, path, device, allowed)
    if suite.entries and focus is not None and focus not in suite.methods:
        raise UsageError(
            f"{focus!r} was named to be compared and does not compete{nearest(focus, suite.methods)}"
        )
    return suite


def entry_names(mitigations: str | Sequence[str], reg: Registry) -> list[str]:
    """Mitigations as a board names them."""
    return [_entry_name(str(text), reg) for text in _several(mitigations)]


def _entry_name(text: str, reg: Registry) -> str:
    from .core.identity import written

    return " + ".join(str(written(act)) for act in reg.mitigations(text))


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to a suite from values as they are typed."""
    least = {"n": 1, "generations": 0}
    read = {"protocols": parse_call, "mitigations": parse_mitigations}
    out: dict[str, Any] = {}
    for key, value in settings.items():
        if key in least:
            if not isinstance(value, int) or isinstance(value, bool) or value < least[key]:
                said = value if isinstance(value, Call) else repr(value)
                raise UsageError(f"{key} must be a whole number >= {least[key]}, got {said}")
            out[key] = value
        elif key in read:
            out[key] = [
                str(item) for item in ([value] if isinstance(value, (str, Call)) else value)
            ]
            for item in out[key]:
                read[key](item)
        else:
            raise UsageError(f"unknown setting {key!r}{nearest(key, {*least, *read})}")
    return out


def run(
    what: str | Path | Sequence[str],
    *,
    seeds: str | None = None,
    mitigations: str | Sequence[str] = (),
    output: str | Path = "results",
    n_jobs: int = 1,
    device: str = "cpu",
    plugins: Some = (),
    settings: Mapping[str, Any] | None = None,
    budget: str | None = None,
    quick: bool = False,
    published: str | Path | None = None,
    memory: int = MEMORY,
    timeout: float | None = None,
    force: bool = False,
    checkpoint_seconds: float = 5.0,
    on_plan: Callable[[list[CellPlan], list[Job]], None] | None = None,
    on_outcome: Callable[[JobOutcome], None] | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Run a suite (by name or path) or typed specs; what is done is reused, so running again is resuming.

    mitigations: specs of further entries, the first of which is the focus row of the board.  budget: what an entry may
    use per chain, `real=0.1,verifier=1000`; past it the cell is over-budget.  quick: run these entries alone, and take
    all others from the published records of the suite (or those in the file ``published``), where the versions match.
    memory: bytes for the rows of one chunk of chains.  timeout: seconds per job.  Raises UsageError, PluginError or
    NothingMatched; a cell that fails is recorded and does not stop the others.
    """
    reg = registry(_several(plugins))
    suite = load_suite(
        what,
        reg,
        seeds=seeds,
        mitigations=mitigations,
        settings=settings,
        device=device_of(device),
        budget=budget,
    )
    return run_suite(
        suite,
        output=output,
        n_jobs=n_jobs,
        plugins=plugins,
        archive=archive_of(suite, published) if quick or published else None,
        only=entry_names(mitigations, reg) if quick else None,
        memory=memory,
        timeout=timeout,
        force=force,
        checkpoint_seconds=checkpoint_seconds,
        on_plan=on_plan,
        on_outcome=on_outcome,
        on_progress=on_progress,
    )


def archive_of(suite: Suite, published: str | Path | None = None) -> Archive:
    """The published records of a suite: those that lie in the repository, or in a file that is named."""
    path = shipped(suite.name) if published is None else Path(published)
    if not path.is_file():
        raise UsageError(
            f"there are no published records of suite {suite.name} at {path}; name their file by --published, or run without --quick"
        )
    return Archive(path)


def run_suite(
    suite: Suite,
    *,
    output: str | Path = "results",
    n_jobs: int = 1,
    plugins: Some = (),
    archive: Archive | None = None,
    only: Sequence[str] | None = None,
    memory: int = MEMORY,
    timeout: float | None = None,
    force: bool = False,
    checkpoint_seconds: float = 5.0,
    on_plan: Callable[[list[CellPlan], list[Job]], None] | None = None,
    on_outcome: Callable[[JobOutcome], None] | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Run a suite that is loaded already; see ``run``.

    archive: published records, reused like one's own.  only: entries to run beside the controls; what else is not there
    already is left out.
    """
    _positive("memory", memory, "bytes")
    if timeout is not None:
        _positive("timeout", timeout, "seconds")
    if not suite.entries:
        why = next(iter(suite.skipped_tasks.values()), "it names no task")
        raise NothingMatched(f"nothing to run in suite {suite.name}: {why}")
    suite, steps = plan_run(suite, output=output, archive=archive, only=only, force=force)
    Store(output).create()
    store = _store(Path(output).absolute(), archive)  # workers have a working folder of their own
    jobs = [job for step in steps for job in jobs_of(step.entry, step.todo)]
    for step in steps:
        for wanted in blocks_of(suite.seeds).values():
            if step.verdict not in IDLE and not set(wanted) & set(step.todo):
                # a run that was killed after it wrote the record may have left the checkpoint
                store.drop_checkpoint(step.entry.cell.id, wanted)
    save_run(suite, suite.seeds, store, None if archive is None else archive.path)
    if on_plan is not None:
        on_plan(steps, jobs)
    options = Options(store.path, _absolute(plugins), memory, timeout, checkpoint_seconds)
    outcomes = []
    for outcome in execute(jobs, options, n_jobs, on_progress):
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)
    return Results(store.path, suite.name, tuple(outcomes), tuple(steps), archive)


def plan_run(
    suite: Suite,
    *,
    output: str | Path = "results",
    archive: Archive | None = None,
    only: Sequence[str] | None = None,
    force: bool = False,
) -> tuple[Suite, list[CellPlan]]:
    """The suite as it would run, and what would be done with each of its cells; see ``run_suite``.

    Raises NothingMatched where an entry of a quick run fits nowhere, or has nothing to compare
    with.
    """
    if only is not None and not only:
        raise UsageError(
            "a quick run is of the entries that you name: --mitigation NAME, beside --quick"
        )
    for name in only or ():
        mine = [entry for entry in suite.entries if entry.role == "entry" and entry.name == name]
        if mine and all(entry.skip is not None for entry in mine):
            raise NothingMatched(f"{name} fits no task of {suite.name}: {mine[0].skip}")
    # what is asked for anew in a quick run is what was named, and not what it is to stand beside
    steps = plan(suite, _store(output, archive), suite.seeds, force, only)
    return (suite, steps) if only is None else _thinned(suite, steps, set(only))


def estimate_of(suite: Suite, steps: Sequence[CellPlan], output: str | Path) -> tuple[float, int]:
    """(CPU seconds that a plan will take, chains of which nothing is known), by records there and published ones."""
    stores: list[RecordReader] = [Store(output)]
    if shipped(suite.name).is_file():
        stores.append(Archive(shipped(suite.name)))
    return estimate(steps, stores)


def _thinned(suite: Suite, steps: list[CellPlan], only: set[str]) -> tuple[Suite, list[CellPlan]]:
    """The suite with the controls, the named entries, and those of which nothing would have to be run.

    An entry stays with all its tasks or goes with all of them.  Raises NothingMatched where all others would go.
    """
    to_run = {step.entry.cell.id for step in steps if step.todo}
    older = {step.entry.name: step.why for step in steps if step.verdict == "stale"}
    missing = [
        e.name
        for e in suite.entries
        if e.role == "entry" and e.name not in only and e.cell.id in to_run
    ]
    gone = dict.fromkeys(missing)
    others = {e.name for e in suite.entries if e.role == "entry" and e.skip is None} - only
    if gone and gone.keys() >= others:
        why = next((f" ({name}: {older[name]})" for name in gone if name in older), "")
        raise NothingMatched(
            f"no record of another entry of {suite.name} has these chains, settings and versions{why}, so that a quick run "
            "has nothing to compare with; leave out --seeds and --set, or run without --quick"
        )
    entries = tuple(
        e
        for e in suite.entries
        if e.name not in gone and (e.role != "curve" or e.cell.id not in to_run)
    )
    there = {entry.cell.id for entry in entries}
    kept = [
        step
        if step.entry.cell.id in there
        else CellPlan(step.entry, "left out", _why_left_out(step))
        for step in steps
    ]
    return dataclasses.replace(suite, entries=entries, left_out=tuple(gone)), kept


def _why_left_out(step: CellPlan) -> str:
    """The records that are there are of other code, or there is no whole one."""
    return step.why if step.verdict == "stale" else "no whole record to compare with"


def publish_run(
    output: str | Path, to: str | Path, suite: str | None = None, force: bool = False
) -> list[Path]:
    """Publish a finished run: its records in one file, its board and what the numbers say, in the
    folder ``to``.

    force: in place of files that are there, with settings that are not those of the suite of this
    name, with chains that the machine broke off, of a quick run, and with records that the
    installed plugins would compute otherwise.  Raises NothingMatched where chains are missing or
    damaged, UsageError for what only ``force`` allows.
    """
    from .board.words import report

    found = results(output, suite)
    manifest, folder = saved_run(found.output, found.suite), Path(to)
    files = [folder / f"{found.suite}.parquet", folder / f"{found.suite}.md"]
    if manifest.published and not force:
        raise UsageError(
            f"{output} holds a run beside the published records {manifest.published}; run the suite without --quick, or publish "
            "both together by --force"
        )
    changed = changes_of(manifest, registry(()))
    if changed and not force:
        raise UsageError(
            f"{output} was not run as suite {found.suite} says (changed: {', '.join(changed)}); run the suite without "
            "--set, --seeds and --budget, give your own suite file a name of its own, or publish it all the same by --force"
        )
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise UsageError(
            f"{' and '.join(there)} would be replaced; choose another folder by -o, or replace by --force"
        )
    records = whole(found.store, manifest)
    codes: dict[str, list[Mapping[str, Any]]] = {}
    for record, entry in records:
        codes.setdefault(entry.id, []).append(record.code)
    older = outdated(manifest, codes, found.store, registry(()))
    if older.cells and not force:
        raise UsageError(
            f"{'; '.join(older.sentences())}; run {_run_again(found.output, manifest, older)}, or publish the older records by "
            "--force"
        )
    broken = [
        (status, f"{entry.name} on {entry.task}")
        for record, entry in records
        for status in record.status.values()
        if status in BROKEN_OFF
    ]
    if broken and not force:
        raise UsageError(
            f"{len(broken)} chain(s) were broken off by the machine (the first: {', '.join(broken[0])}); "
            "run the suite again, which tries these alone, or publish them so by --force"
        )
    board = board_of(found.store, manifest)  # without the command of this machine
    text = report(dataclasses.replace(board, notes=(*board.notes, *older.sentences())))
    folder.mkdir(parents=True, exist_ok=True)
    publish(records, manifest, files[0])
    replace_file(files[1], f"{text}\n".encode())
    return files


def _several(what: Some) -> Sequence[str | Path]:
    """One string is one thing, and not its letters."""
    return [what] if isinstance(what, (str, Path)) else what


def _absolute(plugins: Some) -> tuple[str, ...]:
    return tuple(str(Path(path).absolute()) for path in _several(plugins))


def _positive(name: str, value: Any, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"{name} must be a number of {unit} > 0, got {value!r}")


def calibrate(
    what: str | Path,
    *,
    output: str | Path | None = None,
    n_jobs: int = 1,
    plugins: Some = (),
    on_outcome: Callable[[JobOutcome], None] | None = None,
    on_plan: Callable[[list[CellPlan], list[Job]], None] | None = None,
) -> list[Calibration]:
    """Freeze floors and gaps of every task of a suite in its file, from 256 chains that no board ranks.

    The chains go to ``output`` where it is given (and are reused from there), else to a temporary folder.
    """
    reg = registry(_several(plugins))
    path = find_suite(str(what), reg)
    suite = expand(read_suite(path), reg, path)
    text = path.read_text(encoding="utf-8")
    if not suite.entries:
        why = next(iter(suite.skipped_tasks.values()), "it names no task")
        raise NothingMatched(f"nothing to calibrate in suite {suite.name}: {why}")
    _rewrite(path, text)  # better said now than after the run
    entries = [entry for entry in suite.run_list() if entry.name in ("none", "nature")]
    with ExitStack() as stack:
        folder = output or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="collapse-bench-")
        )
        store = Store(Path(folder).absolute()).create()
        bare = Suite(suite.model, tuple(entries), path)
        steps = plan(bare, store, CALIBRATION_SEEDS)
        jobs = [job for step in steps for job in jobs_of(step.entry, step.todo)]
        if on_plan is not None:
            on_plan(steps, jobs)
        for outcome in execute(jobs, Options(store.path, _absolute(plugins)), n_jobs):
            if not outcome.good:
                raise UsageError(f"{outcome.job.cell.label} cannot be calibrated: {outcome.reason}")
            if on_outcome is not None:
                on_outcome(outcome)
        rows = [_calibration(task, entries, store) for task in suite.tasks]
    _rewrite(path, with_calibration(text, rows))
    return rows


def _rewrite(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as problem:
        raise UsageError(
            f"cannot write {path} ({problem.strerror}); copy the suite file to a folder of yours"
        ) from problem


def _calibration(task: str, entries: Sequence[Entry], store: Store) -> Calibration:
    losses = {}
    for entry in entries:
        if entry.task == task:
            data = entry.cell.data
            frame = frame_of(store, [entry_of(entry)], CALIBRATION_SEEDS)
            last = frame[
                (frame.generation == entry.cell.generations) & (frame.metric == data.primary)
            ]
            losses[entry.name] = last.sort_values("seed").value.to_numpy()
    floor, gap, gap_sd = floor_and_gap(
        losses["none"], losses["nature"], data.resolution, data.log_loss
    )
    return Calibration(task=task, floor=floor, gap=gap, gap_sd=gap_sd, chains=len(losses["none"]))


def predict(spec: str, *, plugins: Sequence[str | Path] = ()) -> tuple[float, ...]:
    """Expected primary loss of a cell for t = 0 .. T by its law, NaN where unknown; NothingMatched where none is known."""
    cell = registry(_several(plugins)).cell(spec)
    reason = cell.incompatibility()
    if reason is not None:
        raise UsageError(f"{cell.label}: {reason}")
    curve = registry().predicted(cell)
    if curve is None:
        raise NothingMatched(f"no law is known for {cell.label}")
    return curve


def verify_laws(
    words: str | Sequence[str] = (),
    *,
    quick: bool = False,
    n_jobs: int = 1,
    plugins: Some = (),
    on_verdicts: Callable[[list[Verdict], int], None] | None = None,
) -> list[Verdict]:
    """Run the engine against every law that plugins claim for it, or those whose name holds one of the words.

    ``on_verdicts`` is told of each group of verdicts as it comes, and of how many claims there are in all.
    """
    parts = [words] if isinstance(words, str) else list(words)
    known = registry(_several(plugins)).claims()
    claimed = {claim.law for claim in known}
    for word in parts:
        if not any(word in law for law in claimed):
            laws = [law for law in theory.laws() if word in law]
            raise NothingMatched(
                f"no cell of the engine expresses {', '.join(laws)}; 'collapse-bench law {laws[0]}' says what it is"
                if laws
                else f"no claim is made of {word}{nearest(word, claimed)}"
            )
    claims = [claim for claim in known if not parts or any(word in claim.law for word in parts)]
    if not claims:
        raise NothingMatched("no plugin claims a law")
    found: dict[int, Verdict] = {}
    place = {id(claim): i for i, claim in enumerate(claims)}
    for some in verify.checked(verify.groups(claims, quick), n_jobs, _absolute(plugins)):
        found.update({place[id(verdict.claim)]: verdict for verdict in some})
        if on_verdicts is not None:
            on_verdicts(some, len(claims))
    return [found[i] for i in sorted(found)]


def reproduce(
    name: str,
    *,
    scale: Scale = "quick",
    data: str | Path | None = None,
    output: str | Path = "figures",
    n_jobs: int = 1,
    plugins: Some = (),
    device: str = "cpu",
    on_plan: Callable[[list[CellPlan], list[Job]], None] | None = None,
    on_outcome: Callable[[JobOutcome], None] | None = None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Redraw a figure of a paper: (its numbers, the files written).  What was run before is reused.

    scale: ``quick`` or ``paper``.  data: a folder of real images, for the figures that use them.
    """
    return redrawn(
        name,
        registry(_several(plugins)),
        scale=scale,
        data=None if data is None else Path(data),
        output=Path(output),
        n_jobs=n_jobs,
        plugins=_absolute(plugins),
        device=device_of(device),
        on_plan=on_plan,
        on_outcome=on_outcome,
    )


def device_of(name: str) -> str:
    """A device that is there: cpu, cuda, cuda:0; auto takes the GPU where torch sees one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as problem:
        raise UsageError(f"unknown device {name!r}; write cpu, cuda, cuda:0 or auto") from problem
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not served; write cpu, cuda, cuda:0 or auto")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"device {name!r} was asked for, and torch sees no GPU here; use --device cpu"
        )
    return name


def cell_of(
    spec: str, *, seeds: str | int | Sequence[int] = "0:32", device: str = "cpu", **changes: Any
) -> Cell:
    """A cell from its spec, for a loop of one's own: ``for generation in generations(cell_of(...))``.

    seeds: a range as it is typed, one seed or several.  changes: n, generations, growth or first_teacher.
    """
    settings = ("n", "generations", "growth", "first_teacher")
    for name in changes:
        if name not in settings:
            raise UsageError(f"cell_of changes no {name!r}{nearest(name, settings)}")
    return registry(()).cell(spec, seeds=_seeds(seeds), device=device_of(device), **changes)


def _seeds(seeds: str | int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return tuple(parse_seeds(seeds))
    try:
        picked = tuple(map(index, seeds if isinstance(seeds, Iterable) else [seeds]))
    except TypeError:
        picked = ()
    if not picked or min(picked) < 0 or max(picked) >= 2**63:
        raise UsageError(
            f"seeds must be whole numbers >= 0 and < 2^63, at least one, or a range '0:32'; got {seeds!r}"
        )
    return picked


def offer(name: str, cls: type[Mitigation]) -> None:
    """Make a mitigation of a notebook known under a name, beside those that plugins offer."""
    registry().offer("mitigation", name, cls)
