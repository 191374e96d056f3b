"""Whether a record is what the manifest of a run says that it is.

The manifest gives each cell its role on the board, so an entry that names the record of another
cell would take its score.  Names and parameters are compared as they are written in specs, since a
board loads no plugin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..errors import UserError
from ..spec import Call, CellSpec, parse_cell, parse_mitigations
from .manifest import Manifest, ManifestEntry
from .record import Record

_NUMBER = (bool, int, float)
_CONTROLS = ("none",)  # a spec may name them or leave them out


def disagreement(manifest: Manifest, entry: ManifestEntry, record: Record) -> str | None:
    """The first difference between a record and its entry as part of a sentence, or None."""
    return next(_disagreements(manifest, entry, record), None)


def _disagreements(manifest: Manifest, entry: ManifestEntry, record: Record) -> Iterator[str]:
    facts, task = record.facts, manifest.tasks[entry.task]
    if facts.id != entry.id:
        yield f"its id is {facts.id}, that of the entry {entry.id}"
    if facts.generations != entry.horizon:
        yield f"it has {facts.generations} generations, the entry {entry.horizon}"
    if facts.primary != task.primary:
        yield f"its loss is {facts.primary}, that of the task {task.primary}"
    if facts.family != task.family:
        yield f"its family is {facts.family}, that of the task {task.family}"
    try:
        spec, wanted = _cell(facts.label), _cell_of(entry)
    except UserError as problem:
        yield f"its label cannot be read ({problem})"
        return
    rows = dict(spec.settings).get("n", entry.rows)
    if rows != entry.rows:
        yield f"it has {rows} rows, the entry {entry.rows}"
    parts = [(spec.data, wanted.data), (spec.model, wanted.model), (spec.protocol, wanted.protocol)]
    acts, named = (_acts(s.mitigations) for s in (spec, wanted))
    if len(acts) != len(named):
        yield f"it is a record of {facts.entry}"
    parts += zip(acts, named, strict=False)
    yield from (f"it is a record of {facts.label}" for one, other in parts if _differ(one, other))
    if facts.canonical is not None and not _describes(facts.canonical, spec):
        yield f"its label {facts.label} is not that of its cell"


def _acts(mitigations: tuple[Call, ...]) -> list[Call]:
    return [act for act in mitigations if act.name not in _CONTROLS]


def _differ(one: Any, other: Any) -> bool:
    """Whether two values of specs differ in a name, or in a parameter that both write out.

    A parameter at its default may be written or left out, so one that only one of them names counts
    as equal.
    """
    if isinstance(one, Call) and isinstance(other, Call):
        mine, theirs = dict(one.args), dict(other.args)
        return one.name != other.name or any(
            _differ(mine[key], theirs[key]) for key in mine.keys() & theirs.keys()
        )
    if isinstance(one, Call) or isinstance(other, Call):
        words = [v.name if isinstance(v, Call) and not v.args else v for v in (one, other)]
        return words[0] != words[1]
    return bool(one != other)


def _describes(canonical: Mapping[str, Any], spec: CellSpec) -> bool:
    """Whether a canonical form holds the components and the size that a spec names."""
    acts = canonical.get("mitigations")
    if not isinstance(acts, list):
        return False
    pairs = [(canonical.get("data"), spec.data), (canonical.get("model"), spec.model)]
    pairs += [(canonical.get("protocol"), spec.protocol)]
    named = _acts(spec.mitigations)
    settings = dict(spec.settings)
    return (
        len(acts) == len(named)
        and all(_holds(form, call) for form, call in [*pairs, *zip(acts, named, strict=True)])
        and all(settings.get(key, canonical.get(key)) == canonical.get(key) for key in ("n", "T"))
    )


def _holds(form: Any, call: Call) -> bool:
    """Whether the canonical form of a component has the name and the plain parameters of a spec."""
    if not isinstance(form, Mapping) or form.get("name") != call.name:
        return False
    params = form.get("params")
    if not isinstance(params, Mapping):
        return False
    for key, value in call.args:
        there = params.get(key)
        if isinstance(value, Call):  # a component, or a word
            if isinstance(there, Mapping) and "name" in there and not _holds(there, value):
                return False
            if isinstance(there, str) and there != value.name:
                return False
        elif isinstance(value, _NUMBER) and isinstance(there, _NUMBER) and value != there:
            return False
    return True


@lru_cache(maxsize=4096)  # pure: text to a syntax tree
def _cell(text: str) -> CellSpec:
    return parse_cell(text)


def _cell_of(entry: ManifestEntry) -> CellSpec:
    """The spec of an entry, from the names in a manifest."""
    task = _cell(entry.task)
    if entry.role == "curve":
        return CellSpec(task.data, task.model, Call("replace"))
    acts = () if entry.name == "none" else parse_mitigations(entry.name)
    return CellSpec(task.data, task.model, task.protocol, acts, task.settings)
