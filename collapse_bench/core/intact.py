"""Whether functions of the suite, torch or numpy were replaced by code of a plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

OWN = __name__.partition(".")[0]
#: modules outside of the suite that numbers depend on
OTHERS = ("torch", "torch.linalg", "torch.nn.functional", "numpy", "numpy.linalg", "numpy.random")


def replaced(files: frozenset[str]) -> str | None:
    """A sentence where a function of the suite is defined in one of these files, which are those of
    plugins that do not come with it; else None."""
    for name, function in _functions(files) if files else ():
        if (file := function.__code__.co_filename) in files:
            return (
                f"{Path(file).name} replaced {name}; a plugin must not change code outside of it, "
                "and no cell of this process counts"
            )
    return None


def _functions(files: frozenset[str]) -> Iterator[tuple[str, FunctionType]]:
    """(name, function) of everything that the modules of the suite, torch and numpy define."""
    for name, module in list(sys.modules.items()):
        own = name.partition(".")[0] == OWN and getattr(module, "__file__", None) not in files
        if own or name in OTHERS:
            yield from _members(name, module, own)
    if "torch" in sys.modules:
        yield from _members("torch.Tensor", sys.modules["torch"].Tensor, classes=False)


def _members(name: str, owner: Any, classes: bool) -> Iterator[tuple[str, FunctionType]]:
    for key, value in list(vars(owner).items()):
        if isinstance(value, type):
            # an imported class is looked at where it is defined
            if classes and value.__module__ == name:
                yield from _members(f"{name}.{key}", value, classes=False)
            continue
        parts = (value.fget, value.fset) if isinstance(value, property) else (value,)
        for part in parts:
            function = getattr(part, "__func__", getattr(part, "func", part))
            if isinstance(function, FunctionType):
                yield f"{name}.{key}", function
