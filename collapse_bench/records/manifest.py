"""The manifest of a run: the role of each cell.  A board needs it, the records, and no plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ..core.identity import SCHEMA
from ..core.tracks import SUBSTANCES
from .faults import Damaged, Foreign, Forged, WithoutHarm
from .plain import CELL_ID, Amount, GenerationNumber, fault_of, parsed
from .settings import SuiteModel, lacks_harm

Size = Annotated[int, Field(ge=1, le=2**53)]


#: nature stands still; the pool grows with new real rows; the truth moves; generation 0 is flawed
World = Literal["", "still", "growing", "moving", "flawed"]


@dataclass(frozen=True)
class ManifestTask:
    """What a board needs to know about a task: the metrics of its data generator, and its rows."""

    family: str
    primary: str  # the metric that is scored
    tail: str | None
    diversity: str | None
    log_loss: bool  # the primary loss is in nats
    # the smallest difference of the primary loss that can be measured
    resolution: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rows: Size  # n
    world: World = ""  # "": not known, in manifests of older versions
    # track -> the least expected primary loss at the horizon that its knowledge allows, by a law
    ceilings: Mapping[str, Annotated[float, Field(allow_inf_nan=False)]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class ManifestEntry:
    """One cell of a run, and its role."""

    task: str
    name: str  # the label of the mitigations; none, nature, real-only
    role: Annotated[str, Field(pattern="^(entry|control|curve)$")]
    id: Annotated[str, Field(pattern=CELL_ID)]
    rows: Size  # n
    horizon: GenerationNumber  # the last generation
    skip: str | None = None  # why it is not run; None: it is
    declined: bool = False  # it is not run by the choice of a mitigation
    limits: Mapping[str, Amount] = field(default_factory=dict)  # substance -> budget per chain


@dataclass(frozen=True)
class Manifest:
    """What a board needs to know about a run."""

    schema: int
    suite: SuiteModel
    seeds: tuple[Amount, ...]
    tasks: Mapping[str, ManifestTask]
    skipped_tasks: Mapping[str, str]  # task -> why
    entries: tuple[ManifestEntry, ...]
    left_out: tuple[str, ...] = ()  # of a quick run: entries without complete records
    published: str | None = None  # the file of published records that the run reuses
    files: Mapping[str, str] = field(default_factory=dict)  # kind and name of a plugin -> its file
    budget: str | None = None  # as it was typed

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the file stores them."""
        plain = _adapter().dump_python(self, mode="json")
        if self.published is None:
            del plain["published"]
        if self.budget is None:
            del plain["budget"]
        for task in plain["tasks"].values():
            if not task["ceilings"]:
                del task["ceilings"]
        return dict(plain)

    @classmethod
    def from_text(cls, text: str | bytes, where: str = "the manifest") -> Manifest:
        """Parse the text of a manifest.  ``where`` begins the sentences of the errors.

        Raises Foreign for the text of another program, WithoutHarm for one of a suite that was
        calibrated by version 0.1, Damaged for one that is not valid, Forged for one that
        contradicts itself.
        """
        try:
            plain = parsed(text)
        except ValueError as problem:  # also text that is not UTF-8
            raise Damaged(where, f"it is not JSON: {problem}") from problem
        if not isinstance(plain, dict) or "schema" not in plain:
            raise Foreign(where, "it is not the manifest of a run: it has no schema")
        if plain["schema"] != SCHEMA:
            raise Foreign(
                where, f"it has schema {plain['schema']}, and this version reads {SCHEMA}"
            )
        try:
            manifest = _adapter().validate_json(text, strict=True)
        except ValidationError as problem:
            if lacks_harm(problem):
                raise WithoutHarm(where, fault_of(problem)) from problem
            raise Damaged(where, fault_of(problem)) from problem
        if (why := manifest.contradiction()) is not None:
            raise Forged(where, why)
        return manifest

    def contradiction(self) -> str | None:
        """What no run could have written, as part of a sentence, or None."""
        if list(self.seeds) != sorted(set(self.seeds)) or not self.seeds:
            return "its seeds are not in order, each once"
        if self.tasks and not self.suite.tasks:
            return "its suite has none of its tasks"
        if self.published is not None and not self.published.endswith(".parquet"):
            return "its published records are no .parquet file"
        places = [
            (entry.task, entry.name, entry.role == "curve", entry.rows) for entry in self.entries
        ]
        if len(set(places)) < len(places):
            return "it has an entry twice"
        for entry in self.entries:
            if entry.task not in self.tasks:
                return f"it has an entry of {entry.task}, which is none of its tasks"
            if entry.task in self.skipped_tasks:
                return f"it has an entry of {entry.task}, which it says is skipped"
            if entry.role != "curve" and entry.rows != self.tasks[entry.task].rows:
                return f"{entry.name} on {entry.task} has other rows than the task"
            for substance in entry.limits:
                if substance not in SUBSTANCES:
                    return f"it limits {substance!r}, which no ledger counts"
        for task in self.tasks:
            ends = {e.horizon for e in self.entries if e.task == task and e.role != "curve"}
            if len(ends) > 1:
                return f"the entries of {task} end at different generations"
            if not any(e.task == task and e.name == "none" for e in self.entries):
                return f"it has no entry none for {task}"
        return None


@cache
def _adapter() -> TypeAdapter[Manifest]:
    """Reads and writes manifests.  Built on first use, since building it is slow."""
    return TypeAdapter(Manifest)
