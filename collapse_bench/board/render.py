"""Tables of words, written for a terminal or as markdown."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UsageError

GUTTER = 2


def writable(path: str | Path) -> Path:
    """The path, where a file can be made there."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(
            f"{path} cannot be written: there is no folder {path.parent}; make it first"
        )
    return path


def named_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table with its columns as attributes, whose types no stub can know."""
    return iter(frame.itertuples(index=False))


def needed(cells: pd.DataFrame) -> int:
    """Columns of a terminal that the table takes."""
    return sum(
        max([len(name), *map(len, map(str, cells[name]))]) + GUTTER for name in cells.columns
    )


def markdown(title: str, cells: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    lines = ["| " + " | ".join(cells.columns) + " |", "|" + "---|" * len(cells.columns)]
    lines += [
        "| " + " | ".join(str(v).replace("|", "\\|") for v in row) + " |"
        for row in cells.itertuples(index=False)
    ]
    return "\n".join([f"**{title}**", "", *lines, "", *(f"- {note}" for note in notes)])


def terminal(
    title: str,
    cells: pd.DataFrame,
    notes: Sequence[str] = (),
    width: int | None = None,
    left: Collection[str] = (),
    grouped: bool = False,
) -> str:
    """Columns named in ``left`` are words and stand at the left; ``grouped`` puts a gap where the first column changes."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for name in cells.columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    last = None
    for row in cells.itertuples(index=False):
        if grouped and last not in (None, row[0]):
            table.add_row()
        last = row[0]
        table.add_row(*map(str, row))
    out = io.StringIO()
    tight = Console(
        file=out,
        width=max(width or 0, needed(cells)),
        force_terminal=False,
        highlight=False,
        markup=False,
    )
    tight.print(table)
    loose = Console(
        file=out, width=width or 120, force_terminal=False, highlight=False, markup=False
    )
    loose.print()
    for note in notes:
        loose.print(f"- {note}")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n"))


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is read: so many digits, and none behind the point from a hundred on."""
    if value is None or value != value:
        return ""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.{digits}g}"
