"""What the JSON of a record may hold: types and ranges, checked before anything is made of it.

Keys that this version does not know are allowed, since another version may have written them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..status import Status

CELL_ID = r"^[0-9a-f]{20}$"
#: seeds and amounts are stored as 64-bit integers
Amount = Annotated[int, Field(ge=0, lt=2**63)]
#: the column of generations has 32 bits
GenerationNumber = Annotated[int, Field(ge=0, lt=2**31)]
Scalar = str | int | float | bool | None
Curve = list[float | None] | None


class _Plain(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class PlainRun(_Plain):
    """The account of one run, see ``RunAccount``."""

    seeds: Annotated[list[Amount], Field(min_length=2, max_length=2)] | None = None
    at: str = ""
    seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    cpu_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    process_peak_memory_mib: float = 0.0
    resumed_from: int | None = None
    device: str = ""
    environment: dict[str, str] = {}
    seconds_by_part: dict[str, float] = {}
    training: dict[str, float] = {}
    remarks: list[str] = []
    traceback: str = ""


class PlainTheory(_Plain):
    """A law and the measured losses by generation, see ``Prediction``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    predicted: Curve
    measured: Curve = None
    ratio: Curve = None
    z: Curve = None


class PlainFacts(_Plain):
    """The facts of a record, see ``CellFacts``."""

    schema_: int = Field(alias="schema")
    id: str = Field(pattern=CELL_ID)
    label: str
    task: str
    entry: str
    family: str
    primary: str
    generations: GenerationNumber
    track: str
    seeds: list[Amount]
    status: list[str]
    reason: list[str | None]
    ledger: dict[str, list[Amount]]
    verifiers: list[list[Scalar]]
    external: list[list[Scalar]]
    theory: PlainTheory
    canonical: dict[str, Any] | None = None
    sources: dict[str, dict[str, str] | str] | None = None
    numerics: int | None = None
    published: str | None = None
    declined: list[bool] | None = None

    @model_validator(mode="after")
    def _one_item_per_chain(self) -> Self:
        items = {"status": len(self.status), "reason": len(self.reason)}
        if self.declined is not None:
            items["declined"] = len(self.declined)
        items |= {f"ledger.{name}": len(row) for name, row in self.ledger.items()}
        for name, count in items.items():
            if count != len(self.seeds):
                raise ValueError(f"{name} has {count} items for {len(self.seeds)} chains")
        known = {status.value for status in Status}
        for status in self.status:
            if status not in known:
                raise ValueError(f"{status!r} is not a status: {', '.join(sorted(known))}")
        for row in (*self.verifiers, *self.external):
            if not row or not isinstance(row[-1], int):
                raise ValueError("a user of the ledger has no number of calls")
        return self


class PlainFiles(_Plain):
    """The data at one place of a cell, see ``Cell.files``."""

    path: str
    files: dict[str, str]


class PlainCell(_Plain):
    """The description of a cell next to its records: names, data files and its canonical form."""

    label: str
    id: str = Field(pattern=CELL_ID)
    files: dict[str, PlainFiles] = {}  # version 0.1 wrote none


class PlainMeta(_Plain):
    """The metadata of a record file."""

    facts: PlainFacts
    runs: list[PlainRun]
    seal: str


class PlainPublished(_Plain):
    """One record of an archive, without its numbers."""

    facts: PlainFacts
    runs: list[PlainRun]


class PlainHeader(_Plain):
    """The metadata of an archive."""

    schema_: int = Field(alias="schema")
    metrics: list[str]
    records: list[PlainPublished]
    seal: str


def parsed(text: bytes | str) -> Any:
    """The values of a JSON text.  Raises ValueError, also for text that is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as problem:
        raise ValueError("it is nested too deep") from problem


def check_plain(model: type[BaseModel], plain: Any) -> None:
    """Raises ValueError with one sentence that names the place of the first fault."""
    try:
        model.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as problem:
        raise ValueError(fault_of(problem)) from problem
    except RecursionError as problem:
        raise ValueError("it is nested too deep") from problem


def fault_of(problem: ValidationError) -> str:
    """The first fault of a validation as ``place: what is wrong``."""
    fault = problem.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(item) for item in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
