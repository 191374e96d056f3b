"""Which row of a run a spec of its suite became, found without the plugins."""

from __future__ import annotations

from collections.abc import Sequence

from ..spec import Call, Value, parse_mitigations


def row_of(text: str, rows: Sequence[str]) -> str | None:
    """The row of a spec; None where it has none.

    The name of a row lacks parameters of the spec that have their defaults: ``temperature(t=1.1)``
    is the row ``temperature``.  Of several rows that fit, it is the one with most parameters.
    """
    spec = parse_mitigations(text)
    fitting = [(_size(calls), row) for row in rows if _names(calls := parse_mitigations(row), spec)]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def _names(row: Value, spec: Value) -> bool:
    """Whether a row, or a part of one, is what a spec says, without some of its parameters."""
    if isinstance(row, tuple) and isinstance(spec, tuple):
        return len(row) == len(spec) and all(map(_names, row, spec))
    row, spec = (Call(v) if isinstance(v, str) else v for v in (row, spec))
    if isinstance(row, Call) and isinstance(spec, Call):
        given = dict(spec.args)
        return row.name == spec.name and all(
            key in given and _names(value, given[key]) for key, value in row.args
        )
    return row == spec


def _size(value: Value) -> int:
    """The number of parameters, also those of components within."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return sum(1 + _size(inner) for _, inner in value.args) if isinstance(value, Call) else 0
