"""The floor and the units of every task of a suite, measured."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..board.collect import frame_of
from ..core.content import contents
from ..display import shell
from ..errors import NothingMatched, UsageError
from ..paths import named_folder
from ..records.files import replace_file
from ..records.settings import Calibration
from ..records.store import Store
from ..registry.discovery import registry
from ..running.bar import OnOutcome, OnPlan
from ..running.execute import execute, jobs_of
from ..running.jobs import Options
from ..scoring.task import floor_and_gap
from ..suite.expand import CONTROLS, Entry, Suite, expand
from ..suite.manifest import entry_of
from ..suite.model import CALIBRATION_SEEDS, find_suite, read_suite, with_calibration
from ..suite.plan import plan as plan_cells
from .arguments import Paths, absolute_paths, plugin_paths
from .loading import plugin_file_hints


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
    reg = registry(plugin_paths(plugins))
    path = find_suite(str(what), reg)
    with plugin_file_hints(path, output):
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
        jobs = jobs_of(steps)
        if on_plan is not None:
            on_plan(steps, jobs)
        for outcome in execute(jobs, Options(store.path, absolute_paths(plugins)), n_jobs):
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
