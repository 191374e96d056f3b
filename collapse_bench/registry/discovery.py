"""From names to objects: plugins are found, each is loaded alone, and specs are built from what they offer.

A broken plugin that nobody selected costs one warning line; one that was selected ends the command with exit code 3.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import os
import pkgutil
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, overload
from uuid import uuid4

import pluggy

from ..core.cell import Cell
from ..core.components import Component, DataGenerator, Mitigation, Model, Protocol
from ..core.params import allowed, type_hints
from ..errors import PluginError, UsageError
from ..laws.claims import Claim
from ..papers.figure import Figure
from ..spec import Call, CellSpec, is_word, parse_call, parse_cell, parse_mitigations
from ..suggest import nearest
from . import hookspecs

GROUP = "collapse_bench"
REPLACES_DISCOVERY = "COLLAPSE_BENCH_PLUGINS"  # modules or files, joined by commas
KINDS: dict[str, tuple[str, type[Component]]] = {
    "generator": ("collapse_generators", DataGenerator),
    "model": ("collapse_models", Model),
    "protocol": ("collapse_protocols", Protocol),
    "mitigation": ("collapse_mitigations", Mitigation),
}


@dataclass
class Plugin:
    """One loaded module, or one that would not load."""

    module: str
    source: str  # the entry point or the file it came from
    offers: list[tuple[str, str]] = field(default_factory=list)  # (kind, name)
    error: str | None = None  # one sentence
    trace: str | None = None

    @property
    def broken(self) -> bool:
        return self.error is not None


class Registry:
    """All plugins that were found, and the classes they offer by kind and name."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.classes: dict[str, dict[str, type[Component]]] = {kind: {} for kind in KINDS}
        self.owners: dict[tuple[str, str], str] = {}
        self.suites: list[Path] = []
        self._claims: list[Claim] | None = None

    # -- loading ------------------------------------------------------------------------------------------------

    @classmethod
    def discover(cls, files: Iterable[str | Path] = ()) -> Registry:
        """Every installed plugin, then the given files.  A file that does not load raises PluginError."""
        registry = cls()
        chosen = os.environ.get(REPLACES_DISCOVERY)
        if chosen is None:
            for point in importlib.metadata.entry_points(group=GROUP):
                registry.shelf(point.value, source=f"entry point {point.name}")
        else:
            for name in filter(None, map(str.strip, chosen.split(","))):
                if name.endswith(".py"):
                    registry.file(name)
                else:
                    registry.shelf(name, source=REPLACES_DISCOVERY)
        for path in files:
            plugin = registry.file(path)
            registry._whole(plugin, path)
        return registry

    def shelf(self, name: str, source: str) -> None:
        """A module, or a package that has a hook, is one plugin; any other package is a shelf of plugins."""
        module = self._import(name, source)
        if module is None:
            return
        if not hasattr(module, "__path__") or _hooks_of(module):
            self._register(module, source)
            return
        for item in sorted(pkgutil.iter_modules(module.__path__, f"{name}."), key=lambda i: i.name):
            if not item.name.rpartition(".")[2].startswith("_"):
                self.shelf(item.name, source)

    def file(self, path: str | Path) -> Plugin:
        """One plugin from one file."""
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"plugin file {path} is not there; give the path of a Python file")
        name = f"collapse_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"plugin file {path} is not a Python file; its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # so that checkpoints find the classes again
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as problem:
            del sys.modules[name]
            return self._broken(name, str(path.absolute()), problem)
        plugin = self._register(module, str(path.absolute()))
        for cls in (self.classes[kind][offered] for kind, offered in plugin.offers):
            if cls.__module__ == name:  # what the file only passes on was not written there
                cls.file_digest = sha256(path.read_bytes()).hexdigest()[:16]
        return plugin

    def _whole(self, plugin: Plugin, path: str | Path) -> None:
        """PluginError where a file that was asked for does not load, or has nothing to offer."""
        if plugin.broken:
            raise PluginError(
                f"plugin {path}: {plugin.error}; the traceback: collapse-bench plugins --plugin {path} --trace {Path(path).stem}"
            )
        module = sys.modules[plugin.module]
        if not self.manager.get_hookcallers(module):
            self.manager.unregister(module)
            plugin.error = "it has no hook"  # so that it is read again when it has one
            raise PluginError(
                f"plugin {path} has no hook, and so offers nothing; end it with @hookimpl and def collapse_mitigations(): "
                'return {"name": Class}'
            )

    def offer(self, kind: str, name: str, cls: type[Component]) -> None:
        """Offer one class under a name, as a notebook does; offering it again replaces it."""
        said = f"offer({name!r}, ...)"
        self._look_at(kind, name, cls, said, said)
        cls.name, cls.file_digest = name, _written_in(cls)
        self.classes[kind][name] = cls
        self.owners[kind, name] = said

    def _import(self, name: str, source: str) -> types.ModuleType | None:
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as problem:
            self._broken(name, source, problem)
            return None

    def _broken(self, name: str, source: str, problem: BaseException) -> Plugin:
        sentence = f"{type(problem).__name__}: {problem}".splitlines()[0]
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(problem.__traceback__)
            if frame.filename == source
        ]
        if lines:
            sentence += f" ({Path(source).name}, line {lines[-1]})"
        plugin = Plugin(
            name, source, error=sentence, trace="".join(traceback.format_exception(problem))
        )
        self.plugins.append(plugin)
        return plugin

    def _register(self, module: types.ModuleType, source: str) -> Plugin:
        try:
            _check_hooks(module)
            offers = self._offers(module)
            suites = [Path(path) for path in getattr(module, "collapse_suites", list)()]
            self._hook_up(module)
        except Exception as problem:
            return self._broken(module.__name__, source, problem)
        plugin = Plugin(module.__name__, source)
        self._claims = None
        for kind, name, cls in offers:
            if "name" not in cls.__dict__:
                cls.name = name
            self.classes[kind][name] = cls
            self.owners[kind, name] = module.__name__
            plugin.offers.append((kind, name))
        self.suites += suites
        self.plugins.append(plugin)
        return plugin

    def _hook_up(self, module: types.ModuleType) -> None:
        try:
            self.manager.register(module, name=module.__name__)
        except pluggy.PluginValidationError:
            if self.manager.is_registered(
                module
            ):  # older versions of pluggy leave it half registered
                self.manager.unregister(module)
            raise

    def _offers(self, module: types.ModuleType) -> list[tuple[str, str, type[Component]]]:
        found = []
        for kind, (hook, _) in KINDS.items():
            offered: object = getattr(module, hook, dict)()
            if not isinstance(offered, dict):
                raise PluginError(
                    f"{hook}() must return a dict of name to class, got {type(offered).__name__}"
                )
            for name, cls in offered.items():
                self._look_at(kind, name, cls, f"{hook}()", module.__name__)
                found.append((kind, name, cls))
        return found

    def _look_at(self, kind: str, name: Any, cls: Any, said: str, owner: str) -> None:
        """Refuse what cannot be offered under this name; ``said`` is the call that offers it."""
        base = KINDS[kind][1]
        if not isinstance(name, str) or not is_word(name):
            raise PluginError(
                f"{said} offers the name {name!r}, which cannot be typed in a spec; begin with a letter or _, go on with "
                "letters, digits, _, - and ., and leave true, false and null to the values"
            )
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(f"{said} offers {name!r}, which is not a subclass of {base.__name__}")
        if not dataclasses.is_dataclass(cls) or "__dataclass_fields__" not in cls.__dict__:
            raise PluginError(
                f"{name!r} must be a frozen dataclass: put @dataclass(frozen=True) above the class"
            )
        if not cls.__dict__["__dataclass_params__"].frozen:
            raise PluginError(f"{name!r} must be frozen: write @dataclass(frozen=True)")
        if self.owners.get((kind, name), said) != said:
            raise PluginError(
                f"the {kind} {name!r} is offered by {self.owners[kind, name]} and by {owner}; rename one"
            )

    def module_of(self, kind: str, name: str) -> types.ModuleType | None:
        """The module whose hooks offer this class; None where it was offered from a notebook, or not at all."""
        return self.manager.get_plugin(self.owners.get((kind, name), ""))

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.broken]

    # -- laws ---------------------------------------------------------------------------------------------------

    def claims(self) -> list[Claim]:
        """Laws that plugins promise of the engine, those of one plugin together; the same objects every time."""
        if self._claims is None:
            self._claims = [
                claim for some in reversed(self.manager.hook.collapse_claims()) for claim in some
            ]
        return self._claims

    def predicted(self, cell: Cell) -> tuple[float, ...] | None:
        """Expected primary loss of the cell for t = 0 .. generations, NaN where unknown; None where no law is known."""
        for told in self.manager.hook.collapse_theory(cell=cell):
            curve = tuple(float(value) for value in told)
            if len(curve) != cell.generations + 1:
                raise PluginError(
                    f"a law of {cell.data.title()} speaks of {len(curve)} generations; {cell.label} has {cell.generations + 1}"
                )
            if any(map(math.isfinite, curve)):
                return curve
        return None

    # -- figures ------------------------------------------------------------------------------------------------

    @property
    def figures(self) -> dict[str, Callable[..., Figure]]:
        """Figures of papers by name, sorted."""
        found = {
            name: make
            for some in self.manager.hook.collapse_figures()
            for name, make in some.items()
        }
        return dict(sorted(found.items()))

    def figure(self, name: str) -> Callable[..., Figure]:
        """The figure of this name; the nearest known name is offered where there is none."""
        if name not in self.figures:
            raise UsageError(f"there is no figure {name!r}{nearest(name, self.figures)}")
        return self.figures[name]

    # -- building -----------------------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> type[Component]:
        """The class of this kind and name; the nearest known name is offered where there is none."""
        known = self.classes[kind]
        if name in known:
            return known[name]
        for plugin in self.broken:
            if plugin.module.rpartition(".")[2].replace("_", "-") == name.replace("_", "-"):
                raise PluginError(
                    f"{kind} {name!r}: plugin {plugin.module} could not be loaded: {plugin.error}"
                )
        elsewhere = [other for other in KINDS if name in self.classes[other]]
        if elsewhere:
            raise UsageError(f"{name!r} is a {elsewhere[0]}, and a {kind} was due there")
        near = nearest(name, known)
        hint = "" if near.endswith("?") else "; a file of your own is loaded by --plugin FILE"
        if self.broken:
            hint += (
                f"; {len(self.broken)} plugin(s) could not be loaded, see 'collapse-bench plugins'"
            )
        raise UsageError(f"unknown {kind} {name!r}{near}{hint}")

    @overload
    def build(self, kind: Literal["generator"], call: Call | str) -> DataGenerator: ...
    @overload
    def build(self, kind: Literal["model"], call: Call | str) -> Model: ...
    @overload
    def build(self, kind: Literal["protocol"], call: Call | str) -> Protocol: ...
    @overload
    def build(self, kind: Literal["mitigation"], call: Call | str) -> Mitigation: ...
    @overload
    def build(self, kind: str, call: Call | str) -> Component: ...

    def build(self, kind: str, call: Call | str) -> Component:
        """A plugin object from its spec, every value coerced to its field's type and checked against its range."""
        call = parse_call(call) if isinstance(call, str) else call
        cls = self.find(kind, call.name)
        fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
        values = {}
        for key, value in call.args:
            if key not in fields:
                takes = nearest(key, fields) if fields else "; it takes none"
                raise UsageError(f"{call.name} has no parameter {key!r}{takes}")
            values[key] = self._coerce(f"{call.name}: {key}", value, type_hints(cls)[key])
        missing = [
            n
            for n, f in fields.items()
            if n not in values
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise UsageError(
                f"{call.name} needs the parameter(s) {', '.join(missing)}: {call.name}({missing[0]}=...)"
            )
        try:
            return cls(**values)
        except (ValueError, TypeError) as problem:
            raise UsageError(f"{call.name}: {problem}") from problem

    def mitigations(self, text: str | tuple[Call, ...]) -> tuple[Mitigation, ...]:
        """A composition of mitigations from its spec."""
        calls = parse_mitigations(text) if isinstance(text, str) else text
        return tuple(self.build("mitigation", call) for call in calls)

    def cell(self, spec: str | CellSpec, **overrides: Any) -> Cell:
        """A cell from its spec; ``overrides`` are further fields of Cell (seeds, device)."""
        spec = parse_cell(spec) if isinstance(spec, str) else spec
        settings = dict(spec.settings)
        known = {"n": int, "T": int, "growth": float, "first": DataGenerator | None}
        for key in settings:
            if key not in known:
                raise UsageError(f"unknown setting {key!r} after '@'{nearest(key, known)}")
        value = {key: self._coerce(key, settings[key], known[key]) for key in settings}
        return Cell(
            data=self.build("generator", spec.data),
            model=self.build("model", spec.model),
            protocol=self.build("protocol", spec.protocol),
            mitigations=tuple(self.build("mitigation", call) for call in spec.mitigations),
            **{
                "n": value.get("n", 100),
                "generations": value.get("T", 10),
                "growth": value.get("growth", 0.0),
                "first_teacher": value.get("first"),
                **overrides,
            },
        )

    def _coerce(self, what: str, value: Any, hint: Any) -> Any:
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            if value is None and len(options) < len(typing.get_args(hint)):
                return None
            for option in options[:-1]:
                try:
                    return self._coerce(what, value, option)
                except UsageError:
                    continue
            return self._coerce(what, value, options[-1])
        origin = typing.get_origin(hint) or hint
        if origin is Literal:
            choices = typing.get_args(hint)
            plain = value.name if isinstance(value, Call) and not value.args else value
            if plain in choices:
                return plain
            raise UsageError(
                f"{what} must be one of {', '.join(map(str, choices))}, got {_said(value)}"
            )
        if isinstance(origin, type) and issubclass(origin, Component):
            kind = next(kind for kind, (_, base) in KINDS.items() if issubclass(origin, base))
            if isinstance(value, (Call, str)):
                return self.build(kind, value)
            raise UsageError(f"{what} must be a {kind} such as name(key=1), got {_said(value)}")
        if origin in (tuple, list):
            inner = typing.get_args(hint)[0] if typing.get_args(hint) else Any
            if isinstance(value, tuple):
                return tuple(self._coerce(what, item, inner) for item in value)
        elif origin is bool:
            if isinstance(value, bool):
                return value
        elif origin is int:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0:
                return int(value)
        elif origin is float:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
        elif origin in (str, Path):
            if isinstance(value, str):
                return origin(value)
            if isinstance(value, Call) and not value.args:
                return origin(value.name)
        else:
            return value
        names = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            str: "a word or a quoted string",
        }
        wanted = names.get(
            origin,
            "a list such as [1, 2]" if origin in (tuple, list) else "a path in double quotes",
        )
        raise UsageError(f"{what} must be {wanted}, got {_said(value)}")


