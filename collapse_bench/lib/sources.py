"""Sources of texts and weights: a local path, or an id on a hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import Unreachable, UsageError
from ..paths import exists, expanded

Found = TypeVar("Found")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
#: A value with one of these endings is a file name, not a hub id.
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
    """A Path if ``value`` is an existing file or folder, else the hub id as text; None stays None.

    Use it in ``__post_init__`` of a plugin whose field is ``Path | str | None``.  A cell's id
    hashes a Path by its content and a hub id by its text.  ``whose`` names the plugin and parameter
    and ``what`` the expected content, for messages.  Raises UsageError if the path does not exist
    and the value cannot be a hub id.
    """
    if value is None:
        return None
    path = expanded(value)
    if str(value) and exists(path, f"{whose}: "):
        return path
    if _HUB_ID.fullmatch(str(value)) and not str(value).lower().endswith(_FILES):
        return str(value)
    raise UsageError(
        f"{whose}: {str(value)!r} does not exist; give the local path of {what} in double quotes, "
        "or a "
        'hub id such as "owner/name"'
    )


def fetched(
    value: str,
    whose: str,
    load: Callable[[], Found],
    what: str = "data",
    revision: str | None = None,
) -> Found:
    """``load()``; a failure of the hub raises Unreachable with one sentence.

    ``value`` is the hub id and ``revision`` its branch, tag or commit.  The hub's libraries raise
    OSError (including ConnectionError) or ValueError when offline and for unknown ids, revisions
    and configurations; both are converted.
    """
    try:
        return load()
    except (OSError, ValueError) as problem:
        at = f" at revision {revision}" if revision else ""
        reason = " ".join(str(problem).split()).rstrip(". ") or type(problem).__name__
        raise Unreachable(
            f'{whose}: {what} "{value}"{at} is not a local path and could not be loaded from '
            f"the hub ({reason}); give the path of a local copy in double quotes, or connect to "
            "the hub and run again"
        ) from problem


def tokenizer_files(folder: Path) -> list[str]:
    """Names of the files of a folder from which transformers can make a tokenizer."""
    return _with_endings(folder, (".json", ".model", ".tiktoken", ".txt"))


def checkpoint_files(folder: Path) -> list[str]:
    """Names of the files of a folder from which transformers can make a model and its tokenizer."""
    return [*tokenizer_files(folder), *_with_endings(folder, (".safetensors",))]


def _with_endings(folder: Path, endings: tuple[str, ...]) -> list[str]:
    if not folder.is_dir():
        return []
    names = (file.name for file in folder.iterdir())
    return [name for name in names if name.lower().endswith(endings) and name[0] != "."]


def quiet() -> None:
    """Silence progress bars and advice of transformers: stderr belongs to the command line."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
