"""Parameters of plugins: default, documentation and range, checked when a spec is parsed."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    pass


def param(
    default: Any,
    doc: str,
    *,
    ge=None,
    gt=None,
    le=None,
    lt=None,
    choices=None,
    later=False,
    vary=True,
) -> Any:
    """A field of a plugin: its default, one line of documentation, and the range that is checked at parse time.

    ``later``: it was added when records of the plugin were already about, and its default leaves everything as it was;
    at that default it is no part of a cell's id, so that those records stay good.  ``vary=False``: the conformance kit
    leaves it as it is, since what it does is held to its word elsewhere.
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt, "choices": choices}
    return dataclasses.field(
        default=default, metadata={"doc": doc, **limits, "later": later, "vary": vary}
    )


COMPARE = {
    "ge": (">=", lambda v, b: v >= b),
    "gt": (">", lambda v, b: v > b),
    "le": ("<=", lambda v, b: v <= b),
    "lt": ("<", lambda v, b: v < b),
}


def allowed(field: dataclasses.Field) -> str:
    """The range of a parameter in words, '' where any value of its type will do."""
    if field.metadata.get("choices"):
        return "one of " + ", ".join(map(str, field.metadata["choices"]))
    return " and ".join(
        f"{sign} {field.metadata[key]}"
        for key, (sign, _) in COMPARE.items()
        if field.metadata.get(key) is not None
    )


@cache
def type_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
