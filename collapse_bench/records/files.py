"""Reading and replacing files that other programs, users or machines may have changed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from uuid import uuid4

from .faults import Absurd, Unreadable


def read_file(path: Path, most: int, follow: bool = True) -> bytes:
    """The content of a regular file.

    most: limit in bytes.  follow: whether the file may be a symbolic link.  Raises
    FileNotFoundError, Absurd for a larger file, Unreadable where it cannot be read now or is no
    regular file; a pipe or a device would block.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        number = os.open(path, flags)
        try:
            about = os.fstat(number)
            if not stat.S_ISREG(about.st_mode):
                raise Unreadable(path, "it is not a regular file")
            if about.st_size > most:
                raise Absurd(path, f"it has {about.st_size} bytes, and at most {most} are read")
            with open(number, "rb", closefd=False) as file:
                content = file.read(about.st_size + 1)
        finally:
            os.close(number)
    except FileNotFoundError:
        raise
    except NotADirectoryError as problem:  # a file where a folder should be holds no other file
        raise FileNotFoundError(*problem.args, str(path)) from problem
    except (OSError, MemoryError, ValueError) as problem:  # ValueError: a null byte in the path
        if isinstance(problem, OSError) and problem.errno == errno.ELOOP:
            raise Unreadable(path, "it is a symbolic link") from problem
        raise Unreadable(path, getattr(problem, "strerror", None) or repr(problem)) from problem
    if len(content) > about.st_size:
        raise Unreadable(path, "it grew while it was read")
    return content


def replace_file(path: Path, content: bytes) -> None:
    """Write under another name, then rename: readers see the old file or the new one.

    The other name is random: process numbers are equal in two containers that share a volume.
    """
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
