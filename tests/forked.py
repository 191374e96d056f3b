"""The command line in processes of its own that start warm: one process imports everything once and forks per call.

``call("run", "smoke")`` is what a shell would get back from ``collapse-bench run smoke``, without the seconds that
importing torch takes.  ``start`` returns at once, so that a test can send signals.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver
from pathlib import Path

#: what commands import when they run
USED_BY_COMMANDS = tuple(
    f"collapse_bench.{name}"
    for name in ("cli.progress", "checks", "board.collect", "board.render", "laws.verify")
)
#: the environment of the tests before any of them changes it: the process that forks serves them all
ENVIRONMENT = dict(os.environ)
PATIENCE = 120.0  # seconds after which a call is taken to hang


@dataclass
class Ended:
    """What a shell sees of a command."""

    code: int  # negative: the signal that ended it
    out: str
    err: str

    @property
    def said(self) -> str:
        """The last line on stderr: where a refusal stands."""
        return (self.err.strip().splitlines() or [""])[-1]


@dataclass
class Started:
    """A command under way, leader of a session and a process group of its own."""

    number: int
    pid: int
    folder: Path
    ended: Ended | None = field(default=None)

    def send(self, sign: int) -> None:
        with suppress(ProcessLookupError):  # it was quicker
            os.kill(self.pid, sign)

    def send_group(self, sign: int) -> None:
        os.killpg(self.pid, sign)

    def group(self) -> list[int]:
        """Its live processes, workers included: each worker leads a group of the same session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # ended while it was looked at
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state != "Z":
                    found.append(int(stat.parent.name))
        return found

    def err(self) -> str:
        """What it has said so far."""
        return (self.folder / "err").read_text()

    def wait(self, patience: float = PATIENCE) -> Ended:
        if self.ended is None:
            code = _answer("ended", self.number, patience)
            if code is None:
                self.give_up()
                raise AssertionError(f"no end after {patience} s; so far:\n{self.err()}")
            self.ended = Ended(code, (self.folder / "out").read_text(), self.err())
        return self.ended

    def give_up(self) -> None:
        """End it and its workers, where a test has lost interest."""
        if self.ended is None:
            for pid in self.group():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = _answer("ended", self.number, PATIENCE)
            assert code is not None, "a killed command does not end"
            self.ended = Ended(code, "", self.err())


def start(
    *args, cwd: str | Path | None = None, env: dict[str, str] | None = None, code: str | None = None
) -> Started:
    """Begin ``collapse-bench args``, or the Python text ``code`` with ``args`` as sys.argv[1:]; one at a time."""
    if _CALLS:
        _CALLS[-1].give_up()
    folder, number = Path(tempfile.mkdtemp(prefix="call-", dir=_folder())), len(_CALLS)
    order = {
        "number": number,
        "args": list(map(str, args)),
        "cwd": str(cwd or folder),
        "env": env or {},
        "code": code,
    }
    _server().stdin.write(json.dumps({**order, "folder": str(folder)}) + "\n")
    _server().stdin.flush()
    pid = _answer("started", number, PATIENCE)
    assert pid is not None, "the process that forks is gone"
    _CALLS.append(Started(number, pid, folder))
    return _CALLS[-1]


def call(*args, **more) -> Ended:
    """Run a command to its end."""
    return start(*args, **more).wait()


def _one_error(ended: Ended, code: int, words: tuple[str, ...]) -> None:
    assert ended.code == code, ended
    assert "Traceback" not in ended.err, ended
    assert len(re.findall("^Error: ", ended.err, re.M)) == 1, ended
    assert ended.said.startswith("Error: "), ended
    for word in words:
        assert word in ended.said, ended


def one_sentence(ended: Ended, code: int, *words: str) -> None:
    """The documented code, nothing on stdout, and one error, in the last line, that says all of these words."""
    _one_error(ended, code, words)
    assert ended.out == "", ended


def refused(ended: Ended, code: int, *words: str) -> None:
    """The documented code, and nothing on stderr but one error that says all of these words."""
    _one_error(ended, code, words)
    assert len(ended.err.strip().splitlines()) == 1, ended


