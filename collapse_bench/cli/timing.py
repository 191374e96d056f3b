"""How long a run takes: what its plan expects, and what is left of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from ..running.chains import ProgressEvent
from ..running.jobs import Job, JobOutcome
from ..suite.plan import Estimate

LEAST_SECONDS = 5.0  # of a running cell, before its speed says what it will take


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


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class TimeLeft:
    """The time that is left of a run, from what its cells have cost so far.

    Before anything is measured, what the plan estimated.  Then the estimate of each job, times what
    the jobs of its task took in proportion to their estimates, or else what all jobs took.
    """

    def __init__(self, jobs: Sequence[Job], estimate: Estimate | None, n_jobs: int):
        known = estimate.per_chain if estimate is not None else {}
        self.usual = sum(known.values()) / len(known) if known and any(known.values()) else 1.0
        self.known, self.n_jobs = dict(known), n_jobs
        self.waiting = Counter((job.cell.id, job.seeds) for job in jobs)
        self.jobs = {(job.cell.id, job.seeds): job for job in jobs}
        self.of_label = {job.cell.label: job for job in jobs}
        self.trusted = estimate is not None and 2 * estimate.unknown < estimate.chains
        self.began = time.monotonic()
        self.spent: dict[str, float] = defaultdict(float)  # task -> seconds; "": of all tasks
        self.expected: dict[str, float] = defaultdict(float)  # of the same jobs, before the run
        self.running: dict[str, tuple[float, float]] = {}  # label -> (share, seconds of the whole)

    def _prior(self, job: Job) -> float:
        return max(self.known.get(job.cell.id, self.usual) * len(job.seeds), 1e-3)

    def moved(self, event: ProgressEvent) -> None:
        if event.seconds >= LEAST_SECONDS and event.share > event.started:
            whole = event.seconds / (event.share - event.started)
            self.running[event.label] = event.share, whole

    def ended(self, outcome: JobOutcome) -> None:
        job = outcome.job
        self.running.pop(job.cell.label, None)
        if self.waiting[job.cell.id, job.seeds] > 0:
            self.waiting[job.cell.id, job.seeds] -= 1
        if outcome.seconds > 0:
            for task in (job.cell.task, ""):
                self.spent[task] += outcome.seconds
                self.expected[task] += self._prior(job)

    def _ratio(self, job: Job) -> float | None:
        """What jobs took in proportion to their estimates; None where nothing is measured."""
        for task in (job.cell.task, ""):
            if self.expected[task]:
                return self.spent[task] / self.expected[task]
        return None

    @property
    def left(self) -> float | None:
        """Seconds; None where neither an earlier run nor this one tells them."""
        elapsed = time.monotonic() - self.began
        ratios = {key: self._ratio(job) for key, job in self.jobs.items() if self.waiting[key] > 0}
        measured = self.running or any(ratio is not None for ratio in ratios.values())
        if not measured and not self.trusted and ratios:
            return None
        total = sum(
            (1.0 if ratio is None else ratio) * self._prior(self.jobs[key]) * self.waiting[key]
            for key, ratio in ratios.items()
        )
        for label, (share, whole) in self.running.items():
            job = self.of_label.get(label)
            if job is not None:  # its own speed replaces its estimate
                ratio = self._ratio(job)
                total += (1 - share) * whole - (1.0 if ratio is None else ratio) * self._prior(job)
        if not measured:
            total -= elapsed * self.n_jobs
        return max(total, 0.0) / self.n_jobs

    def __str__(self) -> str:
        text, left = f"{clock(time.monotonic() - self.began)} elapsed", self.left
        return text if left is None else f"{text}, {clock(left)} left"
