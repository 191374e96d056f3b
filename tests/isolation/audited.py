"""Cells whose mitigation runs in a process of its own, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

from collapse_bench.api import cell_of
from collapse_bench.isolation.audit import Audit, Limits, Source
from collapse_bench.spec import parse_mitigations


@contextmanager
def audited(
    world: str, spec: str, file: Path | None = None, limits: Limits | None = None
) -> Iterator:
    """(the cell, the audit): ``spec`` of a plugin file, or of the suite itself, on a world."""
    (call,) = parse_mitigations(spec)
    source = Source(None) if file is None else Source.of_file(file)
    with Audit(source, [call.name], limits) as audit:
        cls = audit.classes[call.name]
        cell = cell_of(world)
        if file is None:  # the suite's own class has the parameters that its spec means
            act = cell_of(world.replace("@", f"| {spec} @")).mitigations[0]
            values = {f.name: getattr(act, f.name) for f in fields(cls)}
        else:
            values = dict(call.args)
        yield replace(cell, mitigations=(cls(**values),)), audit
