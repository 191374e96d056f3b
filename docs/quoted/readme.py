"""Numbers of README.md: the board of the suite ``smoke``."""

from __future__ import annotations

import tempfile

from collapse_bench import run

from . import computed


@computed("README.md", "readme-board")
def board() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return run("smoke", output=folder).board().render("markdown") + "\n"
