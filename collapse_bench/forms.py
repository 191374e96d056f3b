"""The forms in which a board is shown; a module without imports, so that help is quick."""

from __future__ import annotations

#: for a terminal, for a page, and with every column unrounded
FORMS = ("table", "markdown", "csv", "json")
#: of a report, and the endings of their files
REPORTS = ("html", "latex", "csv", "parquet", "json", "markdown")
SUFFIXES = {
    ".html": "html",
    ".htm": "html",
    ".tex": "latex",
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".md": "markdown",
}
