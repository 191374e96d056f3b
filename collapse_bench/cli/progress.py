"""Progress of a run: live lines on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..display import MOST, visible
from ..running.chains import ProgressEvent
from ..running.jobs import Job, JobOutcome
from ..status import BROKEN_OFF, FAILURES, Status
from ..suite.plan import VERDICTS, Estimate
from .output import tell
from .timing import TimeLeft, took

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

BASIC = ("reuse", "run", "stale", "skip")  # verdicts that are counted even where none has them
LONG = 5.0  # a generation that takes more seconds than this gets a line
SILENCE = 60.0  # seconds of training between two lines


class Stopped(click.ClickException):
    """--fail-fast stopped the run at its first failure (exit code 1)."""


class Reporter:
    """Shows what a run does, on stderr.

    standing: asked after each job; the score of the method so far as text, "" where there is none.
    """

    def __init__(
        self,
        quiet: bool = False,
        fail_fast: bool = False,
        skipped: int = 0,
        standing: Callable[[JobOutcome], str] | None = None,
    ):
        from rich.console import Console

        self.quiet, self.fail_fast = quiet, fail_fast
        self.skipped = skipped  # tasks without a cell, which are not in the plan
        self.standing = standing
        self.console = Console(stderr=True)
        self.live = (
            not quiet and sys.stderr.isatty()
        )  # rich's own test obeys FORCE_COLOR, which says nothing about a terminal
        self.shown: Any = None  # a rich.live.Live, which is imported when it is shown
        self.left: TimeLeft | None = None
        self.total = self.done = 0
        self.counts: Counter[str] = Counter()  # chains that failed, cells that were skipped
        self.score = ""  # of the method so far
        self.now = self.losses = ""  # the lines about the cell that runs
        self.last_line: dict[str, float] = {}  # label -> time of its last line

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exc) -> None:
        if self.shown is not None:
            self.shown.stop()

    def planned(
        self, steps, jobs: list[Job], estimate: Estimate | None = None, n_jobs: int = 1
    ) -> None:
        """Begin to show these jobs; further ones may follow when they have ended."""
        verdicts = Counter(step.verdict for step in steps) + Counter(skip=self.skipped)
        chains = sum(len(job.seeds) for job in jobs)
        self.total, self.done = len(jobs), 0
        self.counts["skipped"] += verdicts["skip"]
        if self.quiet:
            return
        counts = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
        expected = took(estimate, n_jobs) if estimate is not None else ""
        tell(f"plan: {counts} ({chains} chains in {len(jobs)} jobs{expected})")
        if self.live and jobs:
            self.left = TimeLeft(jobs, estimate, n_jobs)
            self._begin()

    def _begin(self) -> None:
        from rich.live import Live

        if self.shown is None:
            self.shown = Live(
                self, console=self.console, transient=True, refresh_per_second=4, screen=False
            )
            self.shown.start()

    # -- the live lines ----------------------------------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The times and the count in full; then the counts and the score, the cell that runs, and
        its losses, each cut to the width."""
        from rich.text import Text

        width = options.max_width
        for i, line in enumerate(self.lines(width)):
            # the first line is short enough; what is cut elsewhere ends with an ellipsis
            yield Text(line, no_wrap=True, overflow="ellipsis", style="bold" if not i else "")

    def lines(self, width: int) -> list[str]:
        """What is shown now, in lines of at most ``width`` characters."""
        times = f"{self.done}/{self.total}  {self.left}"
        room = min(20, width - len(times) - 3)
        full = round(room * self.done / max(self.total, 1)) if room >= 5 else 0
        strip = "\u2501" * full + "\u2500" * (room - full) + "  " if room >= 5 else ""
        counted = ", ".join(f"{n} {what}" for what, n in sorted(self.counts.items()) if n)
        second = "; ".join(filter(None, [counted, self.score]))
        found = [strip + times, second, self.now, self.losses]
        return [_cut(line, width) for line in found if line]

    def _end_of(self, label: str, before: str = "") -> str:
        """The end of a label that fits its line; cells of a suite differ at the end."""
        label, room = visible(label), max(12, self.console.width - 2 - len(before))
        return label if len(label) <= room else f"\u2026{label[1 - room :]}"

    def moved(self, event: ProgressEvent) -> None:
        """Update the lines; without them, print one for a long generation or training."""
        if self.shown is not None:
            where = _where(event)
            self.now = f"{where}  {self._end_of(event.label, where)}"
            self.losses = _by_generation(event, self.console.width)
            if self.left is not None:
                self.left.moved(event)
            return
        now = time.monotonic()
        before = self.last_line.setdefault(event.label, now)
        if not self.quiet and now - before >= (LONG if event.step is None else SILENCE):
            self.last_line[event.label] = now
            losses = _by_generation(event, 80) if event.step is None else ""
            tell(f"{_where(event)}  {visible(event.label)}{'; ' * bool(losses)}{losses}")

    def ended(self, outcome: JobOutcome) -> None:
        self.done += 1
        label = outcome.job.cell.label
        self.last_line.pop(label, None)
        for status, chains in outcome.statuses.items():
            if status in (*FAILURES, *BROKEN_OFF, Status.OVER_BUDGET):
                self.counts["failed"] += chains
        self.counts["skipped"] += set(outcome.statuses) == {Status.SKIPPED}
        before = self.score
        if self.standing is not None and not self.quiet:
            self.score = self.standing(outcome)
        if self.shown is not None:
            assert self.left is not None
            self.left.ended(outcome)
            self.now, self.losses = self._end_of(label), ""
        if not self.quiet and not (self.live and outcome.good):
            counts = " ".join(f"{n} {status}" for status, n in outcome.statuses.items())
            why = f": {visible(outcome.reason, MOST)}" if outcome.reason else ""
            score = f"; {self.score}" if self.score != before else ""
            tell(
                f"[{self.done}/{self.total}] {counts} in {outcome.seconds:.2f} s  "
                f"{visible(label)}{why}{score}"
            )
        if self.fail_fast and not outcome.good:
            raise Stopped(f"stopped at {label}: {outcome.reason}")


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}\u2026"


def _by_generation(event: ProgressEvent, width: int) -> str:
    """The loss of each generation of a cell that takes long, the latest ones where room is short;
    "" for other cells, whose numbers pass too fast to be read."""
    if not event.losses or event.seconds < LONG:
        return ""
    words = [f"{loss:.3g}" for loss in event.losses]
    text = f"loss by generation: {' '.join(words)}"
    while len(text) > width and len(words) > 2:
        words.pop(1)
        text = f"loss by generation: {words[0]} \u2026 {' '.join(words[1:])}"
    return text


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
