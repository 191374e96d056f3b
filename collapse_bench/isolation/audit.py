"""An audited run: the judge's process, and the processes of the plugin that it starts."""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..core.cell import Cell
from ..core.components import Mitigation
from ..core.identity import written
from ..core.params import param
from ..errors import PluginError, UsageError
from ..foreign.calls import bounded
from ..registry.digests import code_files, digests_of
from ..registry.discovery import Registry
from ..spec import is_word
from .failures import Raised
from .frames import Broken, Frames
from .judge import JudgeExchange, serve
from .limits import MEASURES
from .link import Link

SECONDS = 600.0  # of one group of chains
MEMORY = 4 * 2**30  # bytes beyond what the suite itself takes
START_SECONDS = 300.0  # until the server and a plugin are loaded


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the process of a plugin may take, and which folders it sees empty."""

    seconds: float = SECONDS
    memory: int = MEMORY
    hidden: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Source:
    """The text of a plugin file, and of the helper modules beside it.

    name: the file; None for plugins of the suite, which are audited like others in tests.
    """

    name: str | None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """A plugin file with the helpers in its folder, none of them executed."""
        folder = path.resolve().parent
        found = {path.name: path, **{p.name: p for p in code_files(path.name, path).values()}}
        inside = {n: p for n, p in found.items() if p.resolve().parent == folder}
        return cls(path.name, {n: p.read_text(encoding="utf-8") for n, p in inside.items()})


# -- processes -------------------------------------------------------------------------------------


class Server:
    """The process from which plugins' processes are forked; see ``server``.  One per process."""

    _only: ClassVar[Server | None] = None

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COLLAPSE_BENCH")}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "PYTHONSAFEPATH": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.control.settimeout(START_SECONDS)
        atexit.register(self.close)

    @classmethod
    def running(cls) -> Server:
        """The server of this process, started on first use."""
        if cls._only is None or cls._only.process.poll() is not None:
            cls._only = cls()
        return cls._only

    def fork(self, source: Source, limits: Limits) -> tuple[socket.socket, int]:
        """A new process of the plugin: (the judge's end of the connection, number of the process
        above it).  Raises UsageError where none begins."""
        mine, theirs = socket.socketpair()
        request = {
            "plugin": source.name,
            "files": dict(source.files),
            "seconds": limits.seconds,
            "memory": limits.memory,
            "hidden": list(limits.hidden),
            "needed": _needed(),
        }
        try:
            text = json.dumps(request).encode()
            if len(text) >= 2**20:
                raise UsageError("a plugin of more than 1 MiB of source cannot be audited")
            socket.send_fds(self.control, [text], [theirs.fileno()])
            answer = json.loads(self.control.recv(2**16))
        except (OSError, ValueError) as problem:
            raise UsageError(
                "the process that starts audited plugins cannot be reached; run the command again"
            ) from problem
        finally:
            theirs.close()
        return mine, int(answer["process"])

    def close(self) -> None:
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()


def _needed() -> list[str]:
    """Folders that Python reads while a plugin runs."""
    package = Path(__file__).resolve().parents[1]
    places = [package.parent, Path(sys.prefix), Path(sys.base_prefix), Path(torch.__file__).parent]
    return list(dict.fromkeys(str(place) for place in places))


class PluginProcess:
    """One process of the plugin.  ``report``: what the operating system takes from it."""

    def __init__(self, source: Source, limits: Limits):
        end, self.number = Server.running().fork(source, limits)
        frames = Frames(end, other="the process of the plugin")
        frames.deadline = time.monotonic() + START_SECONDS
        self._end = end
        try:
            greeting = frames.receive()
        except Broken as problem:
            self.close()
            raise PluginError(f"plugin {source.name}: {problem} while it was loaded") from problem
        failed = greeting.get("failed") if isinstance(greeting, dict) else "it sent no greeting"
        if failed is not None:
            self.close()
            raise PluginError(f"plugin {source.name}: {bounded(str(failed))}")
        frames.seconds = limits.seconds
        said = greeting.get("report")
        said = said if isinstance(said, dict) else {}
        # of one that is silent, nothing is claimed
        self.report = {name: bounded(str(said.get(name, "no"))) for name in MEASURES}
        raised = Raised()
        self.link = Link(frames, JudgeExchange(), serve, raised.message, raised.of)

    def close(self) -> None:
        """End the process and all that it started."""
        self._end.close()
        with suppress(OSError):
            os.kill(self.number, signal.SIGKILL)


# -- mitigations -----------------------------------------------------------------------------------


