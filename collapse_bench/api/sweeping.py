"""A method at several values of its parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..board.aside import scores_aside
from ..board.swept import Sweep, SweptCurve, best_of
from ..errors import NothingMatched
from ..registry.discovery import registry
from ..running.bar import OnOutcome, OnPlan
from ..running.chains import MEMORY, Progress
from ..running.execute import execute, jobs_of
from ..running.jobs import Options
from ..scoring.score import Scores
from ..spec import show
from ..suite.aside import store_of
from ..suite.expand import Entry, Suite
from ..suite.manifest import manifest_of
from ..suite.sweep import (
    curves_of,
    fresh_seeds,
    one_task_per_family,
    part_of,
    plan_of,
    tuning_seeds,
)
from ..suite.tunings import row_name
from .arguments import Paths, absolute_paths, plugin_paths
from .loading import load_suite
from .request import RunRequest


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
    reg = registry(plugin_paths(plugins))
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
    _check_fits(text, [entry for entry in suite.entries if entry.name in rows])
    store = store_of(request.output).create()
    options = Options(store.path, absolute_paths(request.plugins), memory, timeout)

    def scored(names: Sequence[str], seeds: Sequence[int]) -> tuple[Scores, tuple[str, ...]]:
        """The scores of these rows on these seeds, and notes."""
        part = part_of(suite, names, measured=not known)
        steps = plan_of(part, store, seeds)
        jobs = jobs_of(steps)
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


def _check_fits(text: str, entries: Sequence[Entry]) -> None:
    """Raises NothingMatched where the rows of a sweep fit no task."""
    if all(entry.skip is not None for entry in entries):
        why = f": {entries[0].skip}" if entries else ""
        raise NothingMatched(f"{text} fits no task of the sweep{why}")
