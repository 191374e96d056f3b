"""The report in one of its formats, as bytes of a file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...display import markdown as safe
from ...display import plain_math
from ...errors import UsageError
from ...extras import require
from ...forms import REPORTS, SUFFIXES
from ...paths import unwritable
from ...scoring.rules import nearest
from ..ranked import RankedBoard
from ..render import csv, markdown
from ..table import Board
from .latex import chosen_columns, escaped, known_columns, latex

if TYPE_CHECKING:
    from .history import History
    from .model import Page

MOST_COLUMNS = 12  # of a table of markdown: more do not fit the page of a repository
OF_LOSSES = ("html", "csv", "parquet")  # formats of a suite without calibrated tasks
_NARROW = (
    *("track", "tier", "name", "score", "interval", "ranks", "covers", "value", "frozen"),
    *("real", "verifier", "cost"),
)


def form_of(form: str | None, path: Path | None) -> str:
    """The format that was asked for: by its name, or by the ending of the file; html without both.

    Raises UsageError for an unknown one, and for one that needs what is not installed.
    """
    if form is None:
        ending = "" if path is None else path.suffix.lower()
        if path is not None and ending not in SUFFIXES:
            raise UsageError(
                f"{path} does not say which format a report has: end it in "
                f"{', '.join(SUFFIXES)}, or name one with --format ({', '.join(REPORTS)})"
            )
        form = SUFFIXES.get(ending, "html")
    if form not in REPORTS:
        raise UsageError(
            f"unknown format {form!r} of a report{nearest(form, REPORTS)}; known: "
            f"{', '.join(REPORTS)}"
        )
    if form == "html":
        require("plots", "the page of a report")
    return form


def check_columns(form: str, columns: Sequence[str]) -> None:
    """Raises UsageError for columns of a format that has them all, and for too many."""
    if columns and form not in ("latex", "markdown"):
        raise UsageError(
            f"--columns picks the columns of latex and markdown; {form} has every column"
        )
    if form == "markdown" and len(columns) > MOST_COLUMNS:
        raise UsageError(
            f"a table of markdown has at most {MOST_COLUMNS} columns, got {len(columns)}; "
            "csv and parquet have all"
        )


def content(
    form: str,
    board: Board,
    page: Page,
    history: History | None = None,
    columns: Sequence[str] = (),
    epoch: float = 0.0,
    version: str = "",
) -> bytes:
    """The file of a report.

    columns: of latex and markdown.  epoch and version: for json, see ``interchange``.  Raises
    UsageError for a format that a board of losses lacks.
    """
    check_columns(form, columns)
    if not isinstance(board, RankedBoard) and form not in OF_LOSSES:
        raise UsageError(
            f"{form} shows scores, and suite {board.suite.name} has none, since no task is "
            f"calibrated; its losses have {', '.join(OF_LOSSES)}; for scores run 'collapse-bench "
            "suite calibrate'"
        )

    def as_html() -> str:
        from .html import page_html

        return page_html(page, history)

    def as_json() -> str:
        from .interchange import interchange

        assert isinstance(board, RankedBoard)
        return interchange(board, page, epoch, version).model_dump_json(
            indent=1, exclude_none=True, ensure_ascii=True
        )

    texts: Mapping[str, Callable[[], str]] = {
        "html": as_html,
        "latex": lambda: latex(page, columns),
        "csv": lambda: csv(board.frame()),
        "json": as_json,
        "markdown": lambda: _markdown(page, columns),
    }
    if form == "parquet":
        return _parquet(board.frame())
    return f"{texts[form]().rstrip()}\n".encode()


def draw_tiers(page: Page, path: Path) -> None:
    """The picture of tiers for a paper; as .pgf it is drawn by LaTeX, in the fonts of the paper.

    Raises UsageError where it cannot be written, and for .pgf where pdflatex is not installed.
    """
    from matplotlib import rc_context

    from .charts import tiers_figure

    rows = page.ranked_rows
    if not rows:
        raise UsageError("there is no row with a score, so there is no figure to draw")
    pgf = path.suffix.lower() == ".pgf"
    if pgf and shutil.which("pdflatex") is None:
        raise UsageError(f"{path} needs pdflatex, which is not installed; end it in .pdf instead")
    figure = tiers_figure(rows, page.lines, shown=escaped if pgf else plain_math)
    try:
        # for the quotation marks and letters of ``escaped``
        fonts = r"\usepackage[T1]{fontenc}"
        with rc_context({"pgf.texsystem": "pdflatex", "pgf.rcfonts": False, "pgf.preamble": fonts}):
            figure.savefig(path)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def _parquet(frame: pd.DataFrame) -> bytes:
    """Every column, unrounded."""
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def _markdown(page: Page, columns: Sequence[str]) -> str:
    """A table of methods and controls with few columns, after what the numbers say."""
    names = chosen_columns(page, columns or [n for n in _NARROW if n in known_columns(page)])
    heading = known_columns(page)
    cells = pd.DataFrame(
        {
            heading[name]: [
                {"name": row.name, "track": row.track}.get(name) or row.cells.get(name, "")
                for row in page.main_rows
            ]
            for name in names
        }
    )
    title, _, table = markdown(f"{page.title}: {page.suite}", cells).partition("\n\n")
    said = "\n".join(
        f"- {safe(''.join(piece.text for piece in sentence))}" for sentence in page.sentences
    )
    return f"{title}\n\n{said}\n\n{table}"
