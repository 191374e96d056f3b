"""Find and load plugins, and build objects from what they offer.

Each plugin is loaded by itself.  A broken plugin that is not used costs one warning line; one that
is used ends the command with exit code 3.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.machinery
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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, overload

import pluggy

from ..core.cell import Cell
from ..core.components import ROLES, Component, DataGenerator, Kind, Mitigation, Model, Protocol
from ..core.identity import is_none
from ..core.renamed import OldName
from ..errors import PluginError, UnknownName, UsageError
from ..foreign.calls import LOAD_SECONDS, Broke, contained, described, sentence, shown, traced
from ..foreign.process import RANDOM
from ..laws.claims import Claim
from ..papers.figure import Figure
from ..spec import Call, CellSpec, is_word
from ..suggest import nearest
from . import hookspecs
from .building import build, build_cell, build_mitigations
from .digests import OWN, class_digests, code_files, digests_of, forget_edited, remember_loaded
from .helpers import check_helpers, open_folder

Item = TypeVar("Item")

GROUP = "collapse_bench"
#: what the names of modules that are loaded from files begin with
OF_FILES = "collapse_plugin_"
#: environment variable: modules or files, separated by commas, to load in place of all others
REPLACES_DISCOVERY = "COLLAPSE_BENCH_PLUGINS"
#: attributes of the roles that a plugin may have as parameters
MAY_BE_PARAMETERS = {"contexts", "labels", "pool_size", "sampler", "span"}
#: role -> (hook that offers it, base class)
KINDS: dict[str, tuple[str, type[Component]]] = {
    role: (f"collapse_{role}s", base) for role, base in ROLES.items()
}


@dataclass(frozen=True)
class Origin:
    """Where a foreign plugin comes from: enough to load it in another process."""

    module: str
    source: str
    file: str | None = None  # of a plugin that was named by its file
    distribution: str | None = None  # of a plugin that came by an entry point


def _curve(hook: str, plugin: str, law: Any, cell: Cell) -> tuple[float, ...]:
    """One number per generation of the cell, as a law gives them.  Raises PluginError otherwise."""
    try:
        curve = tuple(float(value) for value in law)
    except (TypeError, ValueError, OverflowError) as problem:
        raise PluginError(
            f"{hook} of plugin {plugin} must return numbers: {described(problem)}"
        ) from problem
    if len(curve) != cell.generations + 1:
        raise PluginError(
            f"a law of {cell.data.title()} gives {len(curve)} generations; "
            f"{cell.label} has {cell.generations + 1}"
        )
    return curve


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] != OWN


@dataclass
class Plugin:
    """One plugin module, loaded or broken."""

    module: str
    source: str  # the entry point or file that it came from
    offers: list[tuple[str, str]] = field(default_factory=list)  # (kind, name)
    error: str | None = None  # one sentence, where it did not load
    trace: str | None = None
    suites: list[Path] = field(default_factory=list)
    file: Path | None = None  # of a plugin that was named by its file
    distribution: str | None = None  # of a plugin that came by an entry point
    # module -> digest of its code when it was loaded; empty for the suite's own plugins
    digests: dict[str, str] = field(default_factory=dict)
    # settings of the process that loading it changed, and that were restored
    changed: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return self.error is not None

    @property
    def foreign(self) -> bool:
        """Whether the plugin is not part of the suite.  The code of foreign plugins is digested."""
        return _is_foreign(self.module)

    @property
    def origin(self) -> Origin:
        """What another process needs in order to load it."""
        return Origin(
            self.module,
            self.source,
            None if self.file is None else str(self.file),
            self.distribution,
        )

    def remarks(self) -> list[str]:
        """[a sentence] where loading it changed the process, else []."""
        named = [name for name in self.changed if name not in RANDOM]
        if not named:
            return []
        return [
            f"{self.title} changed {', '.join(named)} when it was loaded; this was undone for "
            "other code"
        ]

    @property
    def title(self) -> str:
        """The file or the module, as it is named in a sentence."""
        return self.module if self.file is None else self.file.name

    def code(self) -> dict[str, Path]:
        """Module -> file of its code, as found now."""
        return code_files(self.module, self.file, self.distribution)

    def digests_now(self) -> dict[str, str]:
        """Module -> digest of its code as it is on disk now."""
        return digests_of(self.code(), self.module if self.file else None)


class Registry:
    """All plugins that were found, and the classes that they offer, by role and name."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.classes: dict[str, dict[str, type[Component]]] = {kind: {} for kind in KINDS}
        self.owners: dict[tuple[str, str], str] = {}  # (role, name) -> what offers it
        self.suites: list[Path] = []
        self._claims: list[Claim] | None = None
        self.skipped: dict[str, str] = {}  # plugin -> why its claims or figures are not listed
        self.loads = 0  # number of changes of its plugins
        self.homes: dict[type[Component], Plugin] = {}  # class of a foreign plugin -> the plugin
        # settings that a plugin may change for good when it is loaded, in a process of its own
        self.keep: tuple[str, ...] = ()

    # -- loading -----------------------------------------------------------------------------------

    @classmethod
    def discover(cls, files: Iterable[str | Path] = (), foreign: bool = True) -> Registry:
        """Load every installed plugin, then the given files.

        foreign: False leaves out the installed plugins that are not part of the suite.  Raises
        PluginError for a file that does not load.
        """
        registry = cls()
        chosen = os.environ.get(REPLACES_DISCOVERY)
        if chosen is None:
            for point in importlib.metadata.entry_points(group=GROUP):
                owner = None if point.dist is None else point.dist.name
                if foreign or not _is_foreign(point.value):
                    registry.shelf(point.value, f"entry point {point.name}", owner)
        else:
            for name in filter(None, map(str.strip, chosen.split(","))):
                if not foreign and _is_foreign(name):
                    continue
                if name.endswith(".py"):
                    registry.file(name)
                else:
                    registry.shelf(name, source=REPLACES_DISCOVERY)
        for path in files:
            plugin = registry.file(path)
            registry.check_file(plugin, path)
        return registry

    def load(self, origins: Iterable[Origin], keep: tuple[str, ...] = ()) -> None:
        """Load these foreign plugins, in a process of their own.

        keep: settings that they may change for good.  Raises PluginError for one that does not
        load.
        """
        self.keep = keep
        for origin in origins:
            if origin.file is not None:
                self.check_file(self.file(origin.file), origin.file)
                continue
            self.shelf(origin.module, origin.source, origin.distribution)
            for plugin in self.broken:
                if plugin.module == origin.module:
                    raise PluginError(f"plugin {plugin.module}: {plugin.error}")

    def shelf(self, name: str, source: str, distribution: str | None = None) -> None:
        """Load a module.  A package without a hook is a folder of plugins, which are all loaded."""
        plugin = Plugin(name, source, distribution=distribution)
        if plugin.foreign:
            forget_edited(plugin.code())
        module = self._import(plugin)
        if module is None:
            return
        if not hasattr(module, "__path__") or _hooks_of(module):
            self._register(module, plugin)
            return
        for item in sorted(pkgutil.iter_modules(module.__path__, f"{name}."), key=lambda i: i.name):
            if not item.name.rpartition(".")[2].startswith("_"):
                self.shelf(item.name, source, distribution)

    def file(self, path: str | Path) -> Plugin:
        """Load one plugin from a file.  Raises UsageError where it is no Python file."""
        path = Path(path)
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder, and --plugin loads one file; offer a folder by an entry "
                f"point, "
                "see CONTRIBUTING.md"
            )
        if not path.is_file():
            raise UsageError(f"plugin file {path} is not there; give the path of a Python file")
        word = re.sub(r"[^0-9A-Za-z_]", "_", path.stem)
        name = f"{OF_FILES}{word}_{sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"
        if importlib.util.spec_from_file_location(name, path) is None:
            raise UsageError(f"plugin file {path} is not a Python file; its name must end in .py")
        plugin = Plugin(name, str(path.absolute()), file=path.absolute())
        open_folder(path)
        forget_edited(plugin.code())
        loader = _FromSource(name, plugin.source)
        spec = importlib.machinery.ModuleSpec(name, loader, origin=plugin.source)
        spec.has_location = True
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pickled checkpoints look their classes up there
        try:
            with contained(LOAD_SECONDS, self.keep) as plugin.changed:
                loader.exec_module(module)
        except Broke as broke:
            sys.modules.pop(name, None)
            return self._broken(name, plugin.source, broke.problem, plugin.file)
        return self._register(module, plugin)

    def refresh(self, files: Iterable[str | Path] = ()) -> None:
        """Load these files unless they are loaded, and reload every plugin whose code was edited.

        Raises PluginError for a file that does not load.
        """
        for plugin in [p for p in self.plugins if p.digests and p.digests_now() != p.digests]:
            self._unload(plugin)
            if plugin.file is None:
                self.shelf(plugin.module, plugin.source, plugin.distribution)
            elif plugin.file.is_file():
                self.file(plugin.file)
        for path in files:
            place = Path(path).resolve()
            known = [p for p in self.plugins if p.file and p.file.resolve() == place]
            for plugin in [p for p in known if p.broken]:
                self.plugins.remove(plugin)
            if all(plugin.broken for plugin in known):
                self.check_file(self.file(path), path)

    def _unload(self, plugin: Plugin) -> None:
        self.plugins.remove(plugin)
        for kind, name in plugin.offers:
            self.homes.pop(self.classes[kind][name], None)
            del self.classes[kind][name], self.owners[kind, name]
        self.manager.unregister(name=plugin.module)
        self.suites = [path for path in self.suites if path not in plugin.suites]
        self._changed()

    def _changed(self) -> None:
        """Drop what was cached from the plugins before a change."""
        self._claims = None
        self.loads += 1

    def check_file(self, plugin: Plugin, path: str | Path) -> None:
        """Raises PluginError where a file that the user named does not load or has no hook."""
        if plugin.broken:
            raise PluginError(
                f"plugin {path}: {plugin.error}; for the traceback: "
                f"collapse-bench plugins --plugin {path} --trace {Path(path).stem}"
            )
        module = sys.modules[plugin.module]
        if not self.manager.get_hookcallers(module):
            self.manager.unregister(module)
            plugin.error = "it has no hook"  # a broken plugin is loaded again after an edit
            raise PluginError(
                f"plugin {path} has no hook, and so offers nothing; end it with @hookimpl and "
                'def collapse_mitigations(): return {"name": Class}'
            )

    def offer(self, kind: str, name: str, cls: type[Component]) -> None:
        """Offer one class under a name, for notebooks.  A second offer replaces the first.

        Raises PluginError for a name or a class that cannot be offered.
        """
        owner = f"offer({name!r}, ...)"
        self._check_offer(kind, name, cls, owner, owner)
        cls.name, cls.file_digests = name, class_digests(cls)
        self.classes[kind][name] = cls
        self.owners[kind, name] = owner

    def _import(self, plugin: Plugin) -> types.ModuleType | None:
        try:
            if not plugin.foreign:
                return importlib.import_module(plugin.module)
            with contained(LOAD_SECONDS, self.keep) as plugin.changed:
                return importlib.import_module(plugin.module)
        except Broke as broke:
            self._broken(plugin.module, plugin.source, broke.problem)
        except Exception as problem:
            self._broken(plugin.module, plugin.source, problem)
        return None

    def _broken(
        self, name: str, source: str, problem: BaseException, file: Path | None = None
    ) -> Plugin:
        error = described(problem)
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(problem.__traceback__)
            if frame.filename == source
        ]
        if lines:
            error += f" ({Path(source).name}, line {lines[-1]})"
        if isinstance(problem, SyntaxError) and "utf-8" in str(problem).lower():
            error += "; save the file as UTF-8, or declare its encoding in the first line"
        plugin = Plugin(name, source, error=error, trace=traced(problem), file=file)
        self.plugins.append(plugin)
        return plugin

    def _register(self, module: types.ModuleType, plugin: Plugin) -> Plugin:
        more: list[str] = []
        guard: AbstractContextManager[list[str]] = (
            contained(LOAD_SECONDS, self.keep) if plugin.foreign else nullcontext(more)
        )
        try:
            with guard as more:
                _check_hooks(module)
                check_helpers(plugin.file, plugin.code() if plugin.file else {})
                offers = self._offers(module)
                suites = [Path(path) for path in getattr(module, "collapse_suites", list)()]
                self._hook_up(module)
        except Broke as broke:
            return self._broken(plugin.module, plugin.source, broke.problem, plugin.file)
        except Exception as problem:
            return self._broken(plugin.module, plugin.source, problem, plugin.file)
        plugin.changed += [name for name in more if name not in plugin.changed]
        self._changed()
        if plugin.foreign:
            plugin.digests = plugin.digests_now()
            remember_loaded(plugin.code())
        for kind, name, cls in offers:
            if "name" not in cls.__dict__:
                cls.name = name
            if cls.__module__.partition(".")[0] != OWN:  # a plugin may offer a class of the suite
                cls.file_digests = plugin.digests
                self.homes[cls] = plugin
            self.classes[kind][name] = cls
            self.owners[kind, name] = module.__name__
            plugin.offers.append((kind, name))
        plugin.suites = suites
        self.suites += suites
        self.plugins.append(plugin)
        return plugin

    def _hook_up(self, module: types.ModuleType) -> None:
        try:
            self.manager.register(module, name=module.__name__)
        except pluggy.PluginValidationError:
            # older versions of pluggy leave the module half registered
            if self.manager.is_registered(module):
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
                self._check_offer(kind, name, cls, f"{hook}()", module.__name__)
                found.append((kind, name, cls))
        return found

    def _check_offer(self, kind: str, name: Any, cls: Any, call: str, owner: str) -> None:
        """Raises PluginError for what cannot be offered; ``call`` is the call that offers it."""
        base = KINDS[kind][1]
        if not isinstance(name, str) or not is_word(name):
            raise PluginError(
                f"{call} offers the name {name!r}, which cannot be typed in a spec; use a letter "
                "or _ followed by letters, digits, _, - and ., other than true, false and null"
            )
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(f"{call} offers {name!r}, which is not a subclass of {base.__name__}")
        if not dataclasses.is_dataclass(cls) or "__dataclass_fields__" not in cls.__dict__:
            raise PluginError(
                f"{name!r} must be a frozen dataclass: put @dataclass(frozen=True) above the class"
            )
        if not cls.__dict__["__dataclass_params__"].frozen:
            raise PluginError(f"{name!r} must be frozen: write @dataclass(frozen=True)")
        hidden = shadowed_by(cls, base)
        if hidden:
            raise PluginError(
                f"{name!r} has a parameter {hidden!r}, which hides {base.__name__}.{hidden}; "
                "rename the parameter"
            )
        _check_facts(name, cls)
        if self.owners.get((kind, name), call) != call:
            raise PluginError(
                f"the {kind} {name!r} is offered by {self._source_of(self.owners[kind, name])} and "
                f"by {self._source_of(owner)}; rename one"
            )

    def _source_of(self, owner: str) -> str:
        """The file of a plugin that was loaded from one, else its module or call."""
        file = getattr(sys.modules.get(owner), "__file__", None)
        return str(file) if owner.startswith(OF_FILES) and file else owner

    def files(self) -> dict[tuple[str, str], str]:
        """(kind, name) -> plugin file, for everything that plugin files offer."""
        return {offer: str(p.file) for p in self.plugins if p.file for offer in p.offers}

    def foreign_files(self) -> frozenset[str]:
        """The files of all loaded code of plugins that are not part of the suite."""
        names = {name for p in self.plugins if p.foreign for name in (p.module, *p.digests)}
        files = (getattr(sys.modules.get(name), "__file__", None) for name in names)
        return frozenset(filter(None, files))

    def digests(self) -> dict[tuple[str, str], dict[str, str]]:
        """(kind, name) -> module -> digest of its code, for all that foreign plugins offer."""
        return {
            (kind, name): dict(cls.file_digests)
            for kind, classes in self.classes.items()
            for name, cls in classes.items()
            if cls.file_digests
        }

    def origins(self, cell: Cell) -> tuple[Origin, ...] | None:
        """The foreign plugins that take part in a cell, sorted by module.

        None where another process cannot load one of its classes: it was offered by itself.
        """
        classes = {type(part) for _, part in cell.parts() if type(part).file_digests}
        if any(cls not in self.homes for cls in classes):
            return None
        plugins = {self.homes[cls].module: self.homes[cls] for cls in classes}
        return tuple(plugins[module].origin for module in sorted(plugins))

    def remarks(self, cell: Cell) -> list[str]:
        """What the plugins of a cell changed in the process when they were loaded."""
        plugins = {
            self.homes[type(part)].module: self.homes[type(part)]
            for _, part in cell.parts()
            if type(part) in self.homes
        }
        return [remark for module in sorted(plugins) for remark in plugins[module].remarks()]

    def module_of(self, kind: str, name: str) -> types.ModuleType | None:
        """The module whose hooks offer this class; None for a class from a notebook."""
        return self.manager.get_plugin(self.owners.get((kind, name), ""))

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.broken]

    # -- laws --------------------------------------------------------------------------------------

    def claims(self) -> list[Claim]:
        """Laws that plugins claim for the engine, grouped by plugin; the same objects each time."""
        if self._claims is None:
            self._claims = self._listed("collapse_claims", _claim)
        return self._claims

    def _listed(self, hook: str, read: Callable[[Any], Item]) -> list[Item]:
        """The items of all plugins with this hook, grouped by plugin, the first loaded first.

        A foreign plugin that fails is left out, and ``skipped`` says why.  Raises PluginError where
        it is a file that the user named.
        """
        found: list[Item] = []
        named = {plugin.module for plugin in self.plugins if plugin.file is not None}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            plugin = implementation.plugin_name
            try:
                answers = self._answer(hook, implementation, {})
                with contained() if _is_foreign(plugin) else nullcontext():
                    found += [read(item) for item in answers or []]
            except (Broke, PluginError) as problem:
                cause = problem.problem if isinstance(problem, Broke) else problem
                said = f"{hook} of plugin {plugin}: {sentence(cause)}"
                if plugin in named:
                    raise PluginError(said) from problem
                self.skipped[plugin] = said
        return found

    def predicted(self, cell: Cell) -> tuple[float, ...] | None:
        """Expected primary loss of the cell for t = 0 .. generations, NaN where it is unknown.

        None where no law is known.  No law covers a generation 0 of another size (n0), or a control
        other than none, nature and frozen.  Under frozen, every generation of a world that stands
        still has the loss of generation 0.  The laws of a foreign plugin count only for cells in
        which it takes part.  Raises PluginError for a law that fails or has the wrong length.
        """
        controls = [act for act in cell.mitigations if act.control and not act.perfect_teacher]
        frozen = [act.keeps_first for act in cell.mitigations] == [True]
        if cell.n0 is not None or not (frozen or all(map(is_none, controls))):
            return None
        if frozen and not cell.data.moves:
            plain = self.predicted(dataclasses.replace(cell, mitigations=(), generations=0))
            return None if plain is None else plain * (cell.generations + 1)
        parts = {type(part) for _, part in cell.parts()}
        concerned = {self.homes[cls].module for cls in parts if cls in self.homes}
        for plugin, law in self._answers("collapse_theory", concerned, cell=cell):
            curve = _curve("collapse_theory", plugin, law, cell)
            if not all(map(math.isnan, curve)):
                return curve
        return None

    def ceilings(self, cell: Cell) -> dict[str, tuple[float, ...]]:
        """track -> the least expected primary loss, t = 0 .. generations, of any method of the
        track on the task of this cell, for the tracks for which a law is known.

        The mitigations of the cell do not matter.  Raises PluginError like ``predicted``.
        """
        task = dataclasses.replace(cell, mitigations=())
        parts = {type(part) for _, part in task.parts()}
        concerned = {self.homes[cls].module for cls in parts if cls in self.homes}
        found: dict[str, tuple[float, ...]] = {}
        for plugin, answer in self._answers("collapse_ceilings", concerned, cell=task):
            try:
                curves = {str(track): law for track, law in answer}
            except (TypeError, ValueError) as problem:
                raise PluginError(
                    f"collapse_ceilings of plugin {plugin} must return a dict of track -> losses: "
                    f"{described(problem)}"
                ) from problem
            for track, law in curves.items():
                found.setdefault(track, _curve("collapse_ceilings", plugin, law, task))
        return found

    def _answers(
        self, hook: str, concerned: Collection[str] | None = None, **args: Any
    ) -> Iterator[tuple[str, list[Any]]]:
        """(plugin, the items that it returns) for each plugin with this hook, the last loaded
        first, without those that return None.

        concerned: the foreign plugins that are asked; None: all.  Raises PluginError where a
        foreign plugin fails.
        """
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            plugin = implementation.plugin_name
            foreign = _is_foreign(plugin)
            if foreign and concerned is not None and plugin not in concerned:
                continue
            answers = self._answer(hook, implementation, args)
            if answers is not None:
                yield plugin, answers

    def _answer(
        self, hook: str, implementation: pluggy.HookImpl, args: Mapping[str, Any]
    ) -> list[Any] | None:
        """The items that one plugin returns.  Raises PluginError where a foreign one fails."""
        plugin = implementation.plugin_name
        try:
            with contained() if _is_foreign(plugin) else nullcontext():
                answer = implementation.function(*(args[k] for k in implementation.argnames))
                items: Any = answer.items() if isinstance(answer, dict) else answer
                return None if items is None else [*items]
        except Broke as broke:
            raise PluginError(f"{hook} of plugin {plugin} failed: {broke}") from broke

    # -- figures -----------------------------------------------------------------------------------

    @property
    def figures(self) -> dict[str, Callable[..., Figure]]:
        """Figures of papers by name, sorted."""
        return dict(sorted(dict(reversed(self._listed("collapse_figures", _figure))).items()))

    def figure(self, name: str) -> Callable[..., Figure]:
        """The figure of this name.  Raises UsageError with the nearest known name."""
        if name not in self.figures:
            raise UsageError(f"there is no figure {name!r}{nearest(name, self.figures)}")
        return self.figures[name]

    # -- building ----------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> type[Component]:
        """The class of this role and name.

        Raises UnknownName with the nearest known name, PluginError where its plugin did not load.
        """
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
            raise UsageError(f"{name!r} is a {elsewhere[0]}; expected a {kind}")
        if not known and not self.broken:
            chosen = os.environ.get(REPLACES_DISCOVERY)
            raise PluginError(
                f"there is no {kind} at all: the installed package names no plugins; install it "
                "again"
                if chosen is None
                else f"there is no {kind} at all: {REPLACES_DISCOVERY} is {chosen!r}, and no other "
                "plugins are loaded; unset it, or name plugins with a "
                f"{kind}"
            )
        near = nearest(name, known)
        hint = "" if near.endswith("?") else "; load your own file with --plugin FILE"
        if self.broken:
            hint += (
                f"; {len(self.broken)} plugin(s) could not be loaded, see 'collapse-bench plugins'"
            )
        raise UnknownName(f"unknown {kind} {name!r}{near}{hint}", kind, name)

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
        """A plugin object from its spec.  Raises UsageError for an invalid parameter or value."""
        return build(self.find, kind, call)

    def mitigations(self, text: str | tuple[Call, ...]) -> tuple[Mitigation, ...]:
        """A composition of mitigations from its spec."""
        return build_mitigations(self.find, text)

    def cell(self, spec: str | CellSpec, **overrides: Any) -> Cell:
        """A cell from its spec; ``overrides`` are fields of Cell, such as seeds and device."""
        return build_cell(self.find, spec, **overrides)


