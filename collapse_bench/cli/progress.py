"""Progress of a run: a live bar on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ..running.chains import ProgressEvent
from ..running.jobs import Job, Outcome

VERDICTS = ("reuse", "run", "stale", "skip", "left out")  # on the cells of a plan
LONG = 5.0  # seconds of a generation from which on its end is an event
SILENCE = 60.0  # seconds of training after which a sign of life is due


class Stopped(click.ClickException):
    """The run was stopped at the first failure, as --fail-fast asks; exit code 1."""


def took(estimate: tuple[float, int], n_jobs: int) -> str:
    """`, about 12 min` from CPU seconds and the chains of which nothing is known; '' where it is not worth a word."""
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
    rest = f" and what {unknown} chains take of which nothing is known" if unknown else ""
    return f", about {about} by what was measured before{rest}"


class Reporter:
    """Shows what a run does, on stderr."""

    def __init__(self, quiet: bool = False, fail_fast: bool = False, skipped: int = 0):
        from rich.console import Console

        self.quiet, self.fail_fast = quiet, fail_fast
        self.skipped = skipped  # tasks of which no cell is made, and so no step of the plan
        self.console = Console(stderr=True)
        self.live = (
            not quiet and sys.stderr.isatty()
        )  # and not rich's idea of a terminal, which FORCE_COLOR sways
        self.bar = self.task = None
        self.total = self.done = 0
        self.told: dict[str, float] = {}  # label -> when its run last gave a sign of life

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
        said = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
        click.echo(
            f"plan: {said} ({chains} chains in {len(jobs)} jobs{took(estimate, n_jobs)})", err=True
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
        """As much of a label as has room beside the bar: its end, which is where the cells of a suite differ."""
        room = max(20, self.console.width - 90)
        return label if len(label) <= room else f"\u2026{label[1 - room :]}"

    def moved(self, moment: ProgressEvent) -> None:
        """A step on the bar; elsewhere a line for each generation of a long run, and for a long training now and then."""
        if self.bar is not None:
            self.bar.update(
                self.task, description=f"{_where(moment)}  {self._end_of(moment.label)}"
            )
            return
        now = time.monotonic()
        before = self.told.setdefault(moment.label, now)
        if not self.quiet and now - before >= (LONG if moment.step is None else SILENCE):
            self.told[moment.label] = now
            print(f"{_where(moment)}  {moment.label}", file=sys.stderr)

    def ended(self, outcome: Outcome) -> None:
        self.done += 1
        label = outcome.job.cell.label
        self.told.pop(label, None)
        said = " ".join(f"{n} {status}" for status, n in outcome.statuses.items())
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=label)
        if not self.quiet and not (self.live and outcome.good):
            why = f": {outcome.reason}" if outcome.reason else ""
            print(
                f"[{self.done}/{self.total}] {said} in {outcome.seconds:.2f} s  {label}{why}",
                file=sys.stderr,
            )
        if self.fail_fast and not outcome.good:
            raise Stopped(f"stopped at {label}: {outcome.reason}")


def _where(moment: ProgressEvent) -> str:
    """Generation, step, loss and time left of one run."""
    said = f"generation {moment.done}/{moment.total}"
    if moment.step is not None:
        step = moment.step
        said += f", {step.work} {step.done}/{step.total} {step.note}".rstrip()
    if 0 < moment.share < 1 and moment.seconds > LONG:
        left = round((1 - moment.share) / max(moment.share - moment.started, 1e-9) * moment.seconds)
        said += f", {left // 60}:{left % 60:02d} left"
    return said


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """``moved(more, total)`` moves a bar on a terminal, and writes a line now and then elsewhere."""
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
