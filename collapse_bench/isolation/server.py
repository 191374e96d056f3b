"""The process from which the processes of plugins are forked.

It holds the suite and torch, no run and no secret, and never runs code of plugins itself.  A fork
of it begins in milliseconds, so that every chain can have a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .limits import Report, alone, confined

#: variables that the process of a plugin keeps
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def main(number: int) -> None:
    """Serve requests on the socket with this number until it is closed."""
    import torch

    from ..registry import discovery

    torch.set_num_threads(1)
    discovery.own_registry(None)
    control = socket.socket(fileno=number)
    work = Path(tempfile.mkdtemp(prefix="collapse-bench-audit-"))
    work.chmod(0o1777)  # where it is not replaced by one in memory, all plugins share it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the judge, who ends this process
    try:
        _requests(control, work)
    finally:
        with suppress(OSError):
            os.rmdir(work)


def _requests(control: socket.socket, work: Path) -> None:
    while True:
        text, ends, _, _ = socket.recv_fds(control, 2**20, 1)
        _collect()
        if not text or not ends:
            return
        child = os.fork()
        if child == 0:
            control.close()
            _child(ends[0], json.loads(text), work)
            os._exit(0)
        os.close(ends[0])
        control.sendall(json.dumps({"process": child}).encode())


def _collect() -> None:
    """Let ended children go."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _child(number: int, request: Mapping[str, Any], work: Path) -> None:
    """Between the server and the plugin: it leaves the system behind, and waits for the plugin."""
    report = Report()
    try:
        alone(work, request["hidden"], request["needed"], report)
    except OSError as problem:
        report.tried("namespaces", False, str(problem))
    inner = os.fork()
    if inner == 0:
        code = 1
        try:
            _plugin(number, request, work, report)
            code = 0
        finally:
            os._exit(code)
    os.close(number)
    os.waitpid(inner, 0)


def _plugin(number: int, request: Mapping[str, Any], work: Path, report: Report) -> None:
    """The process of the plugin: loads it and serves the judge."""
    import numpy as np
    import torch

    from ..errors import UserError
    from ..registry import discovery
    from .failures import message_of_plugin, raised_by_judge
    from .frames import Broken, Frames
    from .link import Link
    from .plugin import PluginExchange, Served

    confined(work, request["seconds"], request["memory"], request["needed"], report)
    variables = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update(variables, HOME=str(work), TMPDIR=str(work), OMP_NUM_THREADS="1")
    tempfile.tempdir = str(work)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, number)
    os.closerange(number + 1, 256)
    frames = Frames(socket.socket(fileno=number), other="the judge")
    # forks share the state of the server's generators; who draws from them must not be repeatable
    torch.seed()
    random.seed()
    np.random.seed()
    known = discovery.own_registry(None)
    discovery._REGISTRY = known
    files: frozenset[str] = frozenset()
    try:
        folder = Path(tempfile.mkdtemp(dir=work))
        for name, text in request["files"].items():
            (folder / name).write_text(text, encoding="utf-8")
        if request["plugin"] is not None:
            file = folder / request["plugin"]
            known.check_file(known.file(file), file)
            files = known.foreign_files()
    except (UserError, OSError) as problem:
        frames.send({"failed": str(problem), "report": dict(report)})
        return
    frames.send({"failed": None, "report": dict(report)})
    served = Served(known)
    link = Link(
        frames,
        PluginExchange(),
        served,
        lambda problem: message_of_plugin(problem, files),
        raised_by_judge,
    )
    with suppress(Broken):
        link.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
