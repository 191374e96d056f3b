"""The board as a LaTeX table for a paper, with rules of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...display import visible
from ...errors import UsageError
from ...scoring.rules import nearest
from .model import Page, Row
from .rows import DOWN, UP

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{EN DASH}": "--",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    UP: r"$\uparrow$",
    DOWN: r"$\downarrow$",
}
#: columns of numbers, aligned right
_RIGHT = ("tier", "score", "ranks", "covers", "signs", "tail", "harmed", "real", "verifier", "cost")
DEFAULT = ("tier", "name", "score", "interval", "ranks", "covers", "frozen", "cost")


def escaped(text: object) -> str:
    """The text for LaTeX with pdfTeX: no command, and an escape for what its fonts may lack."""
    shown = "".join(_SPECIAL.get(letter, letter) for letter in visible(text))
    return re.sub(r"[^\x00-\x7f\u00a1-\u017e]", lambda m: rf"U+{ord(m[0]):04X}", shown)


def known_columns(page: Page) -> dict[str, str]:
    """Name of a column -> its heading."""
    return {"name": "entry", "track": "track", **page.columns}


def chosen_columns(page: Page, columns: Sequence[str]) -> list[str]:
    """The columns of a table, in the order in which they were named; the usual ones without any.

    Raises UsageError for an unknown one.
    """
    known = known_columns(page)
    headings = {heading: key for key, heading in known.items()}
    names = [headings.get(name, name) for name in columns] or list(DEFAULT)
    for name in names:
        if name not in known:
            raise UsageError(
                f"the table has no column {name!r}{nearest(name, known)}; known: {', '.join(known)}"
            )
    return names


def latex(page: Page, columns: Sequence[str] = ()) -> str:
    """A table of methods and controls, track by track; needs booktabs and longtable."""
    names = chosen_columns(page, columns)
    known = known_columns(page)
    width = len(names)
    head = " & ".join(escaped(known[name]) for name in names)
    lines = [
        r"% needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{longtable}",
        rf"\begin{{longtable}}{{{''.join('r' if name in _RIGHT else 'l' for name in names)}}}",
        rf"\caption{{{escaped(page.title)}: collapse averted; 1 is as good as the oracle teacher, "
        r"0 as no mitigation, -1 as having read nothing. Intervals are over chains.}\\",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
    ]
    last = None
    for row in page.main_rows:
        if row.track != last and "track" not in names:
            lines += [r"\addlinespace"] * (last is not None)
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escaped(row.track)}}}}} \\")
        last = row.track
        lines.append(" & ".join(_cell(row, name) for name in names) + r" \\")
    return "\n".join([*lines, r"\end{longtable}"])


def _cell(row: Row, name: str) -> str:
    text = {"name": row.name, "track": row.track}.get(name) or row.cells.get(name, "")
    shown = escaped(text)
    if name in ("score", "interval", "value"):  # a minus sign, not a hyphen
        shown = re.sub(r"(?<![\w.])([+-])(?=\d)", r"$\1$", shown)
    # a bracket after the end of a row would be taken for its argument
    return f"{{{shown}}}" if shown.startswith(("[", "*")) else shown
