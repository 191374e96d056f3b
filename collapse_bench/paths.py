"""Paths as users name them."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from .errors import UsageError


def expanded(path: str | Path, whose: str = "") -> Path:
    """The path with a leading ``~`` written out.  ``whose`` begins the message.

    Raises UsageError for an unknown user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as problem:
        raise UsageError(
            f"{whose}{path} begins with the home folder of a user who is not known here; write it "
            "out"
        ) from problem


def exists(path: Path, whose: str = "") -> bool:
    """Whether there is a file or folder of this path.  ``whose`` begins the message.

    Raises UsageError where that cannot be found out: for a folder that may not be entered, or a
    name that is too long.
    """
    try:
        return path.exists()
    except OSError as problem:
        raise UsageError(
            f"{whose}{str(path)[:200]} cannot be read ({problem.strerror}); make it readable, or "
            "give another path"
        ) from problem


def named(path: str | Path, what: str) -> Path:
    """The path with `~` replaced by the home folder.

    ``what`` is what the path names, in the sentence of a UsageError for a path that names nothing,
    is too long or not UTF-8, or is a link to a place that does not exist.
    """
    text = str(path)
    if not text.strip() or "\0" in text:
        raise UsageError(f"the path of {what} is empty or holds a null character, got {text!r}")
    found = expanded(text, f"the path of {what}: ")
    try:
        str(found.absolute()).encode()
    except UnicodeEncodeError as problem:
        raise UsageError(
            f"the path of {what} holds bytes that are not UTF-8, which records and manifests "
            f"cannot store: {str(found.absolute())!r}; rename it"
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


def named_folder(path: str | Path, what: str) -> Path:
    """The path of a folder, as ``named`` gives it; the folder may be missing.

    Raises UsageError also where a file or a device has its place, or that of a folder above it.
    """
    found = named(path, what)
    for place in (found, *found.parents):
        try:
            kind = place.stat().st_mode
        except FileNotFoundError:
            continue
        except NotADirectoryError:  # further up
            continue
        except OSError as problem:
            raise UsageError(
                f"the path of {what} cannot be used: {found} ({problem.strerror}); name another "
                "folder"
            ) from problem
        if not stat.S_ISDIR(kind):
            where = "" if place == found else f" lies below {place}, which"
            raise UsageError(f"the path of {what}: {found}{where} is no folder; name a folder")
        break
    return found


def unwritable(path: str | Path, problem: OSError) -> UsageError:
    """The error for a file that could not be written."""
    full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
    return UsageError(
        f"cannot write {problem.filename or path} ({problem.strerror or problem}); name another "
        f"place, or {'make room' if full else 'make this one writable'}"
    )
