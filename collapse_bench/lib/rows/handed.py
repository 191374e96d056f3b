"""The new real rows that a protocol hands out, for controls that read nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.components import Protocol
from ...core.corpus import Corpus
from ...errors import Incompatible

if TYPE_CHECKING:
    from ...core.access import Access
    from ...core.cell import Cell


def none_handed(who: str, cell: Cell) -> str | None:
    """Why ``who`` gets no new real rows from the protocol of a cell, or None if it gets some.

    They are needed in every generation in which methods act: after the first, and in the first too
    where a flawed source teaches it.  A protocol that states no composition may still hand out
    none, which ``as_many`` finds out.
    """
    start = 1 if cell.first_teacher is None else 0
    # after its schedule a protocol hands out the same share of no fewer rows
    last = min(cell.generations, max(1, len(_schedule(cell.protocol))))
    for t in range(start, last + 1):
        share = _share(cell.protocol, t)
        if share is not None and not round(share * cell.size(t)):
            return (
                f"{who} reads the new real rows that a protocol hands out, and "
                f"{cell.protocol.title()} hands out none in generation {t} of this cell; choose a "
                "protocol with a share of new ones, e.g. mix(real=0.2) or accumulate(real=0.2)"
            )
    return None


def _share(protocol: Protocol, t: int) -> float | None:
    """Share of new real rows among those that generation t adds, or None if it is not stated."""
    made = protocol.composition
    if made is not None:
        return made.real if made.fresh else 0.0
    schedule = _schedule(protocol)
    return schedule[min(t, len(schedule) - 1)] if schedule else None


def _schedule(protocol: Protocol) -> tuple[float, ...]:
    """Share of real rows in generation 0, 1, ...; the last one holds from there on."""
    return getattr(protocol, "schedule", ())


def as_many(who: str, access: Access) -> Corpus:
    """New real rows, as many as the protocol drew in this generation.

    Raises Incompatible if it drew none.
    """
    if not access.handed:
        raise Incompatible(
            f"{who} reads the new real rows that a protocol hands out, and it handed out none in "
            f"generation {access.t}; choose a protocol that does, e.g. mix(real=0.2)"
        )
    return access.real(access.handed)