def _claim(item: Any) -> Claim:
    if not isinstance(item, Claim):
        raise PluginError(f"it must return a list of Claim, and has {shown(item)}")
    return item


def _figure(item: Any) -> tuple[str, Callable[..., Figure]]:
    name, make = item if isinstance(item, tuple) and len(item) == 2 else (None, None)
    if type(name) is not str or not callable(make):
        raise PluginError(f"it must return a dict of name to function, and has {shown(item)}")
    return name, make


class _FromSource(importlib.machinery.SourceFileLoader):
    """Always reads the source: cached bytecode misses an edit within the same second."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def shadowed_by(cls: type[Component], base: type[Component]) -> str | None:
    """The first parameter of a class that hides a method or attribute of its role, or None."""
    fields = {f.name for f in dataclasses.fields(base)} | MAY_BE_PARAMETERS
    for f in dataclasses.fields(cls):
        definitions = [vars(b)[f.name] for b in base.__mro__ if f.name in vars(b)]
        if definitions and f.name not in fields and not isinstance(definitions[0], OldName):
            return f.name
    return None


def _check_facts(name: str, cls: type[Component]) -> None:
    """Raises PluginError for a class attribute of a wrong type, which would spoil records."""
    if vars(cls).get("title") is not None:
        title = cls.title()
        if not (isinstance(title, str) and is_word(title)):
            raise PluginError(
                f"{name!r}: title() returned {shown(title, 60)}; it must return a name that "
                "can be typed in a spec"
            )
    parameters = {field.name for field in dataclasses.fields(cls)}
    for fact, (holds, expected) in _FACTS.items():
        value = inspect.getattr_static(cls, fact, None)
        if value is None or isinstance(value, property) or fact in parameters:
            continue
        if not holds(value):
            raise PluginError(f"{name!r}: {fact} is {shown(value, 60)}; it must be {expected}")


def _is_kinds(value: Any) -> bool:
    return isinstance(value, tuple) and set(value) <= set(get_args(Kind))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_tunings(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 3 and all(isinstance(v, dict) for v in value)


#: class attribute -> (whether a value is allowed, what is expected)
_FACTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "version": (lambda value: type(value) is int, "a whole number"),
    "kinds": (_is_kinds, f"None or a tuple of {', '.join(get_args(Kind))}"),
    "kind": (lambda value: value in get_args(Kind), f"one of {', '.join(get_args(Kind))}"),
    "family": (_is_text, "text"),
    "primary": (_is_text, "the name of a loss"),
    "tail_metric": (_is_text, "None or the name of a loss"),
    "diversity_metric": (_is_text, "None or the name of a loss"),
    "log_loss": (_is_bool, "True or False"),
    "vectorized": (_is_bool, "True or False"),
    "control": (_is_bool, "True or False"),
    "perfect_teacher": (_is_bool, "True or False"),
    "untrained": (_is_bool, "True or False"),
    "keeps_first": (_is_bool, "True or False"),
    "tunings": (_is_tunings, "a tuple of at most three dicts of parameters"),
    "applies_to_memory": (_is_bool, "True or False"),
}


def _hooks_of(module: types.ModuleType) -> list[str]:
    """Names of the functions of a module that are marked as hooks."""
    return [
        name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.PROJECT}_impl")
    ]


def _check_hooks(module: types.ModuleType) -> None:
    """Raises PluginError for a misspelt hook or one without @hookimpl; pluggy ignores both."""
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


def loaded(origins: Iterable[Origin], keep: tuple[str, ...]) -> Registry:
    """Make the registry of this process one of the suite's own plugins and these foreign ones.

    keep: settings of the process that the foreign ones may change for good.  Raises PluginError for
    one that does not load.
    """
    global _REGISTRY
    _REGISTRY = own_registry(os.environ.get(REPLACES_DISCOVERY))
    _REGISTRY.load(origins, keep)
    return _REGISTRY


@cache
def own_registry(chosen: str | None) -> Registry:
    """The registry of the suite's own plugins; ``chosen`` is the value of REPLACES_DISCOVERY.

    The server from which workers are forked makes it once.
    """
    return Registry.discover(foreign=False)


def registry(files: Iterable[str | Path] | None = None, reload: bool = False) -> Registry:
    """The registry of this process, discovered once.

    files: plugin files to load as well.  Where it is not None, even where it is empty, every plugin
    whose code was edited since is reloaded.  Every run begins with that.  reload: discover all
    plugins again.  Raises PluginError for a file that does not load.
    """
    global _REGISTRY
    if _REGISTRY is None or reload:
        _REGISTRY = Registry.discover()
    if files is not None:
        _REGISTRY.refresh(files)
    return _REGISTRY
