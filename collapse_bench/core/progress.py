"""How far long work within a generation has come, told to whoever listens.

Who works says ``beat("fit", 120, 400, "loss 3.21")`` now and then; the runner listens and knows the cell and the
generation.  Where nobody listens, a beat costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """``done`` of ``total`` steps of some work."""

    work: str  # fit, sample, judge, ...
    done: int
    total: int
    note: str = ""  # what is worth seeing, e.g. the loss


_LISTENER: ContextVar[Callable[[Step], None] | None] = ContextVar("listener", default=None)


def report_step(work: str, done: int, total: int, note: str = "") -> None:
    """Tell the listener, where there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(Step(work, done, total, note))


@contextmanager
def listening(listener: Callable[[Step], None] | None) -> Iterator[None]:
    """While this lasts, beats go to ``listener``."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
