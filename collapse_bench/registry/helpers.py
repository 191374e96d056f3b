"""Helper modules in the folder of a plugin file, which the file may import by their names."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import PluginError

_FOLDERS: dict[str, None] = {}  # of plugin files that were loaded


def open_folder(file: Path) -> None:
    """Let Python import what lies in the folder of a plugin file.

    The folder comes last on the path, so that a file named like another module hides nothing.
    """
    folder = str(file.resolve().parent)
    _FOLDERS[folder] = None
    if folder not in sys.path:
        sys.path.append(folder)


def helper_spec(name: str, file: Path) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module or package in the folder of a plugin file, or None."""
    places = [str(file.resolve().parent)]
    top, *inner = name.split(".")
    spec = importlib.machinery.PathFinder.find_spec(top, places)
    for i in range(len(inner)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        within = ".".join([top, *inner[: i + 1]])
        spec = importlib.machinery.PathFinder.find_spec(
            within, list(spec.submodule_search_locations)
        )
    return spec


def check_helpers(file: Path | None, code: Mapping[str, Path]) -> None:
    """Raises PluginError where a helper in the folder of this plugin file has the name of a helper
    of another plugin, which Python gave in its place.

    code: module -> file of all that the plugin imports.
    """
    if file is None:
        return
    folder = file.resolve().parent
    for name, found in code.items():
        other = found.resolve().parent
        if found.name == "__init__.py":  # of a package: the folder that holds its folder
            other = other.parent
        own = next(
            filter(Path.is_file, (folder / f"{name}.py", folder / name / "__init__.py")), None
        )
        if own is not None and other != folder and str(other) in _FOLDERS:
            raise PluginError(
                f"{file.name} gets the module {name!r} of {other}, since one process holds one "
                f"module of a name; rename {own.parent if own.name == '__init__.py' else own}"
            )
