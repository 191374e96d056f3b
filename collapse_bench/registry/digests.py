"""Digests of the code of plugins.  A record holds those of the code that computed it.

The code of a plugin is its module and every module that it imports, directly or indirectly, except
those of the suite, of the standard library, and of distributions that the plugin or the suite
declares.  A digest is taken of the syntax tree, so comments, docstrings and layout do not count.
Nothing is imported or executed to compute it.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import linecache
import pickle
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from .helpers import helper_spec

OWN = "collapse_bench"  # covered by the versions of its plugins and by NUMERICS
SOURCE = tuple(importlib.machinery.SOURCE_SUFFIXES)


# -- one piece of source ---------------------------------------------------------------------------


def _short(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _read(source: bytes) -> tuple[str, tuple[tuple[int, str, tuple[str, ...]], ...]]:
    """(digest, imports) of the text of a module.  Text that is not Python has the digest of its
    bytes and no imports."""
    try:
        tree = ast.parse(source)
        return tree_digest(tree), tuple(_imports(tree))
    except (SyntaxError, ValueError, RecursionError):
        return _short(source), ()


def tree_digest(tree: ast.AST) -> str:
    """Digest of a syntax tree: equal for two texts that differ in comments, docstrings and layout
    only."""
    words: list[str] = []
    _write(tree, words)
    return _short("".join(words).encode("utf-8", "surrogatepass"))


def _write(node: Any, words: list[str]) -> None:
    """Append the tree as text, equal in all versions of Python that parse the same nodes."""
    if isinstance(node, list):
        words.append("[")
        for item in node:
            if not _is_docstring(item):
                _write(item, words)
        words.append("]")
    elif isinstance(node, ast.AST):
        words.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(node):
            if value is not None and value != [] and name not in ("kind", "type_comment", "ctx"):
                words.append(f"{name}=")
                _write(value, words)
        words.append(")")
    else:
        words.append(f"{node!r},")


def _is_docstring(node: Any) -> bool:
    """True for a statement that is only a string, which changes no number."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(level, module, names) of every import, also inside functions, except those under
    TYPE_CHECKING."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        children: Iterable[ast.AST] = tree.orelse
    else:
        children = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.Import):
        yield from ((0, alias.name, ()) for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        yield tree.level, tree.module or "", tuple(alias.name for alias in tree.names)
    elif isinstance(tree, ast.Call) and tree.args and isinstance(tree.args[0], ast.Constant):
        called = getattr(tree.func, "attr", getattr(tree.func, "id", ""))
        if called in ("import_module", "__import__") and isinstance(tree.args[0].value, str):
            yield 0, tree.args[0].value, ()
    for child in children:
        yield from _imports(child)


# -- finding modules ------------------------------------------------------------------------------


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module, found without importing it or its packages, or None."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, importlib.machinery.ModuleSpec):
        return loaded
    parent, _, _ = name.rpartition(".")
    try:
        if not parent:
            return importlib.util.find_spec(name)
        package = _spec(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        return importlib.machinery.PathFinder.find_spec(
            name, list(package.submodule_search_locations)
        )
    except (ImportError, ValueError, AttributeError):
        return None


def _file(spec: importlib.machinery.ModuleSpec | None) -> Path | None:
    """The file of a module; None for a built-in module and for a namespace package."""
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(distribution: str) -> list[str]:
    try:
        required = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [_normal(name) for text in required for name in re.findall(r"^\s*([\w.-]+)", text)]


@cache
def _declared(distribution: str | None) -> frozenset[str]:
    """Distributions whose code does not count: the requirements of this one (None: of no
    distribution), and all that the suite requires, directly or indirectly."""
    suite, waiting = {"collapse-bench"}, ["collapse-bench"]
    while waiting:
        more = [name for name in _requirements(waiting.pop()) if name not in suite]
        suite.update(more)
        waiting += more
    return frozenset(suite.union(_requirements(distribution) if distribution else ()))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Top-level module -> distributions that install it."""
    return {
        name: [_normal(of) for of in owners]
        for name, owners in importlib.metadata.packages_distributions().items()
    }


def _followed(name: str, distribution: str | None) -> bool:
    """Whether a module counts as code of the plugin that imports it."""
    top = name.partition(".")[0]
    if top == OWN or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    declared = _declared(distribution)
    own = distribution and _normal(distribution)
    owners = [_normal(top)] if _normal(top) in declared else _distributions().get(top, [])
    return any(owner == own for owner in owners) or not set(owners) & declared


# -- the code of a plugin --------------------------------------------------------------------------


def code_files(
    module: str, file: Path | None = None, distribution: str | None = None
) -> dict[str, Path]:
    """Module -> file of the code of a plugin: ``module``, its packages, and what they import,
    directly or indirectly.

    file: the file of the module, if it cannot be found by its name.  distribution: the one that the
    module belongs to, whose declared requirements are not followed.
    """
    files: dict[str, Path] = {}
    seen: set[str] = {module}
    waiting = [module, *_packages(module)] if file is None else [module]
    while waiting:
        name = waiting.pop()
        spec = None if name == module and file is not None else _spec(name)
        if spec is None and file is not None:  # the plugin is not loaded
            spec = helper_spec(name, file)
        path = file if name == module and file is not None else _file(spec)
        if path is None or not path.is_file():
            continue
        files[name] = path
        if path.suffix not in SOURCE:
            continue
        package = name if spec and spec.submodule_search_locations else name.rpartition(".")[0]
        for target in _targets(_read(path.read_bytes())[1], package):
            if target not in seen and _followed(target, distribution):
                seen.add(target)
                waiting.append(target)
    return files


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _targets(imports: Iterable[tuple[int, str, tuple[str, ...]]], package: str) -> Iterator[str]:
    """Names that may be modules: every imported name, its packages, and names imported from it."""
    for level, name, names in imports:
        if level:
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - level + 1])
            name = f"{base}.{name}" if base and name else base or name
        if name:
            yield from (*_packages(name), name, *(f"{name}.{one}" for one in names))


def digests_of(files: Mapping[str, Path], main: str | None = None) -> dict[str, str]:
    """Module -> digest of its code.

    main: a module that was named by its file, and is listed under the name of the file.
    """
    return {
        path.name if name == main else name: _read(path.read_bytes())[0]
        for name, path in sorted(files.items())
        if path.is_file()
    }


# -- loaded modules -------------------------------------------------------------------------------

_LOADED: dict[str, str] = {}  # module -> digest of its code when a plugin that uses it was loaded


def remember_loaded(files: Mapping[str, Path]) -> None:
    """Store the digests of modules that a plugin has just loaded."""
    now = digests_of(files)
    _LOADED.update({name: digest for name, digest in now.items() if name in sys.modules})


def forget_edited(files: Mapping[str, Path]) -> None:
    """If one of these modules was edited since it was loaded, let Python import all of them again,
    since the others may hold objects of the old one."""
    now = digests_of(files)
    if all(_LOADED.get(name, digest) == digest for name, digest in now.items()):
        return
    for name in now.keys() - {"__main__"}:
        module = sys.modules.pop(name, None)
        package, _, last = name.rpartition(".")
        if getattr(sys.modules.get(package), last, None) is module is not None:
            delattr(sys.modules[package], last)
        with suppress(OSError, NotImplementedError):  # bytecode misses an edit within one second
            Path(importlib.util.cache_from_source(str(files[name]))).unlink()
    importlib.invalidate_caches()


# -- classes from a notebook or a script -----------------------------------------------------------


def class_digests(cls: type) -> dict[str, str]:
    """Digests of the code of a class that is offered by itself: its body, the values that it reads
    from outside, and the file in which it is written.

    Where its source is not known, the digest is random, so no record is reused.
    """
    reader = _ClassReader()
    reader.add(f"class {cls.__qualname__}", cls)
    return reader.digests


class _ClassReader:
    """Collects digests of classes and functions, and of what they read from closures and a
    notebook."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self._seen: dict[int, Any] = {}  # keeps the objects alive, so that ids stay unique

    def add(self, name: str, value: Any) -> None:
        """Add a value that is read under this name."""
        if isinstance(value, types.ModuleType):
            self._module(value.__name__)
        elif not isinstance(value, (type, types.FunctionType)):
            self.digests[name] = _value_digest(value)
        elif not _followed(value.__module__, None):
            self.digests[name] = _short(f"{value.__module__}.{value.__qualname__}".encode())
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            self._module(value.__module__)
            node = _definition(value)
            self.digests[name] = uuid4().hex[:16] if node is None else tree_digest(node)
            if isinstance(value, type):
                self._class(name, value)
            for function in _functions(value):
                self._function(function)

    def _module(self, name: str) -> None:
        module = sys.modules.get(name)
        file = Path(getattr(module, "__file__", None) or "")
        if _followed(name, None) and file.is_file():
            spec = getattr(module, "__spec__", None)
            name = name if spec is None else spec.name
            main = name in ("__main__", "__mp_main__")  # the second in a worker process
            files = code_files(file.name, file) if main else code_files(name)
            self.digests.update(digests_of(files or code_files(name, file)))

    def _class(self, name: str, cls: type) -> None:
        """Add the bases, and the values in the body, which may come from an enclosing function."""
        for base in cls.__bases__:
            if base is not object:
                self.add(f"{name}({base.__name__})", base)
        for key, value in vars(cls).items():
            if not (key in _GIVEN or key.startswith("__") or isinstance(value, _NO_VALUES)):
                self.add(f"{name}.{key}", value)
        for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
            for value in (field.default, field.default_factory):
                if value is not dataclasses.MISSING:
                    self.add(f"{name}.{field.name}", value)

    def _function(self, function: types.FunctionType) -> None:
        """Add what a function reads from outside; globals of a file are digested with the file."""
        code, name = function.__code__, function.__qualname__
        for read, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # the cell has no value yet
                if read != "__class__":
                    self.add(f"{name}: {read}", cell.cell_contents)
        if not Path(code.co_filename).is_file():
            for read in _names(code):
                if read in function.__globals__:
                    self.add(f"{name}: {read}", function.__globals__[read])


#: attributes that the registry sets
_GIVEN = ("name", "file_digests")
#: what a class body holds besides values; the code of functions is read separately
_NO_VALUES = (
    types.FunctionType,
    property,
    classmethod,
    staticmethod,
    cached_property,
    types.MemberDescriptorType,
)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _functions(value: Any) -> Iterator[types.FunctionType]:
    """The functions that are written in a class body, or the function itself."""
    for one in vars(value).values() if isinstance(value, type) else [value]:
        one = getattr(one, "func", one)  # the function of a cached property
        parts: tuple[Any, ...] = (one.fget, one.fset) if isinstance(one, property) else (one,)
        for part in parts:
            function = inspect.unwrap(getattr(part, "__func__", part))
            if isinstance(function, types.FunctionType) and not _generated(function):
                yield function


def _generated(function: types.FunctionType) -> bool:
    """True for the methods that ``dataclass`` writes."""
    return function.__code__.co_filename == "<string>" and function.__name__.startswith("__")


def _definition(value: type | types.FunctionType) -> ast.AST | None:
    """The statement that defines a class or function, found by its line; None where the source is
    not known."""
    kind = ast.ClassDef if isinstance(value, type) else ast.FunctionDef | ast.Lambda
    for function in _functions(value):
        line, file = function.__code__.co_firstlineno, function.__code__.co_filename
        enclosing = [
            node
            for node in _statements(file, kind, value.__name__, function.__globals__)
            if _first_line(node) <= line <= node.end_lineno
        ]
        if enclosing:
            return max(enclosing, key=_first_line)
    if isinstance(value, type):  # a body without a method: all classes of this name in its file
        file = getattr(sys.modules.get(value.__module__), "__file__", None) or ""
        nodes = _statements(file, kind, value.__name__, None)
        return ast.Module(nodes, []) if nodes else None
    return None


def _first_line(node: Any) -> int:
    return min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", ()))])


def _statements(file: str, kind: Any, name: str, space: dict[str, Any] | None) -> list[Any]:
    """All statements of a kind and name in a file or a notebook cell."""
    linecache.checkcache(file)
    try:
        tree = ast.parse("".join(linecache.getlines(file, space)))
    except (SyntaxError, ValueError):
        return []
    nodes = [node for node in ast.walk(tree) if isinstance(node, kind)]
    return [node for node in nodes if getattr(node, "name", "<lambda>") == name]


def _value_digest(value: Any) -> str:
    """Digest of a value by its content; random where it cannot be pickled."""
    try:
        return _short(pickle.dumps(value, protocol=4))
    except Exception:
        return uuid4().hex[:16]
