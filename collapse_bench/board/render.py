"""Write tables of text for a terminal or as markdown."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import display
from ..display import visible
from ..errors import UsageError
from ..paths import named_folder

GUTTER = 2


def writable(path: str | Path) -> Path:
    """The path, if a file can be written there; else UsageError."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    folder = path.parent
    if not folder.is_dir():
        named_folder(folder, f"the folder of {path.name}")  # says which part of it is no folder
        raise UsageError(
            f"{path} cannot be written: the folder {folder} does not exist; create it first"
        )
    return path


def named_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table with its columns as attributes; typed Any, since no stub knows them."""
    return iter(frame.itertuples(index=False))


def needed(cells: pd.DataFrame) -> int:
    """Width of the table in columns of a terminal."""
    from rich.cells import cell_len

    return sum(
        max([cell_len(visible(v)) for v in (name, *cells[name])]) + GUTTER for name in cells.columns
    )


def csv(frame: pd.DataFrame) -> str:
    """The table as CSV, with every text and heading as ``display.spreadsheet`` shows it."""
    shown = {
        display.spreadsheet(name): column
        if pd.api.types.is_numeric_dtype(column)
        else [display.spreadsheet(v) if isinstance(v, str) else v for v in column]
        for name, column in frame.items()
    }
    return pd.DataFrame(shown, index=frame.index).to_csv(index=False).rstrip("\n")


def rows_of(cells: pd.DataFrame) -> str:
    """The table as markdown, without a title."""

    def row_of(texts: Iterable[Any]) -> str:
        shown = (display.markdown(text).replace("|", "\\|") for text in texts)
        return "| " + " | ".join(shown) + " |"

    lines = [row_of(cells.columns), "|" + "---|" * len(cells.columns)]
    return "\n".join([*lines, *map(row_of, cells.itertuples(index=False))])


def markdown(title: str, cells: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    safe = display.markdown
    return "\n".join(
        [f"**{safe(title)}**", "", rows_of(cells), "", *(f"- {safe(note)}" for note in notes)]
    )


def terminal(
    title: str,
    cells: pd.DataFrame,
    notes: Sequence[str] = (),
    width: int | None = None,
    left: Collection[str] = (),
    grouped: bool = False,
) -> str:
    """The table as text.

    Columns named in ``left`` are aligned left, the others right.  ``grouped`` puts an empty line
    where the first column changes.  ``width`` limits the notes, not the table.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=visible(title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for name in cells.columns:
        table.add_column(visible(name), justify="left" if name in left else "right", no_wrap=True)
    last = None
    for row in cells.itertuples(index=False):
        if grouped and last not in (None, row[0]):
            table.add_row()
        last = row[0]
        table.add_row(*map(visible, row))
    out = io.StringIO()
    tight = Console(
        file=out,
        width=max(width or 0, needed(cells)),
        force_terminal=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    tight.print(table)
    loose = Console(
        file=out,
        width=width or 120,
        force_terminal=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    loose.print()
    for note in notes:
        loose.print(f"- {visible(note)}")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n"))


def webpage(title: str, cells: pd.DataFrame, notes: Sequence[str], left: Collection[str]) -> str:
    """The table for a notebook; its notes open on a click."""
    table = display.html_table(cells.columns, cells.itertuples(index=False), left)
    shown = "".join(f"<li>{display.html(note)}</li>" for note in notes)
    more = f"<details><summary>{len(notes)} notes</summary><ul>{shown}</ul></details>"
    return f"<div><b>{display.html(title)}</b>{table}{more if notes else ''}</div>"


def number(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, and without decimals from 100 on."""
    if value is None or value != value:
        return ""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.{digits}g}"
