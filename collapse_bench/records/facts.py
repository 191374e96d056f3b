"""The facts of a record: about its cell once, and the status and ledger of each of its chains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from ..core.tracks import TRACKS as TRACKS  # for boards
from ..core.tracks import joined_tracks as joined_tracks  # for boards
from ..status import Status

#: facts that may be missing: a published record has no canonical form of its cell
_OPTIONAL = ("canonical", "sources", "numerics", "published", "declined")


class RunAccount(TypedDict, total=False):
    """When, where and how long one run that contributed chains ran.  No score depends on it."""

    seeds: list[int]  # [first, last]
    at: str  # ISO time, UTC
    seconds: float
    cpu_seconds: float
    process_peak_memory_mib: float
    resumed_from: int | None  # the generation of the checkpoint it started from
    device: str
    environment: dict[str, str]
    seconds_by_part: dict[str, float]
    training: dict[str, float]
    remarks: list[str]
    traceback: str


@dataclass(frozen=True)
class Prediction:
    """The law of a cell and the measured loss by generation; None where a number is not known.

    ``predicted`` is None where the cell has no law.  The other three are None until the record is
    compared with its law.
    """

    predicted: tuple[float | None, ...] | None
    measured: tuple[float | None, ...] | None = None
    ratio: tuple[float | None, ...] | None = None
    z: tuple[float | None, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values.  What was not compared is left out."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {k: v for k, v in plain.items() if k == "predicted" or v is not None}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Prediction:
        """Raises KeyError where ``predicted`` is missing, TypeError for an unknown key."""
        return cls(plain["predicted"] and tuple(plain["predicted"]), **_tuples(plain, "predicted"))


@dataclass(frozen=True)
class CellFacts:
    """What a record says about its cell and about each of its chains.

    ``seeds``, ``status``, ``reason`` and every row of ``ledger`` have one item per chain.  ``more``
    holds facts that this version does not know.  They are kept, so that reading and writing a
    record does not change its digest.
    """

    schema: int
    id: str
    label: str
    task: str
    entry: str
    family: str
    primary: str  # the metric that is scored
    generations: int
    track: str
    seeds: tuple[int, ...]
    status: tuple[Status, ...]
    reason: tuple[str | None, ...]  # why a chain is not done
    ledger: Mapping[str, tuple[int, ...]]  # substance -> amount per chain
    verifiers: tuple[tuple[Any, ...], ...]  # (name, sensitivity, specificity, calls)
    external: tuple[tuple[Any, ...], ...]  # (name, ..., calls)
    theory: Prediction
    canonical: Mapping[str, Any] | None = None
    # plugin -> module -> digest of its code; plugin -> digest of the file in records of version 0.1
    sources: Mapping[str, Mapping[str, str] | str] | None = None
    numerics: int | None = None  # see ``identity.NUMERICS``; older records have None, which means 1
    published: str | None = None  # the seal of the archive that the record comes from
    # per chain: whether it is skipped by the choice of a mitigation; None: no chain is
    declined: tuple[bool, ...] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the metadata of a record."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        del plain["more"]
        absent = {name for name in _OPTIONAL if plain[name] is None}
        known = {name: value for name, value in plain.items() if name not in absent}
        return {**known, "theory": self.theory.to_json(), **self.more}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> CellFacts:
        """Raises KeyError, TypeError or ValueError where ``plain`` holds no facts of a record."""
        names = {f.name for f in dataclasses.fields(cls)} - {"more"}
        known = {name: value for name, value in plain.items() if name in names}
        for name in ("seeds", "reason"):
            known[name] = tuple(plain[name])
        if plain.get("declined") is not None:
            known["declined"] = tuple(plain["declined"])
        for name in ("verifiers", "external"):
            known[name] = tuple(map(tuple, plain[name]))
        known["status"] = tuple(map(Status, plain["status"]))
        known["ledger"] = {
            substance: tuple(amounts) for substance, amounts in plain["ledger"].items()
        }
        known["theory"] = Prediction.from_json(plain["theory"])
        return cls(**known, more={k: v for k, v in plain.items() if k not in names})

    def only(self, seeds: Iterable[int]) -> CellFacts:
        """The facts, restricted to the chains of these seeds."""
        chosen = set(seeds)
        return self._picked([i for i, seed in enumerate(self.seeds) if seed in chosen])

    def _picked(self, indices: list[int]) -> CellFacts:
        ledger = {
            substance: tuple(amounts[i] for i in indices)
            for substance, amounts in self.ledger.items()
        }
        return replace(
            self,
            seeds=tuple(self.seeds[i] for i in indices),
            status=tuple(self.status[i] for i in indices),
            reason=tuple(self.reason[i] for i in indices),
            declined=self._some_declined([_declined(self)[i] for i in indices]),
            ledger=ledger,
            track=track_shown(ledger),
        )

    @staticmethod
    def _some_declined(chains: Sequence[bool]) -> tuple[bool, ...] | None:
        return tuple(chains) if any(chains) else None

    def joined(self, newer: CellFacts) -> CellFacts:
        """The chains of both, ordered by seed.  Facts about the cell are taken from ``newer``."""
        rows = {
            substance: _amounts(self, substance) + _amounts(newer, substance)
            for substance in sorted({*self.ledger, *newer.ledger})
        }
        both = replace(
            newer,
            seeds=self.seeds + newer.seeds,
            status=self.status + newer.status,
            reason=self.reason + newer.reason,
            declined=_declined(self) + _declined(newer),
            ledger=rows,
            verifiers=_most_calls(self.verifiers if self.seeds else (), newer.verifiers),
            external=_most_calls(self.external if self.seeds else (), newer.external),
        )
        return both._picked(sorted(range(len(both.seeds)), key=both.seeds.__getitem__))


def track_shown(ledger: Mapping[str, Iterable[int]]) -> str:
    """The track of chains: the join of the tracks of all substances that their mitigations used."""
    return joined_tracks(
        track
        for substance, track in TRACKS.items()
        if any(ledger.get(f"{substance}_by_methods", ()))
    )


def _most_calls(
    one: tuple[tuple[Any, ...], ...], other: tuple[tuple[Any, ...], ...]
) -> tuple[tuple[Any, ...], ...]:
    """Rows (user, ..., calls per chain) of both, each user once with its larger number of calls."""
    most: dict[tuple[Any, ...], int] = {}
    for *key, calls in (*one, *other):
        most[tuple(key)] = max(calls, most.get(tuple(key), 0))
    return tuple((*key, calls) for key, calls in sorted(most.items()))


def _amounts(facts: CellFacts, substance: str) -> tuple[int, ...]:
    """What each chain used; 0 for a substance that an older version did not count."""
    return tuple(facts.ledger.get(substance, (0,) * len(facts.seeds)))


def _declined(facts: CellFacts) -> tuple[bool, ...]:
    return (False,) * len(facts.seeds) if facts.declined is None else facts.declined


def _plain(value: Any) -> Any:
    """Lists for tuples and text for statuses, as the JSON gives them back."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value.value if isinstance(value, Status) else value


def _tuples(plain: Mapping[str, Any], apart: str) -> dict[str, tuple[float | None, ...]]:
    return {name: tuple(values) for name, values in plain.items() if name != apart}
