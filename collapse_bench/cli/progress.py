"""Progress of a run: a live bar on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..display import MOST, visible
from ..running.chains import ProgressEvent
from ..running.jobs import Job, JobOutcome
from ..suite.plan import VERDICTS, Estimate
from .output import tell

BASIC = ("reuse", "run", "stale", "skip")  # verdicts that are counted even where none has them
LONG = 5.0  # a generation that takes more seconds than this gets a line
SILENCE = 60.0  # seconds of training between two lines


class Stopped(click.ClickException):
    """--fail-fast stopped the run at its first failure (exit code 1)."""


def took(estimate: Estimate, n_jobs: int = 1) -> str:
    """What to expect of a plan: `, about 12 min of CPU time, ...`; "" below 30 seconds."""
    if estimate.unknown and estimate.unknown == estimate.chains:
        return ", time unknown"
    text = ""
    if estimate.seconds >= 30:
        cores = f", {_about(estimate.seconds / n_jobs)} on {n_jobs} free cores" * (n_jobs > 1)
        text = f", about {_about(estimate.seconds)} of CPU time{cores}, estimated from earlier runs"
    return text + f" ({estimate.unknown} chains have no timing)" * bool(estimate.unknown)


def _about(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class TimeLeft:
    """The time that is left of a run.

    Before the first job ends, what the plan estimated; then the time so far, in proportion to the
    estimates of the jobs.
    """

    def __init__(self, jobs: Sequence[Job], estimate: Estimate | None, n_jobs: int):
        known = estimate.per_chain if estimate is not None else {}
        usual = sum(known.values()) / len(known) if known and any(known.values()) else 1.0
        self.weights = {
            (job.cell.id, job.seeds): max(known.get(job.cell.id, usual) * len(job.seeds), 1e-3)
            for job in jobs
        }
        self.total, self.done = sum(self.weights.values()), 0.0
        trusted = estimate is not None and 2 * estimate.unknown < estimate.chains
        self.planned = self.total / n_jobs if trusted else None
        self.began = time.monotonic()

    def ended(self, job: Job) -> None:
        self.done += self.weights.get((job.cell.id, job.seeds), 0.0)

    def __str__(self) -> str:
        elapsed = time.monotonic() - self.began
        text, left = f"{_clock(elapsed)} elapsed", None
        if self.done:
            left = elapsed * (self.total - self.done) / self.done
        elif self.planned is not None:
            left = max(self.planned - elapsed, 0.0)
        return text if left is None else f"{text}, {_clock(left)} left"


class Reporter:
    """Shows what a run does, on stderr."""

    def __init__(self, quiet: bool = False, fail_fast: bool = False, skipped: int = 0):
        from rich.console import Console

        self.quiet, self.fail_fast = quiet, fail_fast
        self.skipped = skipped  # tasks without a cell, which are not in the plan
        self.console = Console(stderr=True)
        self.live = (
            not quiet and sys.stderr.isatty()
        )  # rich's own test obeys FORCE_COLOR, which says nothing about a terminal
        self.bar: Any = None  # a rich.progress.Progress, which is imported when it is shown
        self.task: Any = None
        self.left: Any = None  # the TimeLeft of a shown bar
        self.total = self.done = 0
        self.last_line: dict[str, float] = {}  # label -> time of its last line

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exc) -> None:
        if self.bar is not None:
            self.bar.stop()

    def planned(
        self, steps, jobs: list[Job], estimate: Estimate | None = None, n_jobs: int = 1
    ) -> None:
        verdicts = Counter(step.verdict for step in steps) + Counter(skip=self.skipped)
        chains = sum(len(job.seeds) for job in jobs)
        self.total = len(jobs)
        if self.quiet:
            return
        counts = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
        expected = took(estimate, n_jobs) if estimate is not None else ""
        tell(f"plan: {counts} ({chains} chains in {len(jobs)} jobs{expected})")
        if self.live and jobs:
            self._begin(jobs, TimeLeft(jobs, estimate, n_jobs))

    def _begin(self, jobs: list[Job], left: TimeLeft) -> None:
        """Show the bar.  Its count and its times keep their room; the label takes the rest."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn
        from rich.progress import Task as Row
        from rich.table import Column
        from rich.text import Text

        class Times(ProgressColumn):
            def render(self, task: Row) -> Text:
                return Text(str(left), no_wrap=True)

        class Now(ProgressColumn):
            def render(self, task: Row) -> Text:
                return Text(task.description, no_wrap=True, overflow="ellipsis")

        self.left = left
        self.bar = Progress(
            BarColumn(bar_width=10),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            Times(table_column=Column(no_wrap=True)),
            Now(table_column=Column(ratio=1, no_wrap=True)),
            console=self.console,
            transient=True,
            expand=True,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=len(jobs))

    def _end_of(self, label: str, before: str = "") -> str:
        """The end of a label that fits next to the bar; cells of a suite differ at the end."""
        label, room = visible(label), max(12, self.console.width - 58 - len(before))
        return label if len(label) <= room else f"\u2026{label[1 - room :]}"

    def moved(self, event: ProgressEvent) -> None:
        """Update the bar; without one, print a line for a long generation or training."""
        if self.bar is not None:
            where = _where(event)
            shown = f"{where}  {self._end_of(event.label, where)}"
            self.bar.update(self.task, description=shown)
            return
        now = time.monotonic()
        before = self.last_line.setdefault(event.label, now)
        if not self.quiet and now - before >= (LONG if event.step is None else SILENCE):
            self.last_line[event.label] = now
            tell(f"{_where(event)}  {visible(event.label)}")

    def ended(self, outcome: JobOutcome) -> None:
        self.done += 1
        label = outcome.job.cell.label
        self.last_line.pop(label, None)
        counts = " ".join(f"{n} {status}" for status, n in outcome.statuses.items())
        if self.bar is not None:
            self.left.ended(outcome.job)
            self.bar.update(self.task, advance=1, description=self._end_of(label))
        if not self.quiet and not (self.live and outcome.good):
            why = f": {visible(outcome.reason, MOST)}" if outcome.reason else ""
            tell(
                f"[{self.done}/{self.total}] {counts} in {outcome.seconds:.2f} s  "
                f"{visible(label)}{why}"
            )
        if self.fail_fast and not outcome.good:
            raise Stopped(f"stopped at {label}: {outcome.reason}")


def _where(event: ProgressEvent) -> str:
    """Generation, step, loss and time left of one run."""
    text = f"generation {event.done}/{event.total}"
    if event.step is not None:
        step = event.step
        words = f", {step.work} {step.done}/{step.total} {step.note}".rstrip()
        text += visible(words)
    if 0 < event.share < 1 and event.seconds > LONG:
        left = round((1 - event.share) / max(event.share - event.started, 1e-9) * event.seconds)
        text += f", {left // 60}:{left % 60:02d} left"
    return text


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives ``moved(more, total)``: it advances a bar, or prints ten lines where there is no
    terminal."""
    if not sys.stderr.isatty():
        done = 0

        def moved(more: int, total: int) -> None:
            nonlocal done
            before, done = done, done + more
            if before * 10 // total != done * 10 // total:
                tell(f"{what}: {done} of {total}")

        yield moved
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda more, total: shown.update(task, advance=more, total=total)
