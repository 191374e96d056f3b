"""Old names of public methods and attributes, which work for one release and warn.

An override of an old name becomes one of the new name.  A use of an old name gives the new one.
This module and the ``OLD_NAMES`` of the components will be removed in version 0.3.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar


class OldName:
    """A descriptor for an old name: it warns, and returns the attribute of the new name."""

    def __init__(self, old: str, new: str):
        self.old, self.new = old, new

    def __get__(self, instance: Any, owner: type) -> Any:
        warn(owner, self.old, self.new, stacklevel=2)
        if instance is None:
            return getattr(owner, self.new)
        # `super().old(...)` inside an override of the new name must not call that override again
        caller = sys._getframe(1).f_code
        for base in type(instance).__mro__:
            if getattr(vars(base).get(self.new), "__code__", None) is caller:
                return getattr(super(base, instance), self.new)
        return getattr(instance, self.new)


class HasOldNames:
    """Base of classes that authors subclass; subclasses may still use names in ``OLD_NAMES``."""

    OLD_NAMES: ClassVar[Mapping[str, str]] = {}  # old -> new, of the names that a class defines
    #: old -> new, of the old names that the author of this class used
    written_with_old_names: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = vars(cls).get("OLD_NAMES", {})
        for old, new in own.items():
            setattr(cls, old, OldName(old, new))
        names = {o: n for base in cls.__mro__ for o, n in vars(base).get("OLD_NAMES", {}).items()}
        used = {old: new for old, new in names.items() if old not in own and _overrides(cls, old)}
        for old, new in used.items():
            warn(cls, old, new, stacklevel=2)
            value = vars(cls)[old]
            # the values of this attribute changed as well as its name
            setattr(cls, new, value == "native" if old == "replicates" else value)
            delattr(cls, old)
        if used:
            cls.written_with_old_names = {**cls.written_with_old_names, **used}


def warn(cls: type, old: str, new: str, stacklevel: int) -> None:
    """Issue a FutureWarning, which plugin authors see: DeprecationWarning is hidden by default."""
    warnings.warn(
        f"{cls.__name__}.{old} is now called {new}; the old name is removed in version 0.3",
        FutureWarning,
        stacklevel=stacklevel + 1,
    )


def _overrides(cls: type, name: str) -> bool:
    """Whether a class itself defines this name, and not as a parameter."""
    if name not in vars(cls) or isinstance(vars(cls)[name], dataclasses.Field):
        return False
    return "ClassVar" in str(vars(cls).get("__annotations__", {}).get(name, "ClassVar"))
