"""Where texts and weights come from: a path on this machine, or the id of something on a hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import Unreachable, UsageError

Found = TypeVar("Found")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
#: what ends like this is a file, and no id
_FILES = (
    ".arrow",
    ".bin",
    ".csv",
    ".gguf",
    ".gz",
    ".json",
    ".jsonl",
    ".model",
    ".parquet",
    ".pt",
    ".pth",
    ".safetensors",
    ".tsv",
    ".txt",
    ".zip",
    ".zst",
)


def located(value: str | Path | None, whose: str, what: str = "data") -> Path | str | None:
    """The Path where ``value`` is a file or folder that is here, else the hub id as text; None stays None.

    For ``__post_init__`` of a plugin whose field is ``Path | str | None``: a Path is hashed by its content, a hub id by
    its letters.  ``whose`` is the plugin and parameter that is spoken of, ``what`` the thing that lies there.  Raises
    UsageError where the value is no path that exists and cannot be a hub id.
    """
    if value is None:
        return None
    path = Path(value).expanduser()
    if str(value) and path.exists():
        return path
    if _HUB_ID.fullmatch(str(value)) and not str(value).lower().endswith(_FILES):
        return str(value)
    raise UsageError(
        f"{whose}: there is no {str(value)!r}; give the path of {what} on this machine in double quotes, or a hub id such as "
        '"owner/name"'
    )


def fetched(
    value: str,
    whose: str,
    load: Callable[[], Found],
    what: str = "data",
    revision: str | None = None,
) -> Found:
    """``load()``, the hub's own words about what it lacks put into one sentence (Unreachable).

    ``value`` is the hub id and ``revision`` its branch, tag or commit.  Covers what the hub's libraries raise offline
    and for unknown ids, revisions and configurations: OSError (ConnectionError among them) and ValueError.
    """
    try:
        return load()
    except (OSError, ValueError) as problem:
        at = f" at revision {revision}" if revision else ""
        said = " ".join(str(problem).split()).rstrip(". ") or type(problem).__name__
        raise Unreachable(
            f'{whose}: {what} "{value}"{at} is no path here and could not be had from the hub ({said}); give the path of '
            "a local copy in double quotes, or connect to the hub and run again"
        ) from problem


def quiet() -> None:
    """No bars and no advice of transformers on stderr, which belongs to the command line."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
