"""Build the facts of a record: status, reason, ledger, law and environment."""

from __future__ import annotations

import dataclasses
import math
import platform
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.cell import Cell
from ..core.contracts import measured
from ..core.identity import NUMERICS, SCHEMA
from ..core.ledger import Ledger
from ..core.loop import Generation
from ..core.tracks import SUBSTANCES
from ..foreign.calls import contained
from ..records.facts import CellFacts, Prediction, RunAccount
from ..records.record import Record
from ..registry.discovery import registry
from ..status import Status


@dataclasses.dataclass
class Rows:
    """Numbers collected so far, one item per (generation, metric), each of shape (R,)."""

    generation: list[int] = dataclasses.field(default_factory=list)
    metric: list[str] = dataclasses.field(default_factory=list)
    value: list[NDArray[Any]] = dataclasses.field(default_factory=list)

    def add(self, t: int, metrics: dict[str, torch.Tensor], chains: int, who: str) -> None:
        """Add the metrics of generation t.  Raises ContractError where one is not a number per
        chain."""
        for name, value in measured(who, metrics, chains).items():
            self.value.append(value.detach().cpu().numpy())
            self.generation.append(t)
            self.metric.append(name)

    def record(self, seeds: list[int], facts: CellFacts, run: RunAccount) -> Record:
        """The record of these seeds, with rows ordered by seed, then as collected."""
        m, R = len(self.metric), len(seeds)
        values = (
            np.stack(self.value, 1).astype(np.float64, copy=False).reshape(-1) if m else np.empty(0)
        )
        return Record(
            np.repeat(np.asarray(seeds, np.int64), m),
            np.tile(np.asarray(self.generation, np.int32), R),
            np.tile(np.asarray(self.metric, dtype=object), R),
            values,
            facts,
            [run],
        )


def without_result(cell: Cell, seeds: list[int], status: Status, reason: str) -> Record:
    """The record of chains of which no result is known: a worker did not finish them, or their
    result cannot be written."""
    facts = facts_of(cell, seeds, status, reason, None, None)
    run: RunAccount = {
        "seeds": [seeds[0], seeds[-1]],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    return Rows().record(seeds, facts, run)


def facts_of(
    cell: Cell,
    seeds: list[int],
    status: Status,
    reason: str | None,
    now: Generation | None,
    ledger: Ledger | None,
) -> CellFacts:
    """The facts of chains that ended with this status.

    now: the last complete generation, if any.  ledger: that of a generation that raised an error;
    None: that of ``now``.
    """
    statuses, reasons = [status] * len(seeds), [reason] * len(seeds)
    if status is Status.DONE and now is not None:
        starved = [False] * len(seeds) if now.starved is None else now.starved.tolist()
        for i, undefined in enumerate(now.scores[cell.data.primary].isnan().tolist()):
            if starved[i]:
                responsible = cell.entry if cell.mitigations else cell.protocol.title()
                statuses[i], reasons[i] = (
                    Status.STARVED,
                    f"{responsible} left no row any weight, so that there was nothing to read",
                )
            elif undefined:
                statuses[i], reasons[i] = (
                    Status.FAILED,
                    f"{cell.data.primary} is NaN after generation {now.t}",
                )
    ledger = ledger or (now.ledger if now is not None else None) or Ledger()
    amounts = {
        substance: _per_chain(ledger.total(substance), len(seeds)) for substance in SUBSTANCES
    }
    amounts |= {
        f"{substance}_by_methods": _per_chain(ledger.by_methods(substance), len(seeds))
        for substance in SUBSTANCES
    }
    return CellFacts(
        schema=SCHEMA,
        id=cell.id,
        label=cell.label,
        task=cell.task,
        entry=cell.entry,
        canonical=cell.canonical,
        sources=cell.file_digests,
        numerics=NUMERICS,
        family=cell.data.family,
        primary=cell.data.primary,
        generations=cell.generations,
        track=ledger.track(),
        seeds=tuple(seeds),
        status=tuple(statuses),
        reason=tuple(reasons),
        ledger=amounts,
        verifiers=tuple((*key, calls) for key, calls in sorted(ledger.verifiers.items())),
        external=tuple((*key, calls) for key, calls in sorted(ledger.external.items())),
        theory=Prediction(predicted(cell)),
    )


def predicted(cell: Cell) -> tuple[float | None, ...] | None:
    """Expected primary loss by generation, with None where it is not known.

    None where the cell has no finite law: nothing can be compared with an infinite loss.
    """
    curve = _predicted(cell)
    if not curve or not any(map(math.isfinite, curve)):
        return None
    return tuple(value if math.isfinite(value) else None for value in curve)


_LAWS: dict[tuple[str, int], tuple[float, ...] | None] = {}


def _predicted(cell: Cell) -> tuple[float, ...] | None:
    known = registry()
    key = cell.id, known.loads  # an edited plugin may have another law
    if key not in _LAWS:
        try:
            with contained() if cell.foreign else nullcontext():  # copying its parts is its code
                _LAWS[key] = known.predicted(cell.lent())
        except Exception:  # only the comparison is lost; 'predict' and 'check' report the error
            _LAWS[key] = None
    return _LAWS[key]


def _per_chain(amount: Any, chains: int) -> tuple[int, ...]:
    values = amount.tolist() if isinstance(amount, torch.Tensor) else [amount] * chains
    return tuple(int(v) for v in values)


@cache
def environment() -> dict[str, str]:
    """Versions and machine, for the metadata of a record."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("collapse-bench", "torch", "numpy", "scipy", "transformers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    versions["threads"] = str(torch.get_num_threads())
    return versions
