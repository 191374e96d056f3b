"""Parameters of plugins: default, documentation and range, checked when a spec is parsed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_type_hints


def param(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Collection[object] | None = None,
    later: bool = False,
    vary: bool = True,
) -> Any:
    """A parameter of a plugin: its default, one line of documentation, and its range.

    The range is checked when a spec is parsed: ``ge <= value``, ``gt < value``, ``le >= value``,
    ``lt > value``, or one of ``choices``.

    later: the parameter was added after records of the plugin existed, and its default changes no
        number.  At the default it is left out of a cell's id, so that those records stay valid.
    vary: False where the conformance kit should not try other values, because other tests do.
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt, "choices": choices}
    return dataclasses.field(
        default=default, metadata={"doc": doc, **limits, "later": later, "vary": vary}
    )


if TYPE_CHECKING:
    fact = property
else:

    def fact(default):
        """A fact that a plugin states about itself, by a class attribute, a field or a property.

        It decorates the declaration in a base class, whose body returns the default.  At run time
        the default is a plain class attribute; to a type checker it is a property, which all three
        may override.
        """
        return default(None)


COMPARE: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": (">=", lambda v, b: v >= b),
    "gt": (">", lambda v, b: v > b),
    "le": ("<=", lambda v, b: v <= b),
    "lt": ("<", lambda v, b: v < b),
}


def allowed(field: dataclasses.Field[Any]) -> str:
    """The range of a parameter in words; '' where every value of its type is allowed."""
    if field.metadata.get("choices"):
        return "one of " + ", ".join(map(str, field.metadata["choices"]))
    return " and ".join(
        f"{sign} {field.metadata[key]}"
        for key, (sign, _) in COMPARE.items()
        if field.metadata.get(key) is not None
    )


def type_hints(cls: type) -> dict[str, Any]:
    """The resolved annotations of a class, cached."""
    return _type_hints(cast(Hashable, cls))


@cache
def _type_hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)
