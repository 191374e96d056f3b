"""The Python API: one function for each thing that the command line does."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import theory
from .board import Board
from .board.aside import scores_aside
from .board.card import Card, card_of
from .board.cells import method_of
from .board.choices import choices_of
from .board.collect import board_of, frame_of, laws_of
from .board.curves import Statistic, picture
from .board.pair import Pair, pair_of
from .board.ranked import RankedBoard
from .board.render import writable
from .board.signs import FACTORS, SignCell, sign_grid
from .board.source import Source, published_suites, source_of
from .board.standing import Standing
from .board.swept import Sweep, SweptCurve, best_of
from .core.budget import Budget
from .core.cell import Cell
from .core.components import Mitigation
from .core.content import contents
from .display import html, shell
from .errors import NothingMatched, UnknownName, UsageError, UserError
from .isolation.audit import MEMORY as AUDIT_MEMORY
from .isolation.audit import SECONDS
from .laws import verify as law_checks
from .laws.verify import Verdict
from .papers.figure import Scale
from .papers.reproduce import reproduce as redrawn
from .paths import named, named_folder, unwritable
from .records.again import run_again
from .records.archive import (
    Archive,
    OverlayStore,
    earlier_page,
    publish,
    shipped,
    shipped_archive,
    whole,
)
from .records.files import replace_file
from .records.key import why_no_key
from .records.manifest import Manifest, ManifestEntry, of_family
from .records.record import BLOCK, Record, RecordReader, blocks_of
from .records.settings import Calibration, SuiteModel
from .records.signs import SignGrid, save_signs, saved_signs
from .records.store import Store
from .records.tuning import Tuned, save_tuning, saved_tuning
from .registry.about import about_row
from .registry.discovery import Registry, registry
from .registry.misspelt import misspelt_stages
from .running.bar import OnOutcome, OnPlan, watched
from .running.chains import CHECKPOINT_SECONDS, MEMORY, Progress
from .running.conformance import failures
from .running.execute import execute, jobs_of
from .running.jobs import Job, JobOutcome, Options
from .scoring.score import Scores
from .scoring.task import floor_and_gap
from .scoring.tuning import HINDSIGHT, TUNED
from .spec import Call, parse_call, parse_cell, parse_mitigations, show
from .status import BROKEN_OFF, Status
from .submissions.levels import LEVELS, Verification
from .submissions.merge import merge as merged
from .submissions.pack import pack
from .submissions.verify import CELLS
from .submissions.verify import verify as verify_submission
from .suggest import nearest
from .suite.aside import Choice, Grid, Groups, choice_among, grid_of, store_of
from .suite.expand import CONTROLS, Entry, Suite, adhoc, expand, typed_name
from .suite.manifest import (
    calibrated,
    changes_of,
    entry_of,
    manifest_of,
    plugin_files,
    save_run,
    saved_run,
)
from .suite.model import (
    CALIBRATION_SEEDS,
    find_suite,
    parse_seeds,
    read_suite,
    validated,
    with_calibration,
)
from .suite.plan import IDLE, CellPlan, Estimate, estimate
from .suite.plan import plan as plan_cells
from .suite.regenerated import differences
from .suite.staleness import Outdated, outdated
from .suite.sweep import (
    curves_of,
    fresh_seeds,
    one_task_per_family,
    part_of,
    tuning_seeds,
)
from .suite.sweep import plan_of as sweep_plan
from .suite.tunings import (
    configurations,
    grouped,
    label_of,
    row_name,
    tunable,
    with_configurations,
    with_rows,
)

if TYPE_CHECKING:
    from .board.page.history import Snapshot
    from .board.page.model import About

Paths = str | Path | Sequence[str | Path]  # one file, or several


@dataclass(frozen=True)
class RunRequest:
    """The settings of one run, for ``run``, ``plan`` and the commands of these names.

    Raises UsageError for a path that names nothing, and for a memory or a time limit that is no
    positive number.
    """

    what: str | Path | Sequence[str]  # a suite by name or path, or specs of cells
    seeds: str | None = None  # chains, such as "0:64"; None: those of the suite
    mitigations: str | Sequence[str] = ()  # specs of further entries
    focus: str | None = None  # the entry compared with all others; None: the first further one
    settings: Mapping[str, Any] = field(default_factory=dict)  # n, generations, protocols, ...
    device: str = "cpu"  # cpu, cuda, cuda:0 or auto
    budget: str | None = None  # limits of an entry per chain, such as "real=0.1,verifier=1000"
    output: str | Path = "results"  # folder of the records
    quick: bool = False  # run only the further entries; take the others from published records
    published: str | Path | None = None  # file of published records; None: the one that ships
    force: bool = False  # run finished chains again
    # pick a configuration per family, on calibration seeds: of each further entry, or without one
    # of each method of the suite
    tune: bool = False
    # run the marked tasks at other numbers of rows and generations, to see where signs hold
    signs: bool = False
    plugins: Paths = ()  # plugin files to load
    n_jobs: int = 1  # worker processes
    memory: int = MEMORY  # bytes for the rows of the chains that run at once
    # seconds per job; None: no limit, but code of plugins ends after SILENCE without progress
    timeout: float | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS  # between two checkpoints of a cell

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", named_folder(self.output, "the output folder"))
        if self.published is not None:
            object.__setattr__(self, "published", named(self.published, "the published records"))
        object.__setattr__(self, "plugins", _plugin_files(self.plugins))
        _positive("memory", self.memory, "bytes")
        if self.timeout is not None:
            _positive("timeout", self.timeout, "seconds")


@dataclass(frozen=True)
class RunPlan:
    """What a run would do with each cell."""

    request: RunRequest
    suite: Suite  # of a quick run: without entries that lack complete records
    steps: tuple[CellPlan, ...]
    archive: Archive | None = field(default=None, repr=False)  # published records to reuse
    choice: Choice | None = field(default=None, repr=False)  # of configurations, with ``tune``
    grid: Grid | None = field(default=None, repr=False)  # with ``signs``

    @cached_property
    def steps_aside(self) -> list[CellPlan]:
        """What ``tune`` and ``signs`` do on calibration seeds."""
        store = store_of(self.request.output)
        tuning = [] if self.choice is None else self.choice.plan(store)
        # a cell of the grid that the choice runs too has its chains then
        run = {step.entry.cell.id for step in tuning}
        signs = [] if self.grid is None else self.grid.plan(store)
        return [*tuning, *(step for step in signs if step.entry.cell.id not in run)]

    @property
    def jobs(self) -> list[Job]:
        return _jobs([*self.steps_aside, *self.steps])

    def estimate(self) -> Estimate:
        """The CPU time of the run, from records in the output folder and the published ones."""
        stores: list[RecordReader] = [Store(self.request.output), store_of(self.request.output)]
        if shipped(self.suite.name).is_file():
            archive = shipped_archive(self.suite.name)
            with suppress(UserError):  # another file is in its place: the times are not known
                len(archive)  # reads it
                stores.append(archive)
        return estimate([*self.steps, *self.steps_aside], stores)


def _jobs(steps: Iterable[CellPlan]) -> list[Job]:
    return [job for step in steps for job in jobs_of(step.entry, step.todo)]


@dataclass(frozen=True)
class Results:
    """The results of a run: a view of its output folder, which ``results(path)`` opens again."""

    output: Path
    suite: str
    outcomes: tuple[JobOutcome, ...] = ()
    steps: tuple[CellPlan, ...] = field(default=(), repr=False)
    archive: Archive | None = field(default=None, repr=False)  # published records that it reuses
    # of a run of this process; None: the one in the folder, which another run may have replaced
    manifest: Manifest | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        jobs = f", {len(self.outcomes)} jobs, {len(self.failed)} failed" if self.outcomes else ""
        return f"Results({str(self.output)!r}, suite {self.suite!r}{jobs})"

    @property
    def store(self) -> Store:
        return _store(self.output, self.archive)

    def _manifest(self) -> Manifest:
        if self.manifest is None:
            return saved_run(self.output, self.suite)
        return calibrated(self.manifest, self.output)

    @property
    def focus(self) -> str | None:
        """The row that the run named, if the run has it."""
        manifest = self._manifest()
        row = manifest.suite.focus
        return row if any(entry.name == row for entry in manifest.entries) else None

    @property
    def failed(self) -> list[JobOutcome]:
        """Jobs of this run with chains that failed."""
        return [outcome for outcome in self.outcomes if not outcome.good]

    def frame(self) -> pd.DataFrame:
        """One row per number: task, entry, role, seed, generation, metric, value."""
        manifest = self._manifest()
        return frame_of(self.store, manifest.entries, manifest.seeds, manifest)

    def board(
        self, focus: str | None = None, track: str | None = None, family: str | None = None
    ) -> Board:
        """The leaderboard of the run.  Its notes name the rows whose code has changed since.

        focus: the entry that is compared with all others; None: the one that the run named.  track:
        show only the tasks on which an entry uses no more than this track allows.  family: score
        only the tasks of this family.  Raises NothingMatched where nothing is left.
        """
        return self._board(self._manifest(), self.store, focus, track, family)

    def _board(
        self,
        manifest: Manifest,
        store: Store,
        focus: str | None,
        track: str | None,
        family: str | None = None,
    ) -> Board:
        """The board of these records, which ``store`` reads."""
        choices, signs = _choices(manifest, self.archive, self.output), self._signs(manifest)
        if family is not None:
            manifest, signs = of_family(manifest, family), None
        board = board_of(store, manifest, focus, track, choices, signs)
        stale = outdated(manifest, board.codes, store, registry(()))
        notes = [*board.notes, *stale.sentences(), *stale.doubts()]
        if stale.cells:
            notes.append(
                f"bring them up to date with: {run_again(self.output, manifest, stale.methods)}"
            )
        return dataclasses.replace(board, notes=tuple(notes))

    def compare(self, a: str, b: str, track: str | None = None, family: str | None = None) -> Pair:
        """Two rows of the board, on the tasks that both fit: ``a`` minus ``b``.

        track, family: as ``board``.  Raises UsageError where a row is not there or has no score.
        """
        board = self.board(track=track, family=family)
        scores = board.scored
        if scores is None:
            raise NothingMatched(
                f"{self.output} has no scores to compare; calibrate its suite with `collapse-bench "
                "suite calibrate`, or run it with 5 chains or more"
            )
        title = f"{board.suite.name} v{board.suite.version}"
        return pair_of(scores, a, b, title, not board.suite.calibration)

    def card(self, entry: str | None = None, board: Board | None = None) -> Card:
        """What the board says about one method: its place, score and grid, warnings, what next.

        entry: its row; None: the one that the run named.  board: that of these results, if it is
        made already.  Raises UsageError where there is no such row.
        """
        manifest = self._manifest()
        row = entry or manifest.suite.focus
        if row is None:
            raise UsageError("name the row of the card, or run with --mitigation NAME")
        whole = self.board() if board is None else board
        shown = entry or whole.suite.focus or row  # of a method with a choice, its tuned row
        others = self._others(manifest, row)
        if whole.broken(shown):
            further = _next_check(manifest, row)
        else:
            typed = manifest.suite.name.startswith("typed")
            further = [] if typed else _next_run(manifest, row)
        return card_of(whole, shown, str(self.output), others, further)

    def _others(self, manifest: Manifest, row: str) -> list[str]:
        """Other configurations of a method that ran on the seeds of the exam in this folder, which
        --tune did not choose among."""
        own = {entry.id for entry in manifest.entries if entry.name == row}
        tuned = {
            name
            for choice in saved_tuning(self.output, manifest.suite.name)
            for name in choice.entries
        }
        tasks = set(manifest.tasks)
        found: dict[str, None] = {}
        for label, forms in Store(self.output).cells().items():
            try:
                spec = parse_cell(label)
            except UsageError:  # a label of another version of the suite
                continue
            name = " + ".join(map(str, spec.mitigations))
            task = str(dataclasses.replace(spec, mitigations=()))
            if task in tasks and method_of(name) == method_of(row) and not own & set(forms):
                found[name] = None
        return sorted(set(found) - tuned - {row})

    def _repr_html_(self) -> str:
        """What a notebook shows: the board, or why there is none."""
        try:
            shown = self.board()._repr_html_()
        except UserError as problem:
            shown = html(problem)
        return f"<div>{html(repr(self))}{shown}</div>"

    def _signs(self, manifest: Manifest) -> SignGrid | None:
        """The grid of the run, with the published entries that it lacks."""
        own = saved_signs(self.output, manifest.suite.name)
        published = None if self.archive is None else self.archive.signs
        return own.with_others(published) if own and published else own or published

    def draw(self, path: str | Path, statistic: Statistic = "mean") -> list[Path]:
        """Plot the loss of every task and entry against the generation; returns the files.

        path: ends in .png, .svg or .pdf.  A page has at most 12 tasks; further pages of a picture
        are files next to it.  statistic: what is drawn of the chains; a few bad chains can carry
        the mean, and the median shows the typical one.  The focus row is bold, and what a law
        predicts is dashed.
        """
        from .board.curves import draw_curves

        manifest = self._manifest()
        primary = {name: task.primary for name, task in manifest.tasks.items()}
        file = named(path, "the picture")
        laws = laws_of(self.store, manifest)
        return draw_curves(self.frame(), primary, file, laws, statistic, manifest.suite.focus)

    def report(
        self,
        path: str | Path,
        form: str | None = None,
        *,
        focus: str | None = None,
        track: str | None = None,
        against: str | Path | None = None,
        columns: Sequence[str] = (),
        figure: str | Path | None = None,
    ) -> list[Path]:
        """Write the report of the run to a file; returns the files.

        form: html, latex, csv, parquet, json or markdown; None: by the ending of ``path``.  focus
        and track: as for ``board``.  against: a folder of records, a file of published records, or
        a published page, with which the page compares; None: the last published board of the suite.
        columns: of latex and markdown.  figure: the picture of the tiers, as .pdf, .svg, .png or
        .pgf.  Raises UsageError for an unknown format or column, for a file that cannot be written,
        and for a format of scores where no task is calibrated.
        """
        from .board.page.write import form_of

        file = writable(named(path, "the report"))
        picture_file = None if figure is None else picture(named(figure, "the figure"), (".pgf",))
        chosen = form_of(form, file)
        made = self.report_bytes(
            chosen, focus=focus, track=track, against=against, columns=columns, figure=picture_file
        )
        try:
            replace_file(file, made)
        except OSError as problem:
            raise unwritable(file, problem) from problem
        return [file] if picture_file is None else [file, picture_file]

    def report_bytes(
        self,
        form: str,
        *,
        focus: str | None = None,
        track: str | None = None,
        against: str | Path | None = None,
        columns: Sequence[str] = (),
        figure: Path | None = None,
    ) -> bytes:
        """The report as the content of a file; see ``report``."""
        from importlib.metadata import version

        from .board.page.build import page_of
        from .board.page.gather import Gathered, shown_to
        from .board.page.history import moved, snapshot
        from .board.page.write import check_columns, content, draw_tiers, form_of

        form, own = form_of(form, None), version("collapse-bench")
        check_columns(form, columns)
        manifest = self._manifest()
        gathered = Gathered(manifest)
        board = self._board(manifest, shown_to(gathered, self.store), focus, track)
        known = self.suite in {path.stem for path in registry(()).suites}
        page = page_of(
            board,
            gathered,
            {row: _about(row) for row in dict.fromkeys(board.frame().entry)},
            self.suite if known else f"{self.suite}.suite.toml",
            _options(manifest, shipped(self.suite).is_file()),
            self._versions(manifest, own),
        )
        history = None
        if form == "html" and isinstance(board, RankedBoard):
            then = _earlier(against, manifest)
            history = None if then is None else moved(snapshot(board, manifest), then)
        elif against is not None and not isinstance(board, RankedBoard):
            raise UsageError(f"{self.suite} has no scores to compare, since no task is calibrated")
        if figure is not None:
            draw_tiers(page, figure)
        return content(form, board, page, history, columns, time.time(), own)

    def _versions(self, manifest: Manifest, version: str) -> list[tuple[str, str]]:
        """What the records were made with and read by."""
        seal = "" if self.archive is None else self.archive.seal
        return [
            ("suite", f"{manifest.suite.name} version {manifest.suite.version}"),
            ("read by", f"collapse-bench {version}"),
            ("seeds", f"{manifest.suite.seeds} ({len(manifest.seeds)} chains)"),
            ("cells", str(sum(entry.skip is None for entry in manifest.entries))),
            ("seal of the published records", seal)
            if seal
            else ("seal", "each record has one; publishing gives one over all of them"),
        ]


def _about(row: str) -> list[About]:
    """The plugins of a row; a tuned row has those of its method."""
    from .board.page.model import About, Parameter

    text = row.removesuffix(f" {TUNED}").removesuffix(f" {HINDSIGHT}")
    return [
        About(**{**one, "parameters": tuple(Parameter(**p) for p in one["parameters"])})
        for one in about_row(text, registry(()))
    ]


def _options(manifest: Manifest, published: bool) -> list[str]:
    """Further words of the command that runs one row of a suite."""
    files = dict.fromkeys(Path(file).name for file in manifest.files.values())
    plugins = [word for file in files for word in ("--plugin", file)]
    return [*plugins, *(["--quick"] if published else [])]


def _earlier(against: str | Path | None, manifest: Manifest) -> Snapshot | None:
    """The board to compare with: the one that is named, or else the last published page."""
    from .board.page.history import snapshot, snapshot_of_page

    if against is None:
        page = earlier_page(manifest.suite.name, manifest.suite.version)
        return None if page is None else snapshot_of_page(page)
    path = named(against, "the earlier board")
    if path.suffix == ".md":
        return snapshot_of_page(path)
    other = results(against, None)
    before = other._manifest()
    board = other._board(before, other.store, None, None)
    if not isinstance(board, RankedBoard):
        raise UsageError(f"{against} has no scores to compare with, since no task is calibrated")
    return snapshot(board, before)


def _next_run(manifest: Manifest, row: str) -> list[str]:
    """[the command that ranks the method of a plugin file among the published rows], after a run of
    another suite."""
    suites = [name for name in published_suites() if name != manifest.suite.name]
    if not suites or not _files_of(manifest, row):
        return []
    words = ["collapse-bench", "run", suites[0]]
    for file in dict.fromkeys(manifest.files.values()):
        words += ["--plugin", file]
    return [shell([*words, "--mitigation", row, "--quick"])]


def _next_check(manifest: Manifest, row: str) -> list[str]:
    """[the command that shows the faults of the plugin file of a method]"""
    return [
        shell(["collapse-bench", "check", "--plugin", file]) for file in _files_of(manifest, row)
    ]


def _files_of(manifest: Manifest, row: str) -> list[str]:
    """The plugin files that the mitigations of a row come from."""
    keys = [f"mitigation {part}" for part in method_of(row).split(" + ")]
    return [manifest.files[key] for key in keys if key in manifest.files]


def _choices(manifest: Manifest, archive: Archive | None, output: Path) -> tuple[Tuned, ...]:
    """The choices of a run, and the published ones of other methods."""
    published = () if archive is None else archive.tuning
    known = {choice.method: choice for choice in published}
    known |= {choice.method: choice for choice in saved_tuning(output, manifest.suite.name)}
    return tuple(known.values())


def _store(path: str | Path, archive: Archive | None) -> Store:
    return Store(path) if archive is None else OverlayStore(path, archive)


def results(
    output: str | Path, suite: str | None = None, published: str | Path | None = None
) -> Results:
    """Open the results of an earlier run, with the published records if it reused any.

    output: the folder of the run, a parquet file of published records, or the name of a published
    suite.  suite: which one, if the folder holds several; of a file, if its name does not say it.
    published: the file of published records; None: the one that the run used.  Raises
    NothingMatched where the folder holds no results, UsageError where it holds several suites and
    none is named, or where a file cannot be used.
    """
    source = source_of(output, suite)
    if source.archive is not None:
        return _published(source, source.archive)
    folder = source.path
    manifest = saved_run(folder, suite)
    file = published
    if file is None and manifest.published is not None:
        file = folder / manifest.published  # a merged folder names a file in it
    archive = None if file is None else Archive(named(file, "the published records"))
    return Results(folder, manifest.suite.name, archive=archive)


def _published(source: Source, archive: Archive) -> Results:
    """The results in a file of published records.

    A file of an earlier version lacks the manifest, which is then that of the suite as it is
    installed.  Raises UsageError where the suite is not known.
    """
    manifest = archive.manifest  # reads the file
    if manifest is None:
        try:
            suite = load_suite(RunRequest(str(source.suite)), archive.tuning)
        except UsageError as problem:
            raise UsageError(
                f"{source.path} holds records without their manifest, and the suite cannot be "
                f"read: {problem}; name the suite or its file with --suite"
            ) from problem
        manifest = manifest_of(suite, suite.seeds)
    return Results(source.path, manifest.suite.name, archive=archive, manifest=manifest)


def load_suite(request: RunRequest, choices: Sequence[Tuned] = ()) -> Suite:
    """The suite of a request: a named one, a file, or one made of typed specs, with its changes.

    choices: made earlier, whose configurations are entries too.  Loads the plugins of the request.
    Raises UsageError for an unknown suite, spec, setting, device
    or focus, PluginError for a plugin that does not load.
    """
    reg = registry(_plugin_files(request.plugins))
    device = device_of(request.device)
    budget = None if request.budget is None else Budget.parse(request.budget)
    with _plugins_of_earlier_runs(request.what, request.output):
        model, path = _model_of(request.what, reg)
        model = _changed(model, request, reg)
        model = with_rows(model, reg, [choice.entries for choice in choices])
        if request.tune and not _listed(request.mitigations):
            model = with_configurations(model, reg)
        if path is None:
            model = model.model_copy(update={"name": typed_name(model)})
        parse_seeds(model.seeds)
        typed = _typed_mitigations(request, model, path)
        suite = expand(model, reg, path, device, budget, typed)
    if model.focus is not None:
        model = model.model_copy(update={"focus": row_name(model.focus, suite, reg)})
        suite = dataclasses.replace(suite, model=model)
    if suite.entries and model.focus is not None and model.focus not in suite.methods:
        raise UsageError(
            f"{model.focus!r} was named to be compared and does not compete"
            f"{nearest(model.focus, suite.methods)}"
        )
    return suite


@contextmanager
def _plugins_of_earlier_runs(
    what: str | Path | Sequence[str], output: str | Path | None
) -> Iterator[None]:
    """Name the plugin file, where an unknown name is known to a run in the output folder, or in
    that of the suite file."""
    try:
        yield
    except UnknownName as problem:
        folders = [] if output is None else [Path(output)]
        if isinstance(what, (str, Path)) or len(what) == 1:
            item = str(what if isinstance(what, (str, Path)) else what[0])
            folders += [named(item, "the suite file").parent] if item.endswith(".toml") else []
        for folder in folders:
            file = plugin_files(folder).get(f"{problem.kind} {problem.name}")
            if file is None:
                continue
            unknown, there = str(problem).partition(";")[0], Path(file).is_file()
            raise UsageError(
                f"{unknown}; a run in {folder} took it from plugin file {file}"
                + ("" if there else ", which is gone: put it back")
                + f"{';' if there else ' and'} name it with --plugin {shell([file])}"
            ) from problem
        raise


def _model_of(what: str | Path | Sequence[str], reg: Registry) -> tuple[SuiteModel, Path | None]:
    """The settings that ``what`` names, and the file that they come from."""
    items = [str(what)] if isinstance(what, (str, Path)) else list(what)
    if not items:
        raise UsageError("name a suite or type a spec: collapse-bench run smoke")
    if any("|" in item for item in items):
        for item in items:
            if "|" not in item:
                raise UsageError(
                    f"{item!r} is no spec of a cell, and a suite and typed specs are run by "
                    "commands of their own; a spec reads 'data | model | protocol | mitigation'"
                )
        return adhoc(items, reg), None
    if len(items) > 1:
        raise UsageError(f"one suite at a time, got {', '.join(items)}")
    path = find_suite(items[0], reg)
    return read_suite(path), path


def _changed(model: SuiteModel, request: RunRequest, reg: Registry) -> SuiteModel:
    """The settings of a suite with those of a request in their place."""
    changes = _settings(request.settings)
    if request.seeds is not None:
        changes["seeds"] = request.seeds
    extra = [str(text) for text in _listed(request.mitigations)]
    if extra:
        listed = changes.get("mitigations", model.mitigations)
        changes["mitigations"] = list(dict.fromkeys([*listed, *extra]))
    ranked = (text for text in extra if not all(act.control for act in reg.mitigations(text)))
    focus = request.focus or next(ranked, model.focus)
    if focus is not None:
        changes["focus"] = label_of(focus, reg)
    plain = model.model_dump()
    for task in plain["tasks"]:  # a change overrides what a task sets for itself
        if task["mitigations"] is not None:
            task["mitigations"] = list(dict.fromkeys([*task["mitigations"], *extra]))
        task.update({key: None for key in ("n", "generations", "protocols") if key in changes})
        if "mitigations" in request.settings:
            task["mitigations"] = None
    return validated({**plain, **changes}, f"suite {model.name}")


def _typed_mitigations(request: RunRequest, model: SuiteModel, path: Path | None) -> set[str]:
    """The mitigations of a request, as it writes them; all, where its cells are typed."""
    typed = {str(text) for text in _listed(request.mitigations)}
    if path is None or "mitigations" in request.settings:
        typed |= {*model.mitigations, *(m for task in model.tasks for m in task.mitigations or ())}
    return typed


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a suite from the values that a user gave, checked."""
    least = {"n": 1, "generations": 0}
    parsers = {"protocols": parse_call, "mitigations": parse_mitigations}
    out: dict[str, Any] = {}
    for key, value in settings.items():
        if key in least:
            if not isinstance(value, int) or isinstance(value, bool) or value < least[key]:
                shown = value if isinstance(value, Call) else repr(value)
                raise UsageError(f"{key} must be a whole number >= {least[key]}, got {shown}")
            out[key] = value
        elif key in parsers:
            out[key] = [
                str(item) for item in ([value] if isinstance(value, (str, Call)) else value)
            ]
            for item in out[key]:
                parsers[key](item)
        else:
            raise UsageError(f"unknown setting {key!r}{nearest(key, {*least, *parsers})}")
    return out