class Audit:
    """The mitigations of a plugin, each as a class whose stages run in the plugin's process.

    Use it as a context.  ``classes`` has a class per name, with the name, the version and the
    parameters of the plugin's own, so that cells have the same ids.  Raises PluginError for a file
    that does not load, UsageError for a mitigation that cannot be audited.
    """

    def __init__(self, source: Source, names: Sequence[str], limits: Limits | None = None):
        self.source, self.names, self.limits = source, tuple(names), limits or Limits()
        self.classes: dict[str, type[AuditedMitigation]] = {}
        self.report: dict[str, str] = {}
        self._process: PluginProcess | None = None

    def __enter__(self) -> Audit:
        digests = digests_of_source(self.source)
        try:
            for name in self.names:
                described = self.link.call("describe", name)
                self.classes[name] = _class_of(self, name, described, digests)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def link(self) -> Link:
        """The connection to the plugin's process, which is started where there is none."""
        if self._process is not None and self._process.link.broken:
            self.close()
        if self._process is None:
            self._process = PluginProcess(self.source, self.limits)
            self.report = self._process.report
        return self._process.link

    def close(self) -> None:
        """End the plugin's process; the next call begins another."""
        if self._process is not None:
            self._process.close()
            self._process = None

    @contextmanager
    def offered(self, registry: Registry) -> Iterator[None]:
        """Within, the registry builds these classes for the names of the plugin.

        Raises UsageError where a mitigation of the suite has one of the names.
        """
        known, owners = registry.classes["mitigation"], registry.owners
        for name in self.classes.keys() & known.keys():
            if not known[name].file_digests:
                raise UsageError(
                    f"the plugin offers {name!r}, which is the name of a mitigation of the suite; "
                    "rename it"
                )
        before, owned = dict(known), dict(owners)
        known.update(self.classes)
        owners.update({("mitigation", name): "an audit" for name in self.classes})
        registry.loads += 1
        try:
            yield
        finally:
            for now, then in ((known, before), (owners, owned)):
                now.clear()
                now.update(then)  # type: ignore[arg-type]
            registry.loads += 1


class AuditedMitigation(Mitigation):
    """Base of the classes that stand for the mitigations of a plugin in the judge's process."""

    audit: ClassVar[Audit]

    def _stage(self, name: str, *args: Any) -> Any:
        return self.audit.link.call("stage", str(written(self)), name, *args)


def digests_of_source(source: Source) -> dict[str, str]:
    """Module -> digest of the code of the plugin, as a record holds it; nothing is executed."""
    if source.name is None:
        return {}
    import tempfile

    with tempfile.TemporaryDirectory(prefix="collapse-bench-") as folder:
        for name, text in source.files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        file = Path(folder) / source.name
        return digests_of(code_files(file.name, file), file.name)


def _class_of(
    audit: Audit, name: str, described: Any, digests: Mapping[str, str]
) -> type[AuditedMitigation]:
    """The class for what the plugin says of a mitigation.  Raises UsageError where it is odd."""
    try:
        return _made(audit, name, described, digests)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise UsageError(f"what the plugin says of {name} cannot be read: {problem}") from problem


def _made(
    audit: Audit, name: str, described: Any, digests: Mapping[str, str]
) -> type[AuditedMitigation]:
    title = described["title"]
    if not isinstance(title, str) or not is_word(title):
        raise ValueError("its title is no name")
    fields = [
        (field["name"], _TYPES[field["type"]], _field(field))
        for field in described["fields"]
        if field["name"].isidentifier()
    ]
    traits = described["traits"]
    body: dict[str, Any] = {
        "audit": audit,
        "name": title,
        "file_digests": dict(digests),
        "version": int(traits["version"]),
        "kinds": None if traits["kinds"] is None else tuple(map(str, traits["kinds"])),
        "needs": tuple(map(str, traits["needs"])),
        "tunings": tuple(dict(one) for one in traits["tunings"])[:3],
        "__doc__": f"``{title}`` of a plugin, whose stages run in another process.",
    }
    for trait in ("couples_chains", "applies_to_memory", "control"):
        body[trait] = bool(traits[trait])
    for stage in _STAGES.keys() & set(described["stages"]):
        body[stage] = _STAGES[stage]
    if "size" in body and described["size takes memory"]:
        body["size"] = _size_with_memory
    if described["judges cells"]:
        body["incompatibility"] = _incompatibility
    return dataclasses.make_dataclass(
        _class_name(title), fields, bases=(AuditedMitigation,), namespace=body, frozen=True
    )


def _class_name(title: str) -> str:
    """The name of a class for a title."""
    return "".join(c if c.isalnum() else "_" for c in title)


def _field(described: Mapping[str, Any]) -> Any:
    limits = described["limits"]
    bounds = {key: limits[key] for key in ("ge", "gt", "le", "lt")}
    default, choices = described["default"], described["choices"]
    if not (default is None or isinstance(default, (bool, int, float, str))):
        raise ValueError(f"the default of {described['name']} is no plain value")
    return param(
        default,
        str(limits["doc"]),
        choices=None if choices is None else tuple(choices),
        later=bool(limits["later"]),
        **bounds,
    )


def _size(self: AuditedMitigation, n: int, t: int) -> Any:
    return self._stage("size", n, t)


def _size_with_memory(self: AuditedMitigation, n: int, t: int, memory: Any) -> Any:
    return self._stage("size", n, t, memory)


def _steer(self: AuditedMitigation, teacher: Any, access: Any) -> Any:
    return self._stage("steer", teacher, access)


def _curate(self: AuditedMitigation, corpus: Any, access: Any) -> Any:
    return self._stage("curate", corpus, access)


def _adapt(self: AuditedMitigation, model: Any, access: Any) -> Any:
    return self._stage("adapt", model, access)


def _incompatibility(self: AuditedMitigation, cell: Cell) -> Any:
    place = next(i for i, act in enumerate(cell.mitigations) if act is self)
    return self.audit.link.call("incompatibility", place, cell.label)


_STAGES = {"size": _size, "steer": _steer, "curate": _curate, "adapt": _adapt}

_TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}
_TYPES |= {f"{name} | None": kind | None for name, kind in list(_TYPES.items())}
_TYPES["int | float"] = int | float
