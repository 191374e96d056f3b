"""Digests of files and folders, read in pieces and cached by what the file system says."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from .errors import UsageError

CHUNK = 1 << 20  # bytes that are in memory at a time
#: seconds: a file that changed later than this before it was hashed may change again without
#: another time stamp, so its digest is not cached
TICK = 2.0
#: what file managers leave in folders of data; names that begin with a dot are as well
LITTER = ("Thumbs.db", "desktop.ini", "__pycache__")

#: (size, inode, device, time of modification, time of change), times in nanoseconds
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Content:
    """A file or folder, and what was in it."""

    path: Path
    sha256: str
    #: name within the folder ('' for a file) -> first digits of the digest of that file
    files: Mapping[str, str] = field(compare=False)


def content(path: Path, names: Iterable[str] | None = None) -> Content:
    """The content of a file, or of files in a folder, as it is now.

    names: the files of the folder that are read, with slashes; None: all files that are not hidden.
    Raises UsageError for a path that is missing, empty, or cannot be read.
    """
    path, names = Path(path), None if names is None else tuple(names)
    try:
        chosen = _files(path, names)
        if not chosen:
            raise UsageError(
                f"{path} is missing or empty; give the path of a file or a folder with data"
            )
        stamps = tuple(_stamp(path / name) for name in chosen)
        latest = max(changed for *_, changed in stamps) / 1e9
        hashed = _hashed if time.time() - latest > TICK else _hashed.__wrapped__
        sha256, digests = hashed(path, chosen, stamps)
    except OSError as problem:
        raise UsageError(
            f"{problem.filename or path} cannot be read ({problem.strerror or problem}); "
            "make it readable, or give another path"
        ) from problem
    return Content(path, sha256, dict(zip(chosen, digests, strict=True)))


def digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of the files in a folder; see ``content``."""
    return content(path).sha256


def _files(path: Path, names: Iterable[str] | None) -> tuple[str, ...]:
    """Names of the files, ('',) for a file."""
    if path.is_file():
        return ("",)
    if not path.exists():
        return ()
    found = (Path(name) for name in names or ()) if names is not None else _walk(path)
    return tuple(map(str, sorted(name for name in found if (path / name).is_file())))


def _walk(folder: Path) -> Iterator[Path]:
    """All names in a folder that are not hidden.  Links to folders are followed, each folder once.

    Raises OSError where a folder in it cannot be read.
    """

    def unread(problem: OSError) -> None:
        raise problem

    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=unread, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not _hidden(name)]
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(parent, name).relative_to(folder) for name in files if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _stamp(file: Path) -> Stamp:
    """What tells a file from a later version of it."""
    now = file.stat()
    return now.st_size, now.st_ino, now.st_dev, now.st_mtime_ns, now.st_ctime_ns


@lru_cache(maxsize=256)
def _hashed(
    path: Path, names: tuple[str, ...], stamps: tuple[Stamp, ...]
) -> tuple[str, tuple[str, ...]]:
    """(sha256 of all files, first digits of the digest of each).

    Raises OSError for a file that changes while it is read.
    """
    total, digests = hashlib.sha256(), []
    for name, stamp in zip(names, stamps, strict=True):
        file, own = path / name if name else path, hashlib.sha256()
        total.update(os.fsencode(name) + b"\0")
        with open(file, "rb") as stream:
            while chunk := stream.read(CHUNK):
                total.update(chunk)
                if len(names) > 1:
                    own.update(chunk)
        if _stamp(file) != stamp:
            raise OSError(0, "it changes while it is read", str(file))
        digests.append((own if len(names) > 1 else total).hexdigest()[:16])
    return total.hexdigest(), tuple(digests)


def changed_files(
    path: str | Path, was: Mapping[str, str], now: Mapping[str, str], when: str = ""
) -> str:
    """Which files changed, as a sentence without its end: ``data in FOLDER changed: FILE``.

    was, now: ``Content.files``.  when: follows the verb, with a space before it.
    """
    names = sorted(name for name in {**was, **now} if was.get(name) != now.get(name))
    if names in ([""], []):
        return f"{path} changed{when}"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"data in {path} changed{when}: {', '.join(names[:3])}{more}"
