"""What commands print: data on stdout, words for people on stderr, foreign text made visible.

Nothing else in this folder prints.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout, suppress
from typing import Any, TextIO

import click

from ..display import json_text, visible, visible_lines

#: exit code of a law that is violated, a check or a level that fails, and parts that contradict
MISMATCH = 4
#: exit code where the work is done, and its result could not be shown or written
NOT_SHOWN = 6


class Unseen(Exception):
    """Standard output cannot be written.  The message is the reason."""

    def __init__(self, problem: OSError):
        self.reader_left = isinstance(problem, BrokenPipeError)
        super().__init__("its reader has left" if self.reader_left else problem.strerror)


def say(text: object = "", bold: str = "") -> None:
    """Print text on stdout, after the words ``bold``.  Raises Unseen where stdout is closed."""
    line = visible_lines(text)
    try:
        click.echo(click.style(visible(bold), bold=True) + line if bold else line)
    except OSError as problem:
        raise _unseen(problem) from problem


def say_shown(text: str) -> None:
    """Print a board or a card, which shows foreign text itself and may hold codes of colours."""
    try:
        click.echo(text, color=True)  # without a terminal it has none
    except OSError as problem:
        raise _unseen(problem) from problem


def say_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    say(json_text(value))


def tell(text: object) -> None:
    """Print words for people on stderr.  A run does not end because nobody reads them."""
    with suppress(OSError, ValueError):
        click.echo(visible_lines(text), err=True)


class _ToStderr(io.TextIOBase):
    """Writes to stderr, and does not fail where nobody reads it."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def words_to_stderr() -> redirect_stdout[io.TextIOBase]:
    """What is printed in this context is words for people: a plugin may print."""
    return redirect_stdout(_ToStderr())


def _unseen(problem: OSError) -> Unseen:
    """The output is given up: what is still in its buffer must not fail again when Python ends."""
    _to_nothing(sys.stdout)
    return Unseen(problem)


def _to_nothing(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def prepare() -> None:
    """Make the standard streams safe to use.

    A stream that the caller closed is opened on the null device; otherwise the next file that the
    command opens would get its number, and words would be written into a record.  A character that
    the encoding of a stream lacks is shown as an escape.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # writing to a stdout that was closed must fail, so it is opened for reading
            flags = os.O_WRONLY if number == 2 else os.O_RDONLY
            null = os.open(os.devnull, flags)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish() -> None:
    """Write what is in the buffers.  Raises Unseen where stdout cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as problem:
        raise _unseen(problem) from problem
    try:
        sys.stderr.flush()
    except OSError:
        _to_nothing(sys.stderr)
