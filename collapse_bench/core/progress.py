"""Progress within a generation.

Long work calls ``report_step("fit", 120, 400, "loss 3.21")`` from time to time.  The runner
listens, and adds the cell and the generation.  Without a listener a call costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ..foreign.calls import bounded


@dataclass(frozen=True)
class Step:
    """One report: ``done`` of ``total`` steps of some work."""

    work: str  # fit, sample, judge, ...
    done: int
    total: int
    note: str = ""  # e.g. the loss


_LISTENER: ContextVar[Callable[[Step], None] | None] = ContextVar("listener", default=None)


def report_step(work: str, done: int, total: int, note: str = "") -> None:
    """Report a step to the listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(Step(bounded(str(work), 40), int(done), int(total), bounded(str(note), 200)))


@contextmanager
def listening(listener: Callable[[Step], None] | None) -> Iterator[None]:
    """Within this context, steps go to ``listener``; None silences them."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
