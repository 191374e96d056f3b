"""The boundary to foreign code: how it is called, and how what it raises is read.

Foreign code is the code of plugins that are not part of the suite.  Whatever it raises, also what
does not derive from Exception, becomes ``Broke``, and a real Ctrl-C stays KeyboardInterrupt.
Whatever it changes in the process is restored.
"""

from __future__ import annotations

import dis
import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from .process import restored

LONGEST = 1_000  # characters of a sentence that foreign code gave
LONGEST_TRACE = 20_000  # characters of a traceback
LOAD_SECONDS = 300.0  # time limit for loading a plugin


class Broke(Exception):
    """Foreign code raised ``problem``; the message is one bounded sentence."""

    def __init__(self, problem: BaseException):
        super().__init__(described(problem))
        self.problem = problem


class Endless(BaseException):
    """Raised in foreign code that exceeds its time limit; ``except Exception`` does not stop it."""


# -- calling it ------------------------------------------------------------------------------------


@contextmanager
def contained(seconds: float | None = None, keep: Collection[str] = ()) -> Iterator[list[str]]:
    """Run foreign code in the block.  Raises Broke for whatever it raises.

    The list holds, after the block, the names of the settings that it had changed and that were
    restored.  What it prints goes to stderr.  seconds: a time limit, which holds in the main thread
    for code that runs Python or waits.  keep: settings that are not restored.
    """
    with restored(keep) as changed, printing_to_stderr(), _interruptible() as interrupt:
        try:
            with _limited(seconds):
                yield changed
        except BaseException as problem:
            if interrupt.came and interrupt.default:  # whatever the foreign code made of it
                raise KeyboardInterrupt from problem
            if interrupt.came or isinstance(problem, Broke):
                raise
            raise Broke(problem) from problem


@dataclass
class _Interrupt:
    """Whether SIGINT has come, and whether Python's own handler raises KeyboardInterrupt then."""

    came: bool = False
    default: bool = False


@contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    """Notes whether SIGINT has come: a plugin can raise KeyboardInterrupt."""
    interrupt = _Interrupt()
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):
        yield interrupt
        return
    first = getattr(before, "first", before)  # `before` may be the mark of an outer block
    interrupt.default = first is signal.default_int_handler

    def mark(number: int, frame: Any) -> Any:
        interrupt.came = True
        return before(number, frame)

    vars(mark)["first"] = first
    signal.signal(signal.SIGINT, mark)
    try:
        yield interrupt
    finally:
        if signal.getsignal(signal.SIGINT) is mark:  # else the foreign code has set another
            signal.signal(signal.SIGINT, before)


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise Endless in the block after so many seconds, and every second from then on."""
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not main or any(signal.getitimer(signal.ITIMER_REAL)):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Endless(f"it did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) is stop:
            signal.signal(signal.SIGALRM, before)


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Send what Python, C and child processes write to stdout to stderr."""
    try:
        sys.stdout.flush()
        copy = os.dup(1)
    except (OSError, ValueError, AttributeError):  # stdout is closed
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(OSError, ValueError, AttributeError):  # it is closed
            sys.__stdout__.flush()  # type: ignore[union-attr]  # what was written to it directly
        os.dup2(copy, 1)
        os.close(copy)


# -- reading what it raised ------------------------------------------------------------------------


def described(problem: BaseException) -> str:
    """`ZeroDivisionError: division by zero`: the type and the first line of the message, bounded.

    Holds for every exception, also where its own ``__str__`` raises.
    """
    name = type(problem).__name__
    try:
        message = str(problem)
    except BaseException as inner:
        return f"{name}, whose message cannot be read ({type(inner).__name__})"
    line = next(iter(message[: 4 * LONGEST].splitlines()), "")
    return bounded(f"{name}: {line}".rstrip(": "))


def sentence(problem: BaseException) -> str:
    """The first line of the message, bounded; the type where there is no message."""
    text = described(problem)
    return text.removeprefix(f"{type(problem).__name__}: ")


def bounded(text: str, longest: int = LONGEST) -> str:
    """The text as plain, valid Unicode, cut to a number of characters."""
    cut = text[:longest] + ("..." if len(text) > longest else "")
    return str(cut).encode("utf-8", "backslashreplace").decode()


def shown(value: object, longest: int = 60) -> str:
    """The repr of a value, bounded; its type where the repr raises."""
    try:
        return bounded(repr(value), longest)
    except BaseException:
        return f"a {type(value).__name__} that cannot be shown"


def traced(problem: BaseException) -> str:
    """The traceback as text: where it is too long, its beginning and its end."""
    try:
        text = "".join(traceback.format_exception(problem))
    except BaseException:  # a __str__ or __repr__ that raises
        text = "".join(traceback.format_tb(problem.__traceback__)) + described(problem)
    if len(text) > LONGEST_TRACE:
        half = LONGEST_TRACE // 2
        text = f"{text[:half]}\n... {len(text)} characters ...\n{text[-half:]}"
    return bounded(text, 2 * LONGEST_TRACE)


def out_of_memory(problem: BaseException) -> bool:
    """Whether the machine had no memory left, judged by the type and the origin of the exception.

    torch raises OutOfMemoryError on a GPU and a RuntimeError of its allocator on a CPU, Python and
    numpy raise MemoryError.  An exception that a ``raise`` statement of foreign code made is none
    of these, whatever its type and text.
    """
    return says_out_of_memory(problem) and not _raised_by_hand(problem.__traceback__)


def says_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception has the type, and on a CPU the text, of one that means no memory."""
    if isinstance(problem, (torch.OutOfMemoryError, MemoryError)):
        return True
    return type(problem) is RuntimeError and "can't allocate memory" in described(problem)


def _raised_by_hand(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is at a ``raise`` statement, outside of torch and numpy."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "")
    if str(module).partition(".")[0] in ("torch", "numpy", "scipy"):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] in _RAISES


_RAISES = {dis.opmap[name] for name in ("RAISE_VARARGS", "RERAISE") if name in dis.opmap}
