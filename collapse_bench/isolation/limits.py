"""What the operating system takes away from the process of a plugin.

Each measure is tried, and the result says of each whether it holds here: nothing is left out
silently.  Namespaces, mounts and capabilities are calls of Linux (unshare(2), mount(2), capset(2),
prctl(2)); elsewhere only the limits of resources hold.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

NOBODY = 65534
NEWNS, NEWUTS, NEWIPC = 0x20000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "relatime": 1 << 21}
_REMOUNT, _BIND, _REC, _PRIVATE, _DETACH = 32, 4096, 16384, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_NO_NEW_PRIVS = 1, 24, 38
WORK = "64m"  # size of the working folder, which is in memory
FILES = 64 * 2**20  # bytes of one file
PROCESSES = 32  # processes and threads

#: measure -> what it means, in the order of the report
MEASURES: dict[str, str] = {
    "user": "runs as the user nobody",
    "namespaces": "has users, processes and shared memory of its own",
    "network": "has no network",
    "files": "sees all files read-only, and some folders empty",
    "work": "has an empty working folder in memory",
    "proc": "sees its own processes only",
    "privileges": "has no capability and cannot gain any",
    "resources": "has limits of time, memory, processes and size of files",
    "parent": "ends when the judge ends",
}


class Report(dict[str, str]):
    """measure -> "yes", or why it does not hold here."""

    def tried(self, measure: str, done: bool, why: str = "") -> bool:
        self[measure] = "yes" if done else f"no ({why or 'not available here'})"
        return done


def alone(work: Path, hidden: Sequence[str], needed: Sequence[str], report: Report) -> None:
    """Leave the network, the files and the processes of the system behind.

    Called in a child process, which afterwards forks the process of the plugin: process numbers are
    new for children only.  work: an empty folder.  hidden: folders that are shown empty.  needed:
    folders that stay readable, also within hidden ones.
    """
    libc = _libc()
    if libc is None:
        for measure in ("namespaces", "network", "files", "work"):
            report.tried(measure, False, "only on Linux")
        return
    uid, gid = os.getuid(), os.getgid()
    spaces = NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS
    failed = _errno(libc.unshare(spaces)) if uid == 0 else "not root"
    if failed:  # a user namespace of its own gives the right to make the others
        failed = _errno(libc.unshare(spaces | NEWUSER))
        if not failed:
            _map(uid, gid)
    for measure in ("namespaces", "network"):
        report.tried(measure, not failed, failed)
    if failed:
        report.tried("files", False, failed)
        report.tried("work", False, failed)
        return
    failed = _errno(libc.mount(b"none", b"/", None, _REC | _PRIVATE, None))
    made = failed or _tmpfs(libc, str(work), f"size={WORK},mode=0777")
    report.tried("work", not made, made)
    shown = made or _hide(libc, work, hidden, needed)
    open_to_writing = _read_only(libc, str(work))
    report.tried("files", not shown and not open_to_writing, open_to_writing or shown)


def confined(
    work: Path, seconds: float, memory: int, needed: Sequence[str], report: Report
) -> None:
    """Called in the process of the plugin: limits, and no way back.

    seconds: of CPU time.  memory: bytes beyond what the process holds when it begins.
    """
    libc = _libc()
    if libc is not None:
        proc = _errno(libc.mount(b"proc", b"/proc", b"proc", 2 | 4 | 8, None))
        report.tried("proc", not proc and os.getpid() == 1, proc)
    with suppress(OSError):
        os.chdir(work)
    os.umask(0o077)
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: _held() + memory,
        resource.RLIMIT_FSIZE: FILES,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    why = ""
    for kind, value in limits.items():
        try:
            hard = resource.getrlimit(kind)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError) as problem:
            why = str(problem)
    report.tried("resources", not why, why)
    if libc is None:
        report.tried("privileges", False, "only on Linux")
        return
    for number in range(64):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _as_nobody(needed, report)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    dropped = _errno(libc.capset(header, data))
    kept = _errno(libc.prctl(_PR_NO_NEW_PRIVS, 1, 0, 0, 0))
    report.tried("privileges", not dropped and not kept, dropped or kept)
    # last, since a change of the user clears it
    report.tried("parent", libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


# -- parts ----------------------------------------------------------------------------------------


def _libc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "unshare") else None


def _errno(result: int) -> str:
    """ "" where a call succeeded, else why it did not."""
    return "" if result == 0 else os.strerror(ctypes.get_errno())


def _as_nobody(needed: Sequence[str], report: Report) -> None:
    """Become the user nobody, if this is root and nobody can read what Python needs."""
    if os.geteuid() != 0:
        report.tried("user", False, "only root can change the user")
        return
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    readable = all(os.access(folder, os.R_OK | os.X_OK, effective_ids=True) for folder in needed)
    os.seteuid(0)
    os.setegid(0)
    if report.tried("user", readable, "nobody cannot read the folders of Python"):
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _map(uid: int, gid: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("gid_map", f"{gid} {gid} 1"),
        ("uid_map", f"{uid} {uid} 1"),
    ):
        with suppress(OSError):
            Path(f"/proc/self/{name}").write_text(text)


def _tmpfs(libc: Any, folder: str, options: str) -> str:
    flags = _MS["nosuid"] | _MS["nodev"]
    return _errno(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode()))


def _hide(libc: Any, work: Path, hidden: Sequence[str], needed: Sequence[str]) -> str:
    """Show folders empty, except for what is needed in them; "" or why that does not hold."""
    keep = [os.path.realpath(place) for place in needed]
    for place in dict.fromkeys(map(os.path.realpath, hidden)):
        if not os.path.isdir(place) or any(_within(place, folder) for folder in keep):
            continue
        if _within(str(work), place):
            return f"{place} is not hidden, since it holds the working folder; it is read-only"
        inside = [folder for folder in keep if _within(folder, place)]
        stashed = []
        for i, folder in enumerate(inside):
            stash = work / f"stash-{i}"
            stash.mkdir()
            stashed.append(os.fsencode(stash))
            if failed := _errno(libc.mount(os.fsencode(folder), stashed[-1], None, _BIND, None)):
                return f"{folder}: {failed}"
        if failed := _tmpfs(libc, place, "size=1m,mode=0755"):
            return f"{place}: {failed}"
        for folder, stash_of in zip(inside, stashed, strict=True):
            os.makedirs(folder, mode=0o755, exist_ok=True)
            if failed := _errno(libc.mount(stash_of, os.fsencode(folder), None, _BIND, None)):
                return f"{folder}: {failed}"
            libc.umount2(stash_of, _DETACH)
            os.rmdir(stash_of)
    return ""


def _read_only(libc: Any, work: str) -> str:
    """Remount every mount read-only; "" or why not all of it holds."""
    for place, flags in _mounts().items():
        if place == work or any(_within(place, own) for own in ("/proc", "/sys", "/dev")):
            continue
        mode = _REMOUNT | _BIND | _MS["ro"] | flags
        if failed := _errno(libc.mount(None, os.fsencode(place), None, mode, None)):
            return f"{place}: {failed}"
    return ""


def _within(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip("/") + "/")


def _mounts() -> Mapping[str, int]:
    """Mount point -> its flags, which a remount must repeat."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        place = words[4].encode().decode("unicode_escape")
        found[place] = sum(_MS.get(option, 0) for option in words[5].split(","))
    return found


def _held() -> int:
    """Bytes of address space that the process holds; 2 GiB where that is not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 2 * 2**30
    return pages * resource.getpagesize()