# -- this side ------------------------------------------------------------------------------------------------------

_CACHE: dict[str, object] = {}
_CALLS: list[Started] = []
_ANSWERS: queue.Queue[str] = queue.Queue()


def _folder() -> str:
    if "folder" not in _CACHE:
        _CACHE["folder"] = tempfile.TemporaryDirectory(prefix="forked-")
    return _CACHE["folder"].name


def _server() -> subprocess.Popen:
    if "server" not in _CACHE:
        server = subprocess.Popen(
            [sys.executable, __file__],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        _CACHE["server"] = server
        atexit.register(server.kill)
        threading.Thread(
            target=lambda: [_ANSWERS.put(line) for line in server.stdout], daemon=True
        ).start()
    return _CACHE["server"]


def _answer(what: str, number: int, patience: float) -> int | None:
    """The process id or exit code that the other side tells of a call, None where it says nothing in time."""
    try:
        said, of, value = _ANSWERS.get(timeout=patience).split()
    except queue.Empty:
        return None
    assert (said, int(of)) == (what, number), (said, of, what, number)
    return int(value)


# -- the other side -------------------------------------------------------------------------------------------------


def _serve() -> None:
    """Fork per order; say the child's process id, then, when it has ended, its exit code."""
    import torch

    torch.set_num_threads(1)
    for module in ("numpy", "pandas", "pyarrow.pandas_compat", *USED_BY_COMMANDS):
        importlib.import_module(module)
    importlib.import_module("collapse_bench.running.warm")
    from collapse_bench.registry.discovery import Registry
    from collapse_bench.suite.expand import expand
    from collapse_bench.suite.model import find_suite, read_suite

    registry = Registry.discover()
    expand(
        read_suite(find_suite("smoke", registry)), registry
    )  # imports the plugins and reads their data
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        reads, writes = os.pipe()
        pid = os.fork()
        if not pid:
            answers.close()
            os.close(reads)
            os.setsid()
            os.close(writes)
            _leave(_obey, order)
        os.close(writes)
        os.read(reads, 1)  # until it leads its session
        os.close(reads)
        answers.write(f"started {order['number']} {pid}\n")
        _, status = os.waitpid(pid, 0)
        answers.write(f"ended {order['number']} {os.waitstatus_to_exitcode(status)}\n")


def _leave(work, order: dict) -> None:
    """Do the work and go, as an interpreter does, but for the half second in which it takes torch to pieces."""
    code = 0
    try:
        work(order)
    except SystemExit as leaving:
        code = leaving.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = 120
    os._exit(code)


def _warm_fork_server() -> None:
    """Give this command a fork server for its workers that is a fork of this warm process.

    The real one is a new interpreter, which takes two seconds to import the same modules.  The
    server is forked before the command loads any plugin, so it is as clean as a new one.
    """
    from collapse_bench.registry.discovery import REPLACES_DISCOVERY

    if REPLACES_DISCOVERY in os.environ:  # the suite's own plugins are others than those loaded
        return
    listener, address = socket.socket(socket.AF_UNIX), connection.arbitrary_address("AF_UNIX")
    listener.bind(address)
    listener.listen()
    alive, ours = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ours)
        with suppress(SystemExit):
            forkserver.main(listener.fileno(), alive, [])
        os._exit(0)
    listener.close()
    os.close(alive)
    server = forkserver._forkserver  # what `ensure_running` sets after it has started one
    server._forkserver_address = address
    server._forkserver_alive_fd = ours
    server._forkserver_pid = pid


def _obey(order: dict) -> None:
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that ran the tests by `&` has had it ignored
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(f"{order['folder']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    sys.argv = ["collapse-bench", *order["args"]]
    if order["code"] is None:
        _warm_fork_server()
    else:  # it may fork, and a fork server is a child of one process only
        exec(compile(order["code"], "driver", "exec"), {"__name__": "driver"})
        return
    from collapse_bench.cli import main

    main(order["args"])


if __name__ == "__main__":
    _serve()