def parameters(cls: type[Component]) -> list[dict[str, Any]]:
    """Name, type, default, range and documentation of every parameter of a plugin."""
    hints = type_hints(cls)
    return [
        {
            "name": f.name,
            "type": getattr(hints[f.name], "__name__", str(hints[f.name])),
            "default": f.default,
            "allowed": allowed(f) or _choices(hints[f.name]),
            "doc": f.metadata.get("doc", ""),
        }
        for f in dataclasses.fields(cls)
    ]


def _choices(hint: Any) -> str:
    return (
        "one of " + ", ".join(map(str, typing.get_args(hint)))
        if typing.get_origin(hint) is Literal
        else ""
    )


def _said(value: Any) -> str:
    return str(value) if isinstance(value, Call) else repr(value)


def _written_in(cls: type) -> str:
    """Digest of the file in which a class stands; where there is none, as in a notebook, a mark that no other run bears."""
    try:
        return sha256(Path(inspect.getsourcefile(cls) or "").read_bytes()).hexdigest()[:16]
    except (TypeError, OSError):
        return uuid4().hex[:16]


def _hooks_of(module: types.ModuleType) -> list[str]:
    """Names of the functions of a module that are marked as hooks."""
    return [
        name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.PROJECT}_impl")
    ]


def _check_hooks(module: types.ModuleType) -> None:
    """Refuse a misspelt hook, and one whose author forgot the mark: both would be silently left out."""
    specs = {name for name in vars(hookspecs) if name.startswith("collapse_")}
    for name, value in vars(module).items():
        if not inspect.isfunction(value) or value.__module__ != module.__name__:
            continue
        marked = hasattr(value, f"{hookspecs.PROJECT}_impl")
        if name not in specs and (marked or difflib.get_close_matches(name, specs, 1, 0.85)):
            raise PluginError(f"there is no hook {name!r}{nearest(name, specs)}")
        if name in specs and not marked:
            raise PluginError(f"{name} lacks its mark: put @hookimpl above it")


_REGISTRY: Registry | None = None


def registry(files: Iterable[str | Path] = (), reload: bool = False) -> Registry:
    """The registry of this process, discovered once; ``files`` are loaded on top of it."""
    global _REGISTRY
    if _REGISTRY is None or reload:
        _REGISTRY = Registry.discover()
    for path in files:
        known = {Path(plugin.source).resolve() for plugin in _REGISTRY.plugins if not plugin.broken}
        if Path(path).resolve() not in known:
            _REGISTRY._whole(_REGISTRY.file(path), path)
    return _REGISTRY
