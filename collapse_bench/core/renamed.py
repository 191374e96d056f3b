"""Old names of public methods and attributes: they work for one release, and warn.

A class that overrides an old name is read under the new one; a use of an old name is passed on.
To be removed in version 0.3, with the ``OLD_NAMES`` of the components.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar


class OldName:
    """A descriptor under an old name, which warns and gives what the new name holds."""

    def __init__(self, old: str, new: str):
        self.old, self.new = old, new

    def __get__(self, instance: Any, owner: type) -> Any:
        warn(owner, self.old, self.new, stacklevel=2)
        if instance is None:
            return getattr(owner, self.new)
        # `super().old(...)` inside an override of the new name must not come back to that override
        caller = sys._getframe(1).f_code
        for base in type(instance).__mro__:
            if getattr(vars(base).get(self.new), "__code__", None) is caller:
                return getattr(super(base, instance), self.new)
        return getattr(instance, self.new)


class HasOldNames:
    """Base of classes that authors subclass: a subclass of one with ``OLD_NAMES`` may still use them."""

    OLD_NAMES: ClassVar[Mapping[str, str]] = {}  # old -> new, of the class itself
    #: old -> new, of what this class was written with
    written_with_old_names: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = vars(cls).get("OLD_NAMES", {})
        for old, new in own.items():
            setattr(cls, old, OldName(old, new))
        names = {o: n for base in cls.__mro__ for o, n in vars(base).get("OLD_NAMES", {}).items()}
        found = {old: new for old, new in names.items() if old not in own and _overrides(cls, old)}
        for old, new in found.items():
            warn(cls, old, new, stacklevel=2)
            value = vars(cls)[old]
            # the one renamed attribute whose values changed as well
            setattr(cls, new, value == "native" if old == "replicates" else value)
            delattr(cls, old)
        if found:
            cls.written_with_old_names = {**cls.written_with_old_names, **found}


def warn(cls: type, old: str, new: str, stacklevel: int) -> None:
    """FutureWarning: shown by default, unlike DeprecationWarning, and so seen by plugin authors."""
    warnings.warn(
        f"{cls.__name__}.{old} is now called {new}; the old name is removed in version 0.3",
        FutureWarning,
        stacklevel=stacklevel + 1,
    )


def _overrides(cls: type, name: str) -> bool:
    """Whether a class defines this name itself, other than as a parameter."""
    if name not in vars(cls) or isinstance(vars(cls)[name], dataclasses.Field):
        return False
    return "ClassVar" in str(vars(cls).get("__annotations__", {}).get(name, "ClassVar"))
