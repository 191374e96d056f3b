"""What the code of a plugin leaves behind in this process: child processes and threads."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from ..foreign.calls import bounded


class Leftovers:
    """The child processes and threads of this process, now and later.

    A child that detaches itself (a daemon) is not found, and on systems without ``/proc`` none is.
    """

    def __init__(self) -> None:
        self._children, self._threads = _children(), set(threading.enumerate())

    def remarks(self, entry: str) -> list[str]:
        """[a sentence] where there are more now, else []."""
        left = [f"process {pid}" for pid in sorted(_children() - self._children)]
        left += sorted(
            f"thread {bounded(str(thread.name), 60)}"
            for thread in set(threading.enumerate()) - self._threads
        )
        if not left:
            return []
        return [f"{entry}: {', '.join(left)} still ran when the chains had ended"]


def _children() -> set[int]:
    """The direct child processes of this process that run."""
    pids: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # this thread has just ended
            pids.update(map(int, file.read_text().split()))
    return {pid for pid in pids if not _ended(pid)}


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
