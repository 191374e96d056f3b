"""What no run could have written: facts of a record that contradict each other or its numbers.

A seal is a checksum, which anyone can compute again after an edit.  These checks find edits that
are not carried through all facts.  They cannot find numbers that agree with everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.identity import id_of
from ..status import Status
from .facts import track_shown
from .record import BLOCK, Record


def contradiction(record: Record, published: bool = False) -> str | None:
    """The first contradiction in a record as part of a sentence, or None.

    published: whether it comes from an archive, which leaves out the canonical form of its cell.
    """
    return next(_contradictions(record, published), None)


def _contradictions(record: Record, published: bool) -> Iterator[str]:
    if not published:
        yield from _of_the_cell(record)
    yield from _of_the_seeds(record)
    yield from _of_the_ledger(record)
    yield from _of_the_numbers(record, published)
    yield from _of_the_law(record)


def _of_the_cell(record: Record) -> Iterator[str]:
    facts = record.facts
    if facts.canonical is None:
        yield "it does not say of which cell it is"
        return
    if id_of(facts.canonical) != facts.id:
        yield "its id is not the hash of its cell"
    if facts.canonical.get("T") != facts.generations:
        yield f"it has {facts.generations} generations, its cell {facts.canonical.get('T')}"


def _of_the_seeds(record: Record) -> Iterator[str]:
    seeds = record.facts.seeds
    if not seeds:
        yield "it has no chains"
    elif list(seeds) != sorted(set(seeds)):
        yield "its seeds are not in order, each once"
    elif seeds[0] // BLOCK != seeds[-1] // BLOCK:
        yield "its seeds belong to several records"
    if not np.isin(record.seed, seeds).all():
        yield "it has numbers of chains that it does not list"
    late = (record.generation < 0) | (record.generation > record.facts.generations)
    if late.any():
        yield "it has numbers of generations that its cell does not have"


def _of_the_ledger(record: Record) -> Iterator[str]:
    facts = record.facts
    if facts.track != track_shown(facts.ledger):
        yield f"its track is {facts.track}, that of its ledger {track_shown(facts.ledger)}"
    for name, whole in facts.ledger.items():
        part = facts.ledger.get(f"{name}_by_methods", ())
        if any(mine > all_ for mine, all_ in zip(part, whole, strict=False)):
            yield f"its methods used more {name} than all parts of the cell"
    done = [status is Status.DONE for status in facts.status]
    fits = facts.ledger.get("fits")
    if fits and any(d and n <= facts.generations for d, n in zip(done, fits, strict=True)):
        yield "its ledger counts fewer fits than generations"


def _of_the_numbers(record: Record, published: bool) -> Iterator[str]:
    facts = record.facts
    primary = record.metric == facts.primary
    seed, generation = record.seed[primary], record.generation[primary]
    if len(set(zip(seed.tolist(), generation.tolist(), strict=True))) < len(seed):
        yield f"it has several values of {facts.primary} for one generation of a chain"
    counts = dict(zip(*np.unique(seed, return_counts=True), strict=True))
    lost = set(seed[np.isnan(record.value[primary]) & (generation == facts.generations)].tolist())
    whole = {facts.generations + 1}
    if published and set(generation.tolist()) <= {facts.generations}:
        whole.add(1)  # of further configurations of a method, only the last one is published
    for chain, status in record.status.items():
        if status is Status.DONE and counts.get(chain, 0) not in whole:
            yield f"chain {chain} is done and lacks {facts.primary} in some generations"
        elif status is Status.DONE and chain in lost:
            yield f"chain {chain} is done and its last {facts.primary} is not a number"


def _of_the_law(record: Record) -> Iterator[str]:
    theory = record.facts.theory
    if theory.predicted is None:
        return
    length = record.facts.generations + 1
    for name in ("predicted", "measured", "ratio", "z"):
        curve = getattr(theory, name)
        if curve is not None and len(curve) != length:
            yield f"its law has {len(curve)} values ({name}) for {length} generations"
            return
    if theory.measured is None:
        return
    again = record.compared().facts.theory
    for name in ("measured", "ratio"):
        if not _equal(getattr(theory, name), getattr(again, name)):
            yield f"the losses that it compares with its law ({name}) are not those of its chains"


def _equal(one: Sequence[float | None] | None, other: Sequence[float | None] | None) -> bool:
    """Whether two curves agree up to the order of a sum."""
    if one is None or other is None:
        return one is other
    left, right = ([np.nan if v is None else v for v in curve] for curve in (one, other))
    return bool(np.allclose(left, right, rtol=1e-9, atol=0, equal_nan=True))
