"""What has changed since records were made, in sentences: code, declared versions, defaults, data.

A plan compares cells with the records of a store.  A board or an archive has only its manifest;
``outdated`` compares that with the cells that the installed plugins would make now.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.cell import Cell
from ..core.identity import NUMERICS, changed_names, id_of
from ..errors import UnknownName, UserError
from ..files import changed_files
from ..records.manifest import Manifest, ManifestEntry
from ..records.store import Store
from ..registry.digests import code_files, digests_of
from ..registry.discovery import Registry
from ..spec import Call, parse_cell, parse_mitigations

Code = Mapping[str, Any]  # see Record.code


# -- sentences -------------------------------------------------------------------------------------


def code_changes(was: Code, now: Code) -> list[str]:
    """One sentence for each plugin whose code has changed."""
    return [_code_change(name, was.get(name), now.get(name)) for name in changed_names(was, now)]


def _code_change(plugin: str, was: Any, now: Any) -> str:
    if not plugin:
        return f"the suite's own numbers have version {now}, these records version {was}"
    if was is None:
        return f"these records do not hold a digest of the code of {plugin}"
    if now is None:
        return f"{plugin} is not the plugin that made these records"
    if not isinstance(was, Mapping):
        return f"these records hold the code of {plugin} as an earlier release digested it"
    names = changed_names(was, now)
    have = "has" if len(names) == 1 else "have"
    return f"{' and '.join(names)} (code of {plugin}) {have} changed since"


def version_changes(cell: Cell, other_id: str, form: Mapping[str, Any]) -> list[str]:
    """Why a cell of the same label has another id.

    form: the canonical form of the other cell, and its ``files`` where they are known; empty where
    neither is.
    """
    if form:
        data = list(_changed_data(form.get("files", {}), cell.files))
        plain = {key: value for key, value in form.items() if key != "files"}
        changes = [*data, *_differences("", plain, cell.canonical, named=bool(data))]
    else:
        changes = list(_earlier_version(cell, other_id))
    return changes or ["these records are of another version of a plugin, or of other data"]


def _changed_data(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each file or folder at one place whose files have changed."""
    for place in was.keys() & now.keys():
        before, after = was[place], now[place]
        if before["path"] == after["path"] and before["files"] != after["files"]:
            yield changed_files(after["path"], before["files"], after["files"])


def _differences(name: str, was: Any, now: Any, named: bool = False) -> Iterator[str]:
    """Walk two canonical forms in parallel; ``name`` is the enclosing plugin.

    named: the files that have changed were named already.
    """
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        name = now.get("name", name)
        for key in changed_names(was, now):
            before, after = was.get(key), now.get(key)
            if key == "schema":
                yield f"records have schema {after} now, these have schema {before}"
            elif key == "version":
                yield f"{name} has version {after}, these records version {before}"
            elif key == "sha256":
                if not named:
                    yield f"the data that {name} reads have changed"
            elif isinstance(before, (Mapping, list)) and isinstance(after, (Mapping, list)):
                yield from _differences(name, before, after, named)
            elif key not in was:
                yield f"{name} has a new parameter {key}"
            elif key not in now:
                yield f"{name} no longer has a parameter {key}"
            else:
                yield f"{key} of {name} is {after} by default, {before} in these records"
    elif isinstance(was, list) and isinstance(now, list):
        for before, after in zip(was, now, strict=False):
            yield from _differences(name, before, after, named)


def _earlier_version(cell: Cell, other_id: str) -> Iterator[str]:
    """The plugin whose earlier version gives the other id, found by trying all versions."""
    versions = {part.title(): part.version for _, part in cell.parts()}
    for name, version in versions.items():
        for earlier in range(1, version):
            form = copy.deepcopy(cell.canonical)
            for plugin in _plugins_in(form):
                if plugin["name"] == name:
                    plugin["version"] = earlier
            if id_of(form) == other_id:
                yield f"{name} has version {version}, these records version {earlier}"


def _plugins_in(form: Any) -> Iterator[dict[str, Any]]:
    if isinstance(form, dict):
        if "version" in form:
            yield form
        form = list(form.values())
    if isinstance(form, list):
        for item in form:
            yield from _plugins_in(item)


# -- a finished run -------------------------------------------------------------------------------


