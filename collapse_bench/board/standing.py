"""The score of one row while its run goes on, over the tasks whose chains have ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from ..errors import UserError
from ..records.manifest import Manifest
from ..records.store import Store
from ..scoring.rules import UNITS
from ..scoring.score import Scores, score
from ..scoring.task import Task
from .cells import signed
from .collect import losses_of
from .provisional import controls_of, provisional
from .render import named_rows


class Standing:
    """Tells the score of a row so far.

    jobs: the id of the cell of each job that is to run; chains of other cells are there already.
    """

    def __init__(self, store: Store, manifest: Manifest, row: str, jobs: Iterable[str]):
        self.store, self.manifest, self.row = store, manifest, row
        self.waiting = Counter(jobs)
        calibrated = {line.task for line in manifest.suite.calibration}
        wanted = {*UNITS, row} - ({"nature"} if calibrated else set())
        entries = [e for e in manifest.entries if e.name in wanted and e.role != "curve"]
        fitted = {e.task for e in entries if e.name == row and (e.skip is None or e.declined)}
        # the tasks of a suite that are not calibrated enter no mean
        scored = fitted & calibrated if calibrated else fitted
        self.cells = {task: [e for e in entries if e.task == task] for task in sorted(scored)}
        self.losses: dict[str, pd.DataFrame] = {}
        self.tasks: dict[str, Task] = {}
        self.text = ""

    def ended(self, cell: str) -> str:
        """The score after a job of this cell has ended, as text; "" where there is none yet."""
        self.waiting[cell] -= 1
        new = [
            task
            for task, entries in self.cells.items()
            if task not in self.losses and not any(self.waiting[e.id] > 0 for e in entries)
        ]
        if new:
            try:
                for task in new:
                    self._read(task)
                self.text = self._in_words(self._scores())
            except UserError:  # a record is missing; the board says so
                pass
        return self.text

    def _read(self, task: str) -> None:
        part = replace(
            self.manifest,
            tasks={task: self.manifest.tasks[task]},
            entries=tuple(self.cells[task]),
        )
        self.losses[task], _, tasks = losses_of(self.store, part)
        self.tasks |= tasks

    def _scores(self) -> Scores | None:
        losses = pd.concat(self.losses.values(), ignore_index=True)
        if not self.tasks:
            tasks = {task: self.manifest.tasks[task] for task in self.losses}
            measured, _ = provisional(losses, replace(self.manifest, tasks=tasks))
            return None if measured is None else measured.whole
        controls = controls_of(self.manifest)
        planned = len(self.manifest.seeds)
        return score(losses, self.tasks, controls=controls, planned=planned)

    def _in_words(self, scores: Scores | None) -> str:
        if scores is None:
            return self.text
        row = next(named_rows(scores.rows[scores.rows.entry == self.row]))
        if math.isnan(row.S):
            return self.text
        interval = "" if math.isnan(row.low) else f" [{signed(row.low)}, {signed(row.high)}]"
        done = f"{len(self.losses)} of {len(self.cells)} tasks"
        return f"{self.row} {signed(row.S)}{interval} after {done}, provisional"
