"""The folder of real data, which differs between users: its variable replaces it in specs."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import Unreachable
from .paths import expanded

VARIABLE = "COLLAPSE_BENCH_DATA"
#: how a spec or a suite file names the folder
DATA = f"${VARIABLE}"


def data_folder() -> Path | None:
    """The folder of real data, None where the variable is not set."""
    value = os.environ.get(VARIABLE)
    return expanded(value).absolute() if value else None


def path_of(text: str) -> Path:
    """The path that a spec names.

    Raises Unreachable where it needs the variable, and that is not set.
    """
    first, *rest = text.split("/")
    if first != DATA:
        return Path(text)
    folder = data_folder()
    if folder is None:
        raise Unreachable(
            f"{text} lies in {DATA}, which is not set; set it to the folder of the data"
        )
    return folder.joinpath(*filter(None, rest))


def text_of(path: Path) -> str:
    """The path as a spec names it: by the variable, if it lies in the folder of real data.

    So labels of tasks do not depend on the folders of a user.
    """
    folder = data_folder()
    if folder is None or not path.absolute().is_relative_to(folder):
        return str(path)
    return "/".join((DATA, *path.absolute().relative_to(folder).parts))


def missing() -> str:
    """Why a task that names the variable cannot be run where it is not set."""
    return f"it reads files in {DATA}, which is not set; set it to the folder that holds them"