def run(
    what: str | Path | Sequence[str],
    *,
    seeds: str | None = None,
    mitigations: str | Sequence[str] = (),
    focus: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    budget: str | None = None,
    output: str | Path = "results",
    quick: bool = False,
    published: str | Path | None = None,
    force: bool = False,
    tune: bool = False,
    signs: bool = False,
    plugins: Paths = (),
    n_jobs: int = 1,
    memory: int = MEMORY,
    timeout: float | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: bool | None = None,
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Run a suite (by name or path) or typed specs.  Finished chains are reused, so the same call
    resumes an interrupted run.

    The arguments are the fields of ``RunRequest``, which documents them.  progress: whether to
    show a bar; None: in a notebook.  on_plan: called once with the plan and its jobs.  on_outcome:
    called after each job.  on_progress: called after each generation and during training.  Raises
    UsageError, PluginError or NothingMatched.  A cell that fails is recorded and does not stop the
    others.
    """
    request = RunRequest(
        what,
        seeds=seeds,
        mitigations=mitigations,
        focus=focus,
        settings=settings or {},
        device=device,
        budget=budget,
        output=output,
        quick=quick,
        published=published,
        force=force,
        tune=tune,
        signs=signs,
        plugins=plugins,
        n_jobs=n_jobs,
        memory=memory,
        timeout=timeout,
        checkpoint_seconds=checkpoint_seconds,
    )
    planned = plan(request)
    if planned.jobs and (why := why_no_key()) is not None:
        warnings.warn(why, UserWarning, stacklevel=2)
    with watched(progress, on_plan, on_outcome, on_progress) as (planning, ending, moving):
        return run_plan(planned, on_plan=planning, on_outcome=ending, on_progress=moving)


def plan(request: RunRequest) -> RunPlan:
    """What a run would do with each cell of its suite.  Writes nothing.

    Raises what ``load_suite`` raises, and NothingMatched where the suite has no cell to run, where
    a mitigation of the request fits no task, or where that of a quick run has nothing to compare
    with.
    """
    texts = [str(text) for text in _listed(request.mitigations)]
    if request.tune and texts:
        reg = registry(_plugin_files(request.plugins))
        names = [name for text in texts for name in configurations(text, reg)]
        request = dataclasses.replace(request, mitigations=list(dict.fromkeys(names)))
    suite = load_suite(request)
    archive = archive_of(suite, request.published) if request.quick or request.published else None
    choices = () if archive is None else archive.tuning
    if request.signs and not request.tune:
        # the grid of a suite that was tuned runs what was picked
        choices = (*choices, *saved_tuning(Path(request.output), suite.name))
    if choices:
        suite = load_suite(request, choices)
    named = [row_name(str(text), suite, registry()) for text in _listed(request.mitigations)]
    if request.quick and not named:
        raise UsageError("a quick run needs the entries to run: --quick --mitigation NAME")
    _check_fits(suite, [row_name(text, suite, registry()) for text in texts])
    only = named if request.quick else None
    # a quick run forces its own entries, not the published ones that it compares them with
    store = _store(request.output, archive)
    steps = plan_cells(suite, store, suite.seeds, request.force, only)
    if only is not None:
        suite, steps = _thinned(suite, steps, set(only))
    choice = choice_among(suite, _groups(suite, texts)) if request.tune else None
    grid = None
    if request.signs:
        # before a choice is made, each of its methods runs its default
        grid = _grid(suite, choices, {} if choice is None else choice.groups, only)
    return RunPlan(request, suite, tuple(steps), archive, choice, grid)


def _grid(
    suite: Suite, choices: Sequence[Tuned], groups: Groups, only: Sequence[str] | None
) -> Grid:
    """The grid of signs with what was picked; a later choice replaces an earlier one."""
    known = {**{one.method: one.entries for one in choices}, **groups}
    picked = {one.method: one.picks for one in choices}
    return grid_of(suite, registry(), FACTORS, known, picked, only)


def _signs_measured(grid: Grid, store: Store) -> SignGrid:
    """The scores in the cells of a grid whose chains were run."""
    cells = [
        SignCell(
            manifest_of(cell.suite, grid.seeds),
            {there: name for name, there in cell.places.items()},
            cell.lacking,
        )
        for cell in grid.cells
    ]
    return sign_grid(store, cells, grid.methods)


def _groups(suite: Suite, texts: Sequence[str]) -> dict[str, list[str]]:
    """The configurations of these methods, or without any of each method of the suite.

    Raises UsageError where there is nothing to choose.
    """
    reg = registry()
    found = grouped(texts or tunable(suite.model, reg), suite, reg)
    groups = {row: names for row, names in found.items() if len(names) > 1}
    if found and not groups:
        raise UsageError(
            f"there is nothing to tune: {', '.join(found)} has one configuration; declare others, "
            'e.g. tunings = ({"k": 5}, {"k": 20}) in the class of the mitigation, or leave --tune '
            "out"
        )
    if not groups:
        raise UsageError(
            f"there is nothing to tune: no method of suite {suite.name} has several configurations "
            "(`tunings`); name one with --mitigation NAME --tune"
        )
    return groups


def _check_fits(suite: Suite, names: Sequence[str]) -> None:
    """Raises NothingMatched where the suite has no cell, or one of these entries fits no task."""
    if not suite.entries:
        why = next(iter(suite.skipped_tasks.values()))
        raise NothingMatched(f"nothing to run in suite {suite.name}: {why}")
    for name in names:
        cells = [entry for entry in suite.entries if (entry.role, entry.name) == ("entry", name)]
        if cells and all(entry.skip is not None for entry in cells):
            raise NothingMatched(f"{name} fits no task of {suite.name}: {cells[0].skip}")


def archive_of(suite: Suite, published: str | Path | None = None) -> Archive:
    """The published records of a suite: the file ``published``, or else the one that ships with
    this package.

    Raises UsageError where there is no such file.
    """
    archive = (
        shipped_archive(suite.name)
        if published is None
        else Archive(named(published, "the published records"))
    )
    if not archive.path.is_file():
        raise UsageError(
            f"there are no published records of suite {suite.name} at {archive.path}; "
            "name their file with --published, or run without --quick"
        )
    return archive


def standing_of(planned: RunPlan) -> Callable[[JobOutcome], str] | None:
    """What tells the score of the focus row while the run goes on; None where no row is named.

    It is called with the outcome of each job, and returns the score so far as text.
    """
    row = planned.suite.model.focus
    if row is None or not planned.suite.entries:
        return None
    store = _store(Path(planned.request.output).absolute(), planned.archive)
    manifest = manifest_of(planned.suite, planned.suite.seeds)
    standing = Standing(store, manifest, row, [job.cell.id for job in planned.jobs])
    return lambda outcome: standing.ended(outcome.job.cell.id)


def run_plan(
    planned: RunPlan,
    *,
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: Progress | None = None,
) -> Results:
    """Do what a plan says; see ``run`` for the callbacks.

    Raises UsageError where the output folder cannot be written.
    """
    request, suite = planned.request, planned.suite
    Store(request.output).create()
    options = Options(
        store_of(request.output).path,
        _absolute(request.plugins),
        request.memory,
        request.timeout,
        request.checkpoint_seconds,
    )
    aside = bool(planned.choice or planned.grid)
    if on_plan is not None and aside:
        on_plan([*planned.steps_aside, *planned.steps], planned.jobs)

    def done(jobs: Sequence[Job], options: Options) -> Iterator[JobOutcome]:
        for outcome in execute(jobs, options, request.n_jobs, on_progress):
            yield outcome
            if on_outcome is not None:
                on_outcome(outcome)

    grid = planned.grid
    if planned.choice is not None:
        grid = _chosen(planned, lambda jobs: list(done(jobs, options)))
    # absolute, since workers have a working folder of their own
    store = _store(Path(request.output).absolute(), planned.archive)
    for step in planned.steps:
        for block_seeds in blocks_of(suite.seeds).values():
            if step.verdict not in IDLE and not set(block_seeds) & set(step.todo):
                # a run that was killed after it wrote the record may have left the checkpoint
                store.drop_checkpoint(step.entry.cell.id, block_seeds)
    manifest = save_run(
        suite, suite.seeds, store, None if planned.archive is None else planned.archive.path
    )
    jobs = _jobs(planned.steps)
    if on_plan is not None and not aside:
        on_plan(list(planned.steps), jobs)
    outcomes = list(done(jobs, dataclasses.replace(options, output=store.path)))
    outcomes = [_kept(outcome, store) for outcome in outcomes]
    if grid is not None:
        there = store_of(request.output).create()
        ended = [_kept(outcome, there) for outcome in done(_jobs(grid.plan(there)), options)]
        # a chain that failed counts in its cell of the grid; one that was broken off must run again
        outcomes += [outcome for outcome in ended if set(outcome.statuses) & set(BROKEN_OFF)]
        save_signs(Path(request.output), suite.name, _signs_measured(grid, there))
    return Results(
        store.path, suite.name, tuple(outcomes), planned.steps, planned.archive, manifest
    )


def _chosen(planned: RunPlan, done: Callable[[Sequence[Job]], list[JobOutcome]]) -> Grid | None:
    """Run the configurations, store which one is best in each family, and return the grid with
    these.

    Raises UsageError where a configuration lacks chains.
    """
    choice, request, suite = planned.choice, planned.request, planned.suite
    assert choice is not None
    store = store_of(request.output).create()
    done(_jobs(choice.plan(store)))
    made = choices_of(
        store, manifest_of(choice.suite, choice.seeds), choice.groups, len(choice.suite.seeds)
    )
    save_tuning(Path(request.output), suite.name, made)
    if planned.grid is None:
        return None
    published = () if planned.archive is None else planned.archive.tuning
    return _grid(suite, (*published, *made), choice.groups, planned.grid.only)


def _kept(outcome: JobOutcome, store: Store) -> JobOutcome:
    """The outcome of a job, a loss of its chains where its record is not in the output folder."""
    job = outcome.job
    path = store.block_path(job.cell.id, job.seeds[0] // BLOCK)
    if path.is_file():
        return outcome
    reason = (
        f"its record {path} is missing: something removed it while the command ran; run the same "
        "command again"
    )
    return dataclasses.replace(outcome, statuses={Status.KILLED: len(job.seeds)}, reason=reason)


def _thinned(suite: Suite, steps: list[CellPlan], only: set[str]) -> tuple[Suite, list[CellPlan]]:
    """The suite of a quick run: controls, the named entries, and entries with complete records.

    An entry with a missing record is left out of all its tasks.  Raises NothingMatched where all
    other entries would be left out.
    """
    to_run = {step.entry.cell.id for step in steps if step.todo}
    stale = {step.entry.name: step.why for step in steps if step.verdict == "stale"}
    missing = [
        e.name
        for e in suite.entries
        if e.role == "entry" and e.name not in only and e.cell.id in to_run
    ]
    gone = dict.fromkeys(missing)
    others = {e.name for e in suite.entries if e.role == "entry" and e.skip is None} - only
    if gone and gone.keys() >= others:
        why = next((f" ({name}: {stale[name]})" for name in gone if name in stale), "")
        raise NothingMatched(
            f"no other entry of {suite.name} has records with these chains, settings and versions"
            f"{why}, so a quick run has nothing to compare with; leave out --seeds and --set, or "
            "run without --quick"
        )
    entries = tuple(
        e
        for e in suite.entries
        if e.name not in gone and (e.role != "curve" or e.cell.id not in to_run)
    )
    ids = {entry.cell.id for entry in entries}
    kept = [
        step if step.entry.cell.id in ids else CellPlan(step.entry, "left out", _why_left_out(step))
        for step in steps
    ]
    return dataclasses.replace(suite, entries=entries, left_out=tuple(gone)), kept


def _why_left_out(step: CellPlan) -> str:
    """Either the records are stale, or they are not complete."""
    return step.why if step.verdict == "stale" else "no complete record to compare with"


def sweep(
    text: str,
    what: str | Path | Sequence[str] = "smoke",
    *,
    quick: bool = False,
    device: str = "cpu",
    output: str | Path = "results",
    plugins: Paths = (),
    n_jobs: int = 1,
    memory: int = MEMORY,
    timeout: float | None = None,
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: Progress | None = None,
) -> Sweep:
    """Score a method at several values of its parameters, and confirm the best one.

    text: one method with several values, such as ``fading(rate=0.01,0.02,0.05)``; parameters vary
    one at a time, and the others keep their first value.  what: a suite, or cells typed as specs.
    quick: half the chains, and one task of each family.  The values are compared on calibration
    seeds and the winner with the first value on seeds that chose nothing; neither is part of a
    ranked board.  Raises UsageError, PluginError, or NothingMatched where no value has a score.
    """
    reg = registry(_plugin_files(plugins))
    curves = curves_of(text)
    specs = list(dict.fromkeys(spec for curve in curves for spec in curve.specs))
    request = RunRequest(
        what,
        settings={"mitigations": specs},
        device=device,
        output=output,
        plugins=plugins,
        n_jobs=n_jobs,
        memory=memory,
        timeout=timeout,
    )
    suite = load_suite(request)
    row = {spec: row_name(spec, suite, reg) for spec in specs}
    rows = list(dict.fromkeys(row.values()))
    known = {line.task for line in suite.model.calibration} & set(suite.tasks)
    if known:  # other tasks have no score there
        some = tuple(entry for entry in suite.entries if entry.task in known)
        suite = dataclasses.replace(suite, entries=some)
    suite = one_task_per_family(suite) if quick else suite
    _check_row_fits(text, [entry for entry in suite.entries if entry.name in rows])
    store = store_of(request.output).create()
    options = Options(store.path, _absolute(request.plugins), memory, timeout)

    def scored(names: Sequence[str], seeds: Sequence[int]) -> tuple[Scores, tuple[str, ...]]:
        """The scores of these rows on these seeds, and notes."""
        part = part_of(suite, names, measured=not known)
        steps = sweep_plan(part, store, seeds)
        jobs = _jobs(steps)
        if on_plan is not None:
            on_plan(steps, jobs)
        for outcome in execute(jobs, options, n_jobs, on_progress):
            if on_outcome is not None:
                on_outcome(outcome)
        return scores_aside(store, manifest_of(part, seeds), planned=len(suite.seeds))

    chains = tuning_seeds(quick), fresh_seeds(quick)
    tuning, notes = scored(rows, chains[0])
    winner = best_of(tuning, rows)
    if winner is None:
        raise NothingMatched(
            f"no value of {text} has a score: some of the chains failed to run; run the same "
            "command again"
        )
    base = row[specs[0]]
    fresh, _ = scored(list(dict.fromkeys([winner, base])), chains[1])
    return Sweep(
        f"{text} on {_titled(suite)}",
        tuple(
            SweptCurve(
                curve.parameter,
                tuple(map(show, curve.values)),
                tuple(map(_number, curve.values)),
                tuple(row[spec] for spec in curve.specs),
            )
            for curve in curves
        ),
        tuning,
        base,
        winner,
        fresh,
        (len(chains[0]), len(chains[1])),
        notes,
        not known,
    )


def _number(value: Any) -> float:
    """A value of a sweep on the axis of a picture; NaN where it is no number."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain else math.nan


def _titled(suite: Suite) -> str:
    """A suite as the title of a sweep names it."""
    tasks = suite.tasks
    what = f"{suite.name} v{suite.model.version}" if suite.path is not None else "typed cells"
    return f"{what}: {tasks[0]}" if len(tasks) == 1 else f"{what}, {len(tasks)} tasks"


def _check_row_fits(text: str, entries: Sequence[Entry]) -> None:
    """Raises NothingMatched where the rows of a sweep fit no task."""
    if all(entry.skip is not None for entry in entries):
        why = f": {entries[0].skip}" if entries else ""
        raise NothingMatched(f"{text} fits no task of the sweep{why}")


def publish_run(
    output: str | Path, to: str | Path, suite: str | None = None, force: bool = False
) -> list[Path]:
    """Publish a finished run in the folder ``to``: its records in one file, its board and a report.

    Without ``force``, UsageError is raised where files would be replaced, where the settings differ
    from those of the suite of this name, where the manifest is not the one that this suite makes,
    where the machine interrupted chains, for a quick run, where the code has changed since, where a
    plugin of a row is not installed or its file fails the conformance kit, and where a row is above
    `nature` or a gap is not that of its calibration.  Raises NothingMatched where chains are
    missing or damaged.

    Without ``force``, a process of its own imports and runs the plugin files that the manifest
    names.
    """
    from .board.words import report

    ran = results(output, suite)
    manifest, folder = saved_run(ran.output, ran.suite), named_folder(to, "the published files")
    files = [folder / f"{ran.suite}.parquet", folder / f"{ran.suite}.md"]
    if not force:
        _check_request(output, manifest, files)
    records = whole(ran.store, manifest)
    codes: dict[str, list[Mapping[str, Any]]] = {}
    for record, entry in records:
        codes.setdefault(entry.id, []).append(record.code)
    stale = outdated(manifest, codes, ran.store, registry(()))
    if not force:
        _check_plugins(ran.output, manifest, stale)
        _check_chains(records)
    rows = {entry.name for entry in manifest.entries}
    choices = _choices(manifest, ran.archive, ran.output)
    tuning = [choice for choice in choices if set(choice.entries) <= rows]
    signs = ran._signs(manifest)
    board = board_of(ran.store, manifest, tuning=tuning, signs=signs)
    if board.doubts and not force:
        raise UsageError(f"{board.doubts[0]}; publish with --force once you have checked it")
    # without a command, and without paths of this machine
    notes = (*board.notes, *stale.sentences(), *stale.doubts(paths=False))
    text = report(dataclasses.replace(board, notes=notes))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish(records, manifest, files[0], tuning, signs)
        replace_file(files[1], f"{text}\n".encode())
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    return files


def submit(
    output: str | Path,
    mitigation: str | None = None,
    card: str | Path = "card.toml",
    to: str | Path | None = None,
    suite: str | None = None,
    plugin: str | Path | None = None,
) -> Path | None:
    """Pack one row of a run for others; returns the file, or None where a card must be filled in.

    See ``submissions.pack.pack``.
    """
    return pack(
        named_folder(output, "the results"),
        mitigation,
        named(card, "the method card"),
        None if to is None else named(to, "the submission"),
        suite,
        None if plugin is None else named(plugin, "a plugin file"),
    )


def verify(
    path: str | Path,
    level: str = "re-scored",
    *,
    cells: int = CELLS,
    key: str | None = None,
    plugin: str | Path | None = None,
    seconds: float = SECONDS,
    memory: int = AUDIT_MEMORY,
    report: str | Path | None = None,
) -> Verification:
    """Check a submission up to a level: declared, re-scored, re-run or fresh.

    cells: records that are run again, and tasks at fresh settings.  key: of an earlier sample.
    seconds and memory: limits of the plugin's process.  report: a file for the result, as JSON.
    Raises UsageError for a file that is no submission, or an unknown level.
    """
    if level not in LEVELS:
        raise UsageError(f"unknown level {level!r}{nearest(level, LEVELS)}")
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise UsageError(f"cells must be a whole number >= 1, got {cells!r}")
    _positive("seconds", seconds, "seconds")
    _positive("memory", memory, "bytes")
    file = None if report is None else named(report, "the report")
    found = verify_submission(
        named(path, "the submission"),
        registry(()),
        level,
        cells,
        key,
        seconds,
        int(memory),
        None if plugin is None else named(plugin, "a plugin file"),
    )
    if file is not None:
        try:
            replace_file(file, (json.dumps(found.to_json(), indent=1) + "\n").encode())
        except OSError as problem:
            raise unwritable(file, problem) from problem
    return found


def merge(paths: Paths, to: str | Path, suite: str | None = None) -> Manifest:
    """Join submissions and folders of results to a folder that ``results`` opens.

    Raises Conflict, a UsageError, where they contradict each other.
    """
    places = [named(path, "a submission") for path in _listed(paths)]
    return merged(places, named_folder(to, "the merged board"), suite)


def _check_request(output: str | Path, manifest: Manifest, files: Sequence[Path]) -> None:
    """Raises UsageError for a quick run, for settings other than those of the suite of this name,
    and for files that would be replaced."""
    if manifest.published:
        raise UsageError(
            f"{output} holds a quick run, which reuses the published records {manifest.published}; "
            "run the suite without --quick, or publish both together with --force"
        )
    if changed := changes_of(manifest, registry(())):
        raise UsageError(
            f"{output} was not run with the settings of suite {manifest.suite.name} "
            f"(changed: {', '.join(changed)}); run the suite without --set, --seeds and --budget, "
            "give your own suite file another name, or publish it with --force"
        )
    if existing := [str(file) for file in files if file.exists()]:
        raise UsageError(
            f"{' and '.join(existing)} would be replaced; choose another folder with -o, "
            "or replace with --force"
        )


def _check_plugins(output: Path, manifest: Manifest, stale: Outdated) -> None:
    """Raises UsageError where the installed plugins would not make these records, or this manifest,
    and where a plugin file fails the conformance kit."""
    if stale.cells:
        raise UsageError(
            f"{'; '.join(stale.sentences())}; run {run_again(output, manifest, stale.methods)}, "
            "or publish the older records with --force"
        )
    if stale.gone or stale.unchecked:
        raise UsageError(
            f"{'; '.join(stale.doubts())}, or publish the records as they are with --force"
        )
    if other := differences(manifest, registry(())):
        raise UsageError(
            f"the manifest of {output} is not the one that the installed suite makes "
            f"({len(other)} differences, the first: {other[0]}); run the suite again, which reuses "
            "all records, or publish with --force"
        )
    if unfit := failures(manifest.files):
        raise UsageError(
            f"{unfit[0]} ({len(unfit)} in all; `collapse-bench check --plugin FILE` lists them); "
            "mend the plugin, run the suite again without it, or publish with --force"
        )


def _check_chains(records: Sequence[tuple[Record, ManifestEntry]]) -> None:
    """Raises UsageError where the machine interrupted chains."""
    broken = [
        (status, f"{entry.name} on {entry.task}")
        for record, entry in records
        for status in record.status.values()
        if status in BROKEN_OFF
    ]
    if broken:
        raise UsageError(
            f"{len(broken)} chain(s) were interrupted by the machine "
            f"(the first: {', '.join(broken[0])}); run the suite again, which runs only these, "
            "or publish with --force"
        )


def _listed(what: Paths) -> Sequence[str | Path]:
    """A list, since iterating over one string would give its letters."""
    return [what] if isinstance(what, (str, Path)) else what


def _plugin_files(plugins: Paths) -> tuple[str, ...]:
    return tuple(str(named(path, "a plugin file")) for path in _listed(plugins))


def _absolute(plugins: Paths) -> tuple[str, ...]:
    return tuple(str(Path(path).absolute()) for path in _plugin_files(plugins))


def _positive(name: str, value: Any, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"{name} must be a number of {unit} > 0, got {value!r}")


def calibrate(
    what: str | Path,
    *,
    output: str | Path | None = None,
    n_jobs: int = 1,
    plugins: Paths = (),
    on_outcome: OnOutcome | None = None,
    on_plan: OnPlan | None = None,
) -> list[Calibration]:
    """Measure the floor and the units of every task of a suite, and write them into its file.

    Runs 256 chains per task whose seeds no suite uses.  output: folder in which these chains are
    kept and reused; None: a temporary folder.  Raises NothingMatched where the suite has no cell,
    UsageError where its file cannot be written, a control cannot run, or a cell fails.
    """
    reg = registry(_plugin_files(plugins))
    path = find_suite(str(what), reg)
    with _plugins_of_earlier_runs(path, output):
        suite = expand(read_suite(path, calibration=False), reg, path)
    text = path.read_text(encoding="utf-8")
    if not suite.entries:
        why = next(iter(suite.skipped_tasks.values()))
        raise NothingMatched(f"nothing to calibrate in suite {suite.name}: {why}")
    _rewrite(path, text)  # fail before the run, not after it
    for entry in suite.entries:
        if entry.name in CONTROLS and entry.skip is not None:
            raise UsageError(
                f"{entry.task} cannot be calibrated, since the control {entry.name} cannot run "
                f"there ({entry.skip}); take the task out of the suite"
            )
    entries = [entry for entry in suite.run_list() if entry.name in CONTROLS]
    with ExitStack() as stack:
        folder = (
            stack.enter_context(tempfile.TemporaryDirectory(prefix="collapse-bench-"))
            if output is None
            else named_folder(output, "the calibration chains")
        )
        store = Store(Path(folder).absolute()).create()
        bare = Suite(suite.model, tuple(entries), path)
        steps = plan_cells(bare, store, CALIBRATION_SEEDS)
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
        replace_file(path.resolve(), text.encode())  # a link stays a link
    except OSError as problem:
        raise UsageError(
            f"cannot write {path} ({problem.strerror}); copy the suite file to another folder"
        ) from problem


def _calibration(task: str, entries: Sequence[Entry], store: Store) -> Calibration:
    losses = {}
    for entry in entries:
        if entry.task == task:
            cell, data = entry.cell, entry.cell.data
            frame = frame_of(store, [entry_of(entry)], CALIBRATION_SEEDS)
            last = frame[
                (frame.generation == entry.cell.generations) & (frame.metric == data.primary)
            ]
            # a chain that failed has no row, and counts as one without a finite loss
            losses[entry.name] = last.set_index("seed").value.reindex(CALIBRATION_SEEDS).to_numpy()
            if last.empty:
                raise UsageError(
                    f"{entry.cell.label} cannot be calibrated: no chain of {entry.name} ends with "
                    f"a loss; run it to see why: collapse-bench run {shell([entry.cell.label])}"
                )
    measured = floor_and_gap(
        losses["none"],
        losses["nature"],
        losses["trivial"],
        data.resolution,
        data.log_loss,
    )
    reads_files = any(contents(part) for _, part in cell.parts())
    return Calibration(
        task=task,
        floor=measured.floor,
        gap=measured.gap,
        gap_sd=measured.gap_sd,
        harm=measured.harm,
        harm_sd=measured.harm_sd,
        chains=len(losses["none"]),
        cell=dataclasses.replace(cell, mitigations=()).id if reads_files else None,
    )


def predict(spec: str, *, plugins: Sequence[str | Path] = ()) -> tuple[float, ...]:
    """Expected primary loss of a cell for t = 0 .. T by its law, NaN where it is unknown.

    Raises NothingMatched where the cell has no law, UsageError where its parts do not fit.
    """
    cell = registry(_plugin_files(plugins)).cell(spec)
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
    plugins: Paths = (),
    on_verdicts: Callable[[list[Verdict], int], None] | None = None,
) -> list[Verdict]:
    """Run the engine against the laws that plugins claim, and return one verdict per claim.

    words: check only laws whose names contain one of these.  quick: with fewer chains.
    on_verdicts: called with each group of verdicts and the total number of claims.  Raises
    NothingMatched where no claim is left.
    """
    parts = [words] if isinstance(words, str) else list(words)
    known = registry(_plugin_files(plugins)).claims()
    claimed = {claim.law for claim in known}
    for word in parts:
        if not any(word in law for law in claimed):
            laws = [law for law in theory.laws() if word in law]
            raise NothingMatched(
                f"no cell of the engine expresses {', '.join(laws)}; "
                f"'collapse-bench law {laws[0]}' shows what it is"
                if laws
                else f"there is no claim about {word}{nearest(word, claimed)}"
            )
    claims = [claim for claim in known if not parts or any(word in claim.law for word in parts)]
    if not claims:
        raise NothingMatched("no plugin claims a law")
    verdicts: dict[int, Verdict] = {}
    order = {id(claim): i for i, claim in enumerate(claims)}
    for group in law_checks.checked(law_checks.groups(claims, quick), n_jobs, _absolute(plugins)):
        verdicts.update({order[id(verdict.claim)]: verdict for verdict in group})
        if on_verdicts is not None:
            on_verdicts(group, len(claims))
    return [verdicts[i] for i in sorted(verdicts)]


