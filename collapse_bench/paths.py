"""A path as a user names it."""

from __future__ import annotations

from pathlib import Path

from .errors import UsageError


def named(path: str | Path, what: str) -> Path:
    """The path with `~` replaced by the home folder.

    ``what`` is what the path names, in the sentence of a UsageError for a path that names nothing,
    is too long or not UTF-8, or is a link to a place that does not exist.
    """
    text = str(path)
    if not text.strip() or "\0" in text:
        raise UsageError(f"the path of {what} is empty or holds a null character, got {text!r}")
    try:
        found = Path(text).expanduser()
    except RuntimeError as problem:  # there is no such user
        raise UsageError(f"the path of {what} cannot be read: {problem}, got {text!r}") from problem
    try:
        str(found.absolute()).encode()
    except UnicodeEncodeError as problem:
        raise UsageError(
            f"the path of {what} holds bytes that are not UTF-8, which records and manifests cannot "
            f"store: {str(found.absolute())!r}; rename it"
        ) from problem
    try:
        if found.is_symlink() and not found.exists():
            raise UsageError(
                f"{found} is a link to {found.readlink()}, which does not exist; remove the link, "
                f"or name another path of {what}"
            )
    except OSError as problem:
        raise UsageError(f"the path of {what} cannot be used: {problem.strerror}") from problem
    return found
