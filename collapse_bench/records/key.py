"""The key of this user, with which checkpoints are signed.

A checkpoint is a pickle, and loading a pickle runs code.  Only files that carry a signature with
this key are loaded.  The key lies in the cache folder of the user, never in an output folder, which
may be shared or come from others.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

LENGTH = 32  # bytes


def user_key() -> bytes | None:
    """The key, made on first use; None where it cannot be kept safely, so that none is used.

    It lies in ``$XDG_CACHE_HOME/collapse-bench/checkpoint-key``, by default below ``~/.cache``.
    """
    try:
        path = _path().expanduser().absolute()
        if not path.exists():
            _make(path)
        return _read(path)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: the user has no home
        return None


def why_no_key() -> str | None:
    """Why runs keep no checkpoints, as a sentence with the remedy; None where they do."""
    if user_key() is not None:
        return None
    return (
        f"an interrupted cell starts again, since no checkpoints are kept: {_path()} cannot be "
        "written, is no key, or can be read by others; remove this file, or set XDG_CACHE_HOME to "
        "a folder of your own"
    )


def _path() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base) / "collapse-bench" / "checkpoint-key"


def _make(path: Path) -> None:
    """Write a new key under another name and link it, so that of two processes one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(file, "wb") as out:
            out.write(secrets.token_bytes(LENGTH))
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """The key, or None where others could have written or read it."""
    with open(
        os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
    ) as file:
        about = os.fstat(file.fileno())
        mine = about.st_uid == os.geteuid() and not about.st_mode & 0o077
        key = file.read(LENGTH + 1) if stat.S_ISREG(about.st_mode) and mine else b""
    return key if len(key) == LENGTH else None
