"""The forms in which a table is shown; a module without imports, so that help is quick."""

from __future__ import annotations

#: for a terminal, for a page, and with every column unrounded
FORMS = ("table", "markdown", "csv", "json")
