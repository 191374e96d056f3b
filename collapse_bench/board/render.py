"""Write tables of text for a terminal or as markdown."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import display
from ..display import visible
from ..errors import UsageError
from ..paths import named_folder

if TYPE_CHECKING:
    from rich.console import Console

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
    styles: Sequence[Mapping[str, str]] | None = None,
    color: bool = False,
) -> str:
    """The table as text.

    Columns named in ``left`` are aligned left, the others right.  ``grouped`` puts an empty line
    where the first column changes.  ``width`` limits the notes, not the table.  ``styles``: for
    each row, the styles of its cells by column.  ``color``: whether the text has the codes of
    colours.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in cells.columns:
        table.add_column(visible(name), justify="left" if name in left else "right", no_wrap=True)
    last = None
    for i, row in enumerate(cells.itertuples(index=False)):
        if grouped and last not in (None, row[0]):
            table.add_row()
        last = row[0]
        style = styles[i] if styles else {}
        texts = zip(cells.columns, row, strict=True)
        table.add_row(*(Text(visible(text), style=style.get(name, "")) for name, text in texts))
    out = io.StringIO()
    console = _console(out, max(width or 0, needed(cells)), color)
    if width is not None or color:
        _console(out, width or console.width, color).print(Text(visible(title), style="bold"))
    else:
        out.write(f"{visible(title)}\n")  # in one line, however long
    console.print(table)
    whole = [line.rstrip() for line in out.getvalue().rstrip().split("\n")]
    if notes:
        whole += ["", listed(notes, width)]
    return "\n".join(whole)


def listed(notes: Sequence[str], width: int | None = None) -> str:
    """Notes as a list, wrapped to the width; None: to 120 columns."""
    out = io.StringIO()
    console = _console(out, width or 120, False)
    for note in notes:
        console.print(f"- {visible(note)}")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n"))


def wrapped(text: str, width: int) -> list[str]:
    """A sentence in lines of this width; at least one line."""
    return wrap(text, max(width, 20)) or [""]


def _console(out: io.StringIO, width: int, color: bool) -> Console:
    """A console that writes text of this width, with the eight colours of a terminal or none."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


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
