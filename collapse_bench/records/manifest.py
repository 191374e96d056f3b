"""The manifest of a run: which cell plays which part.  A board needs it and the records, and no plugin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.identity import SCHEMA
from .settings import SuiteModel


@dataclass(frozen=True)
class ManifestTask:
    """What a board needs to know of a task: the metrics of its data generator, and its rows."""

    family: str
    primary: str  # the metric that is scored
    tail: str | None
    diversity: str | None
    log_loss: bool  # the primary loss is in nats
    resolution: float  # of the primary loss
    rows: int  # n


@dataclass(frozen=True)
class ManifestEntry:
    """One cell of a run, and the part it plays."""

    task: str
    name: str  # the label of the mitigations; none, nature, real-only
    role: str  # entry, control or curve
    id: str
    rows: int  # n
    horizon: int  # the last generation
    skip: str | None = None  # why it takes no part
    limits: Mapping[str, int] = field(default_factory=dict)  # its budget per chain


@dataclass(frozen=True)
class Manifest:
    """What a board needs to know of a run."""

    schema: int
    suite: SuiteModel
    seeds: tuple[int, ...]
    tasks: Mapping[str, ManifestTask]
    skipped_tasks: Mapping[str, str]  # task -> why
    entries: tuple[ManifestEntry, ...]
    left_out: tuple[str, ...] = ()  # of a quick run: entries of which no record was found
    published: str | None = None  # the file of records that stands behind the store
    files: Mapping[str, str] = field(default_factory=dict)  # plugin -> the file it was loaded from

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the file holds them."""
        plain = _adapter().dump_python(self, mode="json")
        if self.published is None:
            del plain["published"]
        return dict(plain)

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Parse the text of a manifest.

        Raises ValueError, with one sentence that says where, for text that is no manifest of this schema.
        """
        plain = json.loads(text)
        if not isinstance(plain, dict) or "schema" not in plain:
            raise ValueError("it is not the manifest of a run: it names no schema")
        if plain["schema"] != SCHEMA:
            raise ValueError(f"it has schema {plain['schema']}, and this version reads {SCHEMA}")
        try:
            return _adapter().validate_json(text, strict=True)
        except ValidationError as problem:
            fault = problem.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise ValueError(f"{place}: {fault['msg']}") from problem


@cache
def _adapter() -> TypeAdapter[Manifest]:
    """Reads and writes manifests; made when first used, since making it takes a while."""
    return TypeAdapter(Manifest)
