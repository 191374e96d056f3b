"""Progress of a run: a live bar on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..running.chains import ProgressEvent
from ..running.jobs import Job, JobOutcome

VERDICTS = ("reuse", "run", "stale", "skip", "left out")  # of a plan, in the order shown
LONG = 5.0  # a generation that takes more seconds than this gets a line
SILENCE = 60.0  # seconds of training between two lines


class Stopped(click.ClickException):
    """--fail-fast stopped the run at its first failure (exit code 1)."""


def took(estimate: tuple[float, int], n_jobs: int) -> str:
    """`, about 12 min, ...` from (CPU seconds, chains without a timing); '' below 30 seconds."""
    seconds, unknown = estimate[0] / n_jobs, estimate[1]
    if seconds < 30:
        return ""
    about = (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
    rest = f" ({unknown} chains have no timing)" if unknown else ""
    return f", about {about}, estimated from earlier runs{rest}"


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
        self.total = self.done = 0
        self.last_line: dict[str, float] = {}  # label -> time of its last line

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exc) -> None:
        if self.bar is not None:
            self.bar.stop()

    def planned(
        self, steps, jobs: list[Job], estimate: tuple[float, int] = (0.0, 0), n_jobs: int = 1
    ) -> None:
        verdicts = Counter(step.verdict for step in steps) + Counter(skip=self.skipped)
        chains = sum(len(job.seeds) for job in jobs)
        self.total = len(jobs)
        if self.quiet:
            return
        counts = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
        click.echo(
            f"plan: {counts} ({chains} chains in {len(jobs)} jobs{took(estimate, n_jobs)})",
            err=True,
        )
        if self.live and jobs:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=len(jobs))

    def _end_of(self, label: str) -> str:
        """The end of a label that fits next to the bar; cells of a suite differ at the end."""
        room = max(20, self.console.width - 90)
        return label if len(label) <= room else f"\u2026{label[1 - room :]}"

    def moved(self, event: ProgressEvent) -> None:
        """Update the bar; without one, print a line for a long generation or training."""
        if self.bar is not None:
            self.bar.update(self.task, description=f"{_where(event)}  {self._end_of(event.label)}")
            return
        now = time.monotonic()
        before = self.last_line.setdefault(event.label, now)
        if not self.quiet and now - before >= (LONG if event.step is None else SILENCE):
            self.last_line[event.label] = now
            print(f"{_where(event)}  {event.label}", file=sys.stderr)

    def ended(self, outcome: JobOutcome) -> None:
        self.done += 1
        label = outcome.job.cell.label
        self.last_line.pop(label, None)
        counts = " ".join(f"{n} {status}" for status, n in outcome.statuses.items())
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=label)
        if not self.quiet and not (self.live and outcome.good):
            why = f": {outcome.reason}" if outcome.reason else ""
            print(
                f"[{self.done}/{self.total}] {counts} in {outcome.seconds:.2f} s  {label}{why}",
                file=sys.stderr,
            )
        if self.fail_fast and not outcome.good:
            raise Stopped(f"stopped at {label}: {outcome.reason}")


def _where(event: ProgressEvent) -> str:
    """Generation, step, loss and time left of one run."""
    text = f"generation {event.done}/{event.total}"
    if event.step is not None:
        step = event.step
        text += f", {step.work} {step.done}/{step.total} {step.note}".rstrip()
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
                print(f"{what}: {done} of {total}", file=sys.stderr)

        yield moved
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda more, total: shown.update(task, advance=more, total=total)
