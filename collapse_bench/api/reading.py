"""The results of a run, read from its folder or from published records."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..board import Board
from ..board.card import Card, card_of
from ..board.collect import board_of, frame_of, laws_of
from ..board.curves import Statistic, picture
from ..board.pair import Pair, pair_of
from ..board.ranked import RankedBoard
from ..board.render import writable
from ..board.source import Source, source_of
from ..display import html
from ..errors import NothingMatched, UsageError, UserError
from ..paths import named, unwritable
from ..records.again import run_again
from ..records.archive import Archive, earlier_page, reused, store_with
from ..records.files import replace_file
from ..records.findings import choices_of_run, signs_of_run
from ..records.manifest import Manifest, of_family
from ..records.store import Store
from ..registry.discovery import registry
from ..running.jobs import JobOutcome
from ..suite.manifest import calibrated, manifest_of, saved_run
from ..suite.plan import CellPlan
from ..suite.staleness import outdated
from .card import further_commands, other_configurations
from .loading import load_suite
from .reporting import page_of_run
from .request import RunRequest

if TYPE_CHECKING:
    from ..board.page.history import Snapshot


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
        return store_with(self.output, self.archive)

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
        ran = self.output, manifest.suite.name, self.archive
        choices, signs = choices_of_run(*ran), signs_of_run(*ran)
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
        others = other_configurations(self.output, manifest, row)
        further = further_commands(manifest, row, whole.broken(shown))
        return card_of(whole, shown, str(self.output), others, further)

    def _repr_html_(self) -> str:
        """What a notebook shows: the board, or why there is none."""
        try:
            shown = self.board()._repr_html_()
        except UserError as problem:
            shown = html(problem)
        return f"<div>{html(repr(self))}{shown}</div>"

    def draw(self, path: str | Path, statistic: Statistic = "mean") -> list[Path]:
        """Plot the loss of every task and entry against the generation; returns the files.

        path: ends in .png, .svg or .pdf.  A page has at most 12 tasks; further pages of a picture
        are files next to it.  statistic: what is drawn of the chains; a few bad chains can carry
        the mean, and the median shows the typical one.  The focus row is bold, and what a law
        predicts is dashed.
        """
        from ..board.curves import draw_curves

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
        from ..board.page.write import form_of

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

        from ..board.page.gather import Gathered, shown_to
        from ..board.page.history import moved, snapshot
        from ..board.page.write import check_columns, content, draw_tiers, form_of

        form, own = form_of(form, None), version("collapse-bench")
        check_columns(form, columns)
        manifest = self._manifest()
        gathered = Gathered(manifest)
        board = self._board(manifest, shown_to(gathered, self.store), focus, track)
        page = page_of_run(board, gathered, manifest, self.archive, own)
        history = None
        if form == "html" and isinstance(board, RankedBoard):
            then = _earlier(against, manifest)
            history = None if then is None else moved(snapshot(board, manifest), then)
        elif against is not None and not isinstance(board, RankedBoard):
            raise UsageError(f"{self.suite} has no scores to compare, since no task is calibrated")
        if figure is not None:
            draw_tiers(page, figure)
        return content(form, board, page, history, columns, time.time(), own)


def _earlier(against: str | Path | None, manifest: Manifest) -> Snapshot | None:
    """The board to compare with: the one that is named, or else the last published page."""
    from ..board.page.history import snapshot, snapshot_of_page

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
    if published is None:
        archive = reused(folder, manifest)
    else:
        archive = Archive(named(published, "the published records"))
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
