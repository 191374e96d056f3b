"""The identity of a cell: its spec text, the fingerprints of its parts, and file digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import Content
from ..places import text_of
from ..spec import Call, is_word
from .components import Component, Mitigation
from .content import contents

SCHEMA = 1  # version of the records; part of every cell's id

#: Version of the numbers that the suite's own code computes (core, lib, theory).  A record of
#: another version is stale.  tests/core/test_numerics.py says when to raise it.
NUMERICS = 1


def nested(component: Component) -> Iterator[tuple[str, Component]]:
    """(place, component) of all components in the parameters of this one, at any depth.

    A place names the parameter, and the index of an item: ``read``, ``tutors[1]``,
    ``tutors[1].decode``.
    """
    for field in dataclasses.fields(component):
        yield from _components(field.name, getattr(component, field.name))


def _components(place: str, value: Any) -> Iterator[tuple[str, Component]]:
    if isinstance(value, Component):
        yield place, value
        for inner, component in nested(value):
            yield f"{place}.{inner}", component
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from _components(f"{place}[{i}]", item)


def changed_names(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ between two mappings, sorted."""
    return sorted(key for key in {**one, **other} if one.get(key) != other.get(key))


def is_none(act: Mitigation) -> bool:
    """True for the control `none`, which does nothing; a spec may name it or leave it out."""
    acts = any(
        getattr(type(act), stage) is not getattr(Mitigation, stage)
        for stage in ("steer", "curate", "adapt", "size")
    )
    return act.control and not (acts or act.perfect_teacher or act.untrained)


def written(component: Component, named: Collection[str] = ()) -> Call:
    """The spec of a component: its name, and the parameters that differ from their defaults.

    named: parameters that are written in any case.
    """
    args = []
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        if value != field.default or field.name in named:
            args.append((field.name, _written_value(value)))
    return Call(component.title(), tuple(args))


def _written_value(value: Any) -> Any:
    if isinstance(value, Component):
        return written(value)
    if isinstance(value, Path):
        return text_of(value)
    if isinstance(value, str) and is_word(value):
        return Call(value)
    if isinstance(value, (tuple, list)):
        return tuple(_written_value(item) for item in value)
    return value


def fingerprint(component: Component) -> dict[str, Any]:
    """Name, declared version and parameters of a component, as plain values.

    A parameter that was added later is left out at its default, so that older ids stay valid.
    """
    fields = [
        f
        for f in dataclasses.fields(component)
        if not f.metadata.get("later") or getattr(component, f.name) != f.default
    ]
    files = contents(component)
    values = {f.name: _plain(getattr(component, f.name), f.name, files) for f in fields}
    return {"name": component.title(), "version": component.version, "params": values}


def _plain(value: Any, place: str, files: Mapping[str, Content]) -> Any:
    if isinstance(value, Component):
        return fingerprint(value)
    if isinstance(value, Path):
        return {"sha256": files[place].sha256}
    if isinstance(value, (tuple, list)):
        return [_plain(item, f"{place}[{i}]", files) for i, item in enumerate(value)]
    return value


def id_of(canonical: Mapping[str, Any]) -> str:
    """The id of the cell with this canonical form, 20 hex digits."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
