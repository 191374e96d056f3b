"""The manifest of a run: the role of each cell.  A board needs it, the records, and no plugin."""

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
    """What a board needs to know about a task: the metrics of its data generator, and its rows."""

    family: str
    primary: str  # the metric that is scored
    tail: str | None
    diversity: str | None
    log_loss: bool  # the primary loss is in nats
    resolution: float  # the smallest difference of the primary loss that can be measured
    rows: int  # n


@dataclass(frozen=True)
class ManifestEntry:
    """One cell of a run, and its role."""

    task: str
    name: str  # the label of the mitigations; none, nature, real-only
    role: str  # entry, control or curve
    id: str
    rows: int  # n
    horizon: int  # the last generation
    skip: str | None = None  # why it is not run; None: it is
    limits: Mapping[str, int] = field(default_factory=dict)  # substance -> budget per chain


@dataclass(frozen=True)
class Manifest:
    """What a board needs to know about a run."""

    schema: int
    suite: SuiteModel
    seeds: tuple[int, ...]
    tasks: Mapping[str, ManifestTask]
    skipped_tasks: Mapping[str, str]  # task -> why
    entries: tuple[ManifestEntry, ...]
    left_out: tuple[str, ...] = ()  # of a quick run: entries without complete records
    published: str | None = None  # the file of published records that the run reuses
    files: Mapping[str, str] = field(default_factory=dict)  # plugin -> its file
    budget: str | None = None  # as it was typed

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the file stores them."""
        plain = _adapter().dump_python(self, mode="json")
        if self.published is None:
            del plain["published"]
        if self.budget is None:
            del plain["budget"]
        return dict(plain)

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Parse the text of a manifest.

        Raises ValueError, with one sentence that names the place, for any other text.
        """
        plain = json.loads(text)
        if not isinstance(plain, dict) or "schema" not in plain:
            raise ValueError("it is not the manifest of a run: it has no schema")
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
    """Reads and writes manifests.  Built on first use, since building it is slow."""
    return TypeAdapter(Manifest)