def reproduce(
    name: str,
    *,
    scale: Scale = "quick",
    data: str | Path | None = None,
    output: str | Path = "figures",
    n_jobs: int = 1,
    plugins: Paths = (),
    device: str = "cpu",
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Redraw a figure of a paper: (its numbers, the files written).  Earlier runs are reused.

    scale: ``quick`` or ``paper``.  data: a folder of real images, for figures that use them.
    """
    return redrawn(
        name,
        registry(_plugin_files(plugins)),
        scale=scale,
        data=None if data is None else named(data, "the images"),
        output=named_folder(output, "the figures"),
        n_jobs=n_jobs,
        plugins=_absolute(plugins),
        device=device_of(device),
        on_plan=on_plan,
        on_outcome=on_outcome,
    )


def device_of(name: str) -> str:
    """The name of an available device: cpu, cuda, cuda:0; auto gives the GPU where torch sees one.

    Raises UsageError for an unknown or unavailable device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as problem:
        raise UsageError(f"unknown device {name!r}; write cpu, cuda, cuda:0 or auto") from problem
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; write cpu, cuda, cuda:0 or auto")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} is not available: torch sees no GPU; use --device cpu")
    return name


def cell_of(
    spec: str, *, seeds: str | int | Sequence[int] = "0:32", device: str = "cpu", **changes: Any
) -> Cell:
    """A cell from its spec, for your own loop: ``for generation in generations(cell_of(...))``.

    seeds: a range as text, one seed or several.  changes: n, generations, growth, n0 or
    first_teacher.
    Raises UsageError for a spec, seed or change that is not valid.
    """
    settings = ("n", "generations", "growth", "n0", "first_teacher")
    if not isinstance(spec, str):
        raise UsageError(f"a cell is written as text, 'data | model | protocol', got {spec!r}")
    for name in changes:
        if name not in settings:
            raise UsageError(f"cell_of has no setting {name!r}{nearest(name, settings)}")
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
            "seeds must be whole numbers >= 0 and < 2^63, at least one, or a range '0:32'; "
            f"got {seeds!r}"
        )
    return picked


def offer(name: str, cls: type[Mitigation]) -> None:
    """Offer a mitigation that is written in a notebook or script under a name.

    Raises PluginError where the name or the class cannot be offered.
    """
    registry().offer("mitigation", name, cls)
    for sentence in misspelt_stages(cls):
        warnings.warn(sentence, UserWarning, stacklevel=2)
