"""Arguments that several functions of the API take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..paths import named

Paths = str | Path | Sequence[str | Path]  # one file, or several


def listed(paths: Paths) -> Sequence[str | Path]:
    """A list, since iterating over one string would give its letters."""
    return [paths] if isinstance(paths, (str, Path)) else paths


def plugin_paths(plugins: Paths) -> tuple[str, ...]:
    """Plugin files as text.  Raises UsageError for a path that names nothing."""
    return tuple(str(named(path, "a plugin file")) for path in listed(plugins))


def absolute_paths(plugins: Paths) -> tuple[str, ...]:
    """Plugin files for workers, which have a working folder of their own."""
    return tuple(str(Path(path).absolute()) for path in plugin_paths(plugins))


def check_positive(name: str, value: Any, unit: str) -> None:
    """Raises UsageError for what is no positive number; the message names it and its unit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UsageError(f"{name} must be a number of {unit} > 0, got {value!r}")
