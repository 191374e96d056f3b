"""Progress of a run in a notebook, or wherever Python code asks for a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..display import shortened, visible
from ..suite.plan import CellPlan
from .chains import Progress, ProgressEvent
from .jobs import Job, JobOutcome

LABEL = 48  # the most characters of a cell next to the bar
OnPlan = Callable[[list[CellPlan], list[Job]], None]
OnOutcome = Callable[[JobOutcome], None]
Watchers = tuple[OnPlan | None, OnOutcome | None, Progress | None]


def in_notebook() -> bool:
    """Whether a kernel of IPython runs this code, as in Jupyter."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


class Bar:
    """A bar of tqdm over the chains of a run, with the cell that runs and what failed."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.failed = 0

    def planned(self, steps: list[CellPlan], jobs: list[Job]) -> None:
        from tqdm.auto import tqdm

        self.bar = tqdm(total=sum(len(job.seeds) for job in jobs), unit="chain")

    def ended(self, outcome: JobOutcome) -> None:
        self.failed += 0 if outcome.good else len(outcome.job.seeds)
        if self.failed:
            self.bar.set_postfix_str(f"{self.failed} failed", refresh=False)
        self.bar.update(len(outcome.job.seeds))

    def moved(self, event: ProgressEvent) -> None:
        label = shortened(visible(event.label), LABEL)
        self.bar.set_description_str(f"{label} {event.done}/{event.total}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextmanager
def watched(
    shown: bool | None,
    on_plan: OnPlan | None,
    on_outcome: OnOutcome | None,
    on_progress: Progress | None,
) -> Iterator[Watchers]:
    """The callbacks of a run, with those of a bar where it is shown.

    shown: None means in a notebook, unless the caller watches the run with callbacks of its own.
    """
    own = any(callback is not None for callback in (on_plan, on_outcome, on_progress))
    if not (in_notebook() and not own if shown is None else shown):
        yield on_plan, on_outcome, on_progress
        return
    bar = Bar()

    def planned(steps: list[CellPlan], jobs: list[Job]) -> None:
        bar.planned(steps, jobs)
        if on_plan is not None:
            on_plan(steps, jobs)

    def ended(outcome: JobOutcome) -> None:
        bar.ended(outcome)
        if on_outcome is not None:
            on_outcome(outcome)

    def moved(event: ProgressEvent) -> None:
        bar.moved(event)
        if on_progress is not None:
            on_progress(event)

    try:
        yield planned, ended, moved
    finally:
        bar.close()