@dataclass
class Outdated:
    """The records of a run that the installed plugins would not reproduce."""

    # what has changed -> ids of cells; what has changed -> names of rows
    cells: dict[str, set[str]] = field(default_factory=dict)
    rows: dict[str, dict[str, None]] = field(default_factory=dict)
    methods: dict[str, None] = field(default_factory=dict)  # competing rows among these
    # plugin file that is gone -> names of rows that could not be compared without it
    gone: dict[Path, dict[str, None]] = field(default_factory=dict)
    # why other rows could not be compared -> their names
    unchecked: dict[str, dict[str, None]] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """One sentence for each change, with the rows that it affects."""
        return [
            f"{len(ids)} cell(s) of {', '.join(self.rows[why])} are older: {why}"
            for why, ids in self.cells.items()
        ]

    def doubts(self, paths: bool = True) -> list[str]:
        """One sentence for each reason why rows could not be compared, with its remedy.

        paths: with the folders of plugin files, which a published report does not show.
        """
        gone = {
            f"plugin file {file if paths else file.name} is gone; put it back": rows
            for file, rows in self.gone.items()
        }
        return [
            f"{', '.join(rows)} could not be compared with the installed plugins: {why}"
            for why, rows in {**gone, **self.unchecked}.items()
        ]

    def _add(self, entry: ManifestEntry, changes: Iterable[str]) -> None:
        for why in changes:
            self.cells.setdefault(why, set()).add(entry.id)
            self.rows.setdefault(why, {})[entry.name] = None
            if entry.role == "entry":
                self.methods[entry.name] = None


def outdated(
    manifest: Manifest,
    codes: Mapping[str, Iterable[Code]],
    store: Store,
    registry: Registry,
) -> Outdated:
    """Compare the records of a run with the plugins that are installed now.

    codes: cell id -> the code that computed its records.  A plugin file that is not loaded is read
    but not executed.
    """
    result, files = Outdated(), _Files(manifest.files, registry)
    forms = {i: form for known in store.cells().values() for i, form in known.items()}
    for entry in manifest.entries:
        if entry.skip is not None or entry.id not in codes:
            continue
        try:
            cell = _cell_of(entry, registry)
        except UserError as problem:  # a plugin is not loaded; its file may still be compared
            for file in (gone := files.gone(codes[entry.id])):
                result.gone.setdefault(file, {})[entry.name] = None
            if not gone and not all(map(files.know_all, codes[entry.id])):
                result.unchecked.setdefault(_unbuilt(problem), {})[entry.name] = None
            for code in codes[entry.id]:
                result._add(entry, code_changes(code, {**code, **files.code(code)}))
            continue
        if cell.id != entry.id:
            result._add(entry, version_changes(cell, entry.id, forms.get(entry.id, {})))
        for code in codes[entry.id]:
            result._add(entry, code_changes(code, cell.code))
    return result


def _cell_of(entry: ManifestEntry, registry: Registry) -> Cell:
    """The cell of an entry of a manifest, made by the installed plugins.

    Raises UserError where they cannot make it.
    """
    spec = parse_cell(entry.task)
    if entry.role == "curve":
        settings = (("n", entry.rows), ("T", entry.horizon))
        spec = replace(spec, protocol=Call("replace"), settings=settings)
    elif entry.name != "none":
        spec = replace(spec, mitigations=parse_mitigations(entry.name))
    return registry.cell(spec)


def _unbuilt(problem: UserError) -> str:
    """Why the installed plugins cannot make a cell, with a remedy that every command has."""
    if isinstance(problem, UnknownName):
        return f"none of them offers {problem.name!r}; install the plugin that does"
    return str(problem)


class _Files:
    """The code of plugin files as it is on disk now, whether they are loaded or not."""

    def __init__(self, files: Mapping[str, str], registry: Registry):
        self._files = {plugin: Path(file) for plugin, file in files.items()}
        self._loaded = {" ".join(plugin): code for plugin, code in registry.digests().items()}
        self._read: dict[str, dict[str, str]] = {}

    def code(self, was: Code) -> dict[str, Any]:
        """The code of the plugins that ``was`` names, as far as it can be found now."""
        known = {name: self._digests(name) for name in was if self._knows(name)}
        return {"": NUMERICS, **known}

    def know_all(self, code: Code) -> bool:
        """Whether each plugin is loaded or is a file that can be read."""
        names = [name for name in code if name]
        return bool(names) and all(map(self._knows, names))

    def gone(self, codes: Iterable[Code]) -> list[Path]:
        """The plugin files that made these records and are no longer there."""
        names = dict.fromkeys(name for code in codes for name in code)
        return [
            self._files[name] for name in names if name in self._files and not self._knows(name)
        ]

    def _knows(self, plugin: str) -> bool:
        return plugin in self._loaded or (plugin in self._files and self._files[plugin].is_file())

    def _digests(self, plugin: str) -> dict[str, str]:
        if plugin in self._loaded:
            return self._loaded[plugin]
        if plugin not in self._read:
            file = self._files[plugin]
            self._read[plugin] = digests_of(code_files(file.name, file), file.name)
        return self._read[plugin]
