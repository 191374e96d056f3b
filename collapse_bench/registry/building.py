"""From specs to objects: values are coerced to the types of fields; classes check their ranges."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from ..core.cell import Cell
from ..core.components import ROLES, Component, DataGenerator, Mitigation, Model, Protocol
from ..core.params import allowed, type_hints
from ..errors import UsageError, UserError
from ..foreign.calls import Broke, contained, sentence
from ..places import path_of
from ..spec import Call, CellSpec, parse_call, parse_cell, parse_mitigations
from ..suggest import nearest

#: (role, name) -> class; raises UsageError for an unknown name
Find = Callable[[str, str], type[Component]]


def build(find: Find, role: str, call: Call | str) -> Component:
    """A plugin object from its spec.

    Raises UsageError for an unknown or missing parameter, or a value of the wrong type or range.
    """
    call = parse_call(call) if isinstance(call, str) else call
    cls = find(role, call.name)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    values = {}
    for key, value in call.args:
        if key not in fields:
            takes = nearest(key, fields) if fields else "; it takes none"
            raise UsageError(f"{call.name} has no parameter {key!r}{takes}")
        values[key] = coerce(find, f"{call.name}: {key}", value, type_hints(cls)[key])
    missing = [name for name, f in fields.items() if name not in values and _is_required(f)]
    if missing:
        raise UsageError(
            f"{call.name} needs the parameter(s) {', '.join(missing)}: "
            f"{call.name}({missing[0]}=...)"
        )
    try:
        if not cls.file_digests:
            return cls(**values)
        with contained():
            return cls(**values)
    except Broke as broke:
        if isinstance(broke.problem, UserError):
            raise broke.problem from None
        own_words = isinstance(broke.problem, (ValueError, TypeError))
        words = sentence(broke.problem) if own_words else f"it could not be built: {broke}"
        raise UsageError(f"{call.name}: {words}") from broke
    except (ValueError, TypeError) as problem:
        raise UsageError(f"{call.name}: {problem}") from problem


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def build_mitigations(find: Find, text: str | tuple[Call, ...]) -> tuple[Mitigation, ...]:
    """A composition of mitigations from its spec, such as ``a(k=1) + b``."""
    calls = parse_mitigations(text) if isinstance(text, str) else text
    return tuple(_built(find, Mitigation, call) for call in calls)


Base = TypeVar("Base", bound=Component)


def _built(find: Find, base: type[Base], call: Call) -> Base:
    """An object of the role that this base class has."""
    role = next(role for role, cls in ROLES.items() if cls is base)
    return cast(Base, build(find, role, call))  # the registry checks the base class of an offer


def build_cell(find: Find, spec: str | CellSpec, **overrides: Any) -> Cell:
    """A cell from its spec; ``overrides`` are fields of Cell, such as seeds and device.

    Raises UsageError for an unknown setting, plugin or parameter.
    """
    spec = parse_cell(spec) if isinstance(spec, str) else spec
    settings = dict(spec.settings)
    known = {"n": int, "T": int, "growth": float, "n0": int, "first": DataGenerator | None}
    for key in settings:
        if key not in known:
            raise UsageError(f"unknown setting {key!r} after '@'{nearest(key, known)}")
    value = {key: coerce(find, key, settings[key], known[key]) for key in settings}
    return Cell(
        data=_built(find, DataGenerator, spec.data),
        model=_built(find, Model, spec.model),
        protocol=_built(find, Protocol, spec.protocol),
        mitigations=build_mitigations(find, spec.mitigations),
        **{
            "n": value.get("n", 100),
            "generations": value.get("T", 10),
            "growth": value.get("growth", 0.0),
            "n0": value.get("n0"),
            "first_teacher": value.get("first"),
            **overrides,
        },
    )


# -- values ----------------------------------------------------------------------------------------


class _Wrong(Exception):
    """The value is not of the type."""


def coerce(find: Find, label: str, value: Any, hint: Any) -> Any:
    """A value from a spec, converted to the type of a field.

    ``label`` names the field in the sentence of a UsageError, raised for a value of another type.
    """
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _one_of_types(find, label, value, hint)
    origin = typing.get_origin(hint) or hint
    if origin is Literal:
        return _one_of_words(label, value, typing.get_args(hint))
    if isinstance(origin, type) and issubclass(origin, Component):
        return _component(find, label, value, origin)
    if origin in (tuple, list):
        inner = typing.get_args(hint)[0] if typing.get_args(hint) else Any
        if isinstance(value, tuple):
            return tuple(coerce(find, label, item, inner) for item in value)
        raise UsageError(f"{label} must be a list such as [1, 2], got {_shown(value)}")
    if origin not in _PLAIN:
        return value
    expected, convert = _PLAIN[origin]
    try:
        return convert(value)
    except _Wrong:
        raise UsageError(f"{label} must be {expected}, got {_shown(value)}") from None


def _one_of_types(find: Find, label: str, value: Any, hint: Any) -> Any:
    options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if value is None and len(options) < len(typing.get_args(hint)):
        return None
    for option in options[:-1]:
        try:
            return coerce(find, label, value, option)
        except UsageError:
            continue
    return coerce(find, label, value, options[-1])


def _one_of_words(label: str, value: Any, options: tuple[Any, ...]) -> Any:
    plain = value.name if isinstance(value, Call) and not value.args else value
    if plain in options:
        return plain
    raise UsageError(f"{label} must be one of {', '.join(map(str, options))}, got {_shown(value)}")


def _component(find: Find, label: str, value: Any, base: type) -> Component:
    role = next(role for role, cls in ROLES.items() if issubclass(base, cls))
    if isinstance(value, (Call, str)):
        return build(find, role, value)
    raise UsageError(f"{label} must be a {role} such as name(key=1), got {_shown(value)}")


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Wrong
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong
    return value


def _int(value: Any) -> int:
    if _number(value) % 1 != 0:
        raise _Wrong
    return int(value)


def _word(value: Any) -> str:
    plain = value.name if isinstance(value, Call) and not value.args else value
    if not isinstance(plain, str):
        raise _Wrong
    return plain


#: type of a field -> (its description, its converter, which raises _Wrong)
_PLAIN: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bool: ("true or false", _bool),
    int: ("a whole number", _int),
    float: ("a number", lambda value: float(_number(value))),
    str: ("a word or a quoted string", _word),
    Path: ("a path in double quotes", lambda value: path_of(_word(value))),
}


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Call) else repr(value)


# -- listing parameters ----------------------------------------------------------------------------


def parameters(cls: type[Component]) -> list[dict[str, Any]]:
    """Name, type, default, range and documentation of every parameter of a plugin."""
    hints = type_hints(cls)
    return [
        {
            "name": f.name,
            "type": getattr(hints[f.name], "__name__", str(hints[f.name])),
            "default": f.default,
            "allowed": allowed(f) or _choices(hints[f.name]),
            "doc": f.metadata.get("doc", ""),
        }
        for f in dataclasses.fields(cls)
    ]


def _choices(hint: Any) -> str:
    return (
        "one of " + ", ".join(map(str, typing.get_args(hint)))
        if typing.get_origin(hint) is Literal
        else ""
    )
