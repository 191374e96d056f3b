"""Checks of protocols."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from ..core.components import Protocol
from .compare import CheckFailure, Lent, Undisturbed, alike, chain_at, disturb, tensors_of
from .kit import Subject, World, check
from .scenes import CellCase, composed_by, finite_losses, per_kind, run_cell
from .world import CHAIN_SHAPES, cells_of, name_of

N = 20  # rows per generation


def one_per_kind(subject: Subject[Protocol]) -> Iterator[World]:
    """For each kind of data, the protocol with registered data and models."""
    cells = partial(cells_of, subject.registry, protocols=(subject.component,), n=N)
    return per_kind(subject.registry, cells)


def every_pair(subject: Subject[Protocol]) -> Iterator[World]:
    """The protocol with every registered pair of data and model that goes together."""
    for cell in cells_of(subject.registry, subject.thorough, protocols=(subject.component,), n=N):
        yield World(f"{name_of(cell.data)} | {name_of(cell.model)}", (CellCase(cell),))


@dataclass(frozen=True, eq=False)
class Composed:
    """What one generation was given to read, noted when it was composed."""

    t: int
    rows: int | None  # the most of any chain; None where the corpus is known by its sums
    chain_shape: tuple[int, ...]
    values: dict[str, Tensor]
    lent: Lent
    drawn: int  # the most rows that the ledger had counted for any chain


@lru_cache(maxsize=64)
def composed(case: CellCase, chain_shape: tuple[int, ...], reload: bool = False) -> list[Composed]:
    """The training sets of generations 0 .. 3, which the checks of one protocol share."""
    return _composed(case, chain_shape, reload)


def _composed(case: CellCase, chain_shape: tuple[int, ...], reload: bool = False) -> list[Composed]:
    steps = []
    for access, corpus, _ in composed_by(case.cell, chain_shape, reload=reload):
        ledger = access.ledger
        drawn = ledger.total("real_rows") + ledger.total("generated_rows")
        steps.append(
            Composed(
                t=access.t,
                rows=int(corpus.count.sum(-1).max()) if corpus.has_rows else None,
                chain_shape=corpus.chain_shape,
                values={name: value.clone() for name, value in tensors_of(corpus).items()},
                lent=Lent.of(corpus),
                drawn=int(torch.as_tensor(drawn).max()),
            )
        )
    return steps


@check(essential=True, worlds=one_per_kind)
def check_protocol_right_number_of_rows(case: CellCase) -> None:
    """Generation t reads between n rows (a fixed budget) and (t + 1) n rows (everything ever
    written)."""
    title, n = case.cell.protocol.title(), case.cell.n
    for step in composed(case, (2,)):
        if step.rows is None:
            continue
        if step.chain_shape != (2,):
            raise CheckFailure(
                f"{title} composed a corpus with chain shape {step.chain_shape}; expected (2,)"
            )
        most = n * (step.t + 1)
        if not n <= step.rows <= most:
            raise CheckFailure(
                f"{title} gives generation {step.t} {step.rows} rows; expected between {n} (a "
                f"fixed budget) and {most} "
                "(everything ever written), including rows of weight 0: ask for access.n rows in "
                "total"
            )


@check(worlds=one_per_kind)
def check_protocol_memory_survives_pickling(case: CellCase) -> None:
    """A protocol continues the same after its memory was saved and loaded."""
    pairs = zip(composed(case, (2,)), composed(case, (2,), reload=True), strict=True)
    for straight, reloaded in pairs:
        alike(
            straight.values,
            reloaded.values,
            f"{case.cell.protocol.title()} continues differently after its memory was saved and "
            f"loaded; keep corpora and "
            "plain values in the memory, and nothing in the protocol itself",
        )


@check(worlds=one_per_kind)
def check_protocol_outputs_stay_untouched(case: CellCase) -> None:
    """A protocol does not change, later on, what it returned."""
    for step in composed(case, (2,)):
        step.lent.untouched(f"{case.cell.protocol.title()}.compose")


@check(worlds=one_per_kind)
def check_protocol_chain_shapes_agree(case: CellCase) -> None:
    """The first chain reads the same rows in every chain shape."""
    by_itself = composed(case, ())
    for chain_shape in CHAIN_SHAPES[1:]:
        for one, step in zip(by_itself, composed(case, chain_shape), strict=True):
            alike(
                chain_at(step.values, (0,) * len(chain_shape)),
                one.values,
                f"{case.cell.protocol.title()} composes generation {step.t} differently in chain "
                f"shape {chain_shape} than "
                "in a single run; keep chains apart",
            )


@check(worlds=one_per_kind)
def check_protocol_is_repeatable(case: CellCase) -> None:
    """A protocol composes the same twice, whatever the state of global random generators."""
    with Undisturbed():
        disturb(1)
        again = _composed(case, (2,))
    for one, other in zip(composed(case, (2,)), again, strict=True):
        alike(
            one.values,
            other.values,
            f"{case.cell.protocol.title()} composes generation {one.t} differently the second "
            "time; draw only from access.rng (never torch.rand, numpy.random or random), and keep "
            "nothing in the protocol itself",
        )


@check(worlds=one_per_kind)
def check_protocol_rows_on_ledger(case: CellCase) -> None:
    """A protocol returns no more rows than the ledger counted."""
    for step in composed(case, (2,))[:3]:
        if step.rows is not None and step.rows > step.drawn:
            raise CheckFailure(
                f"{case.cell.protocol.title()} returns more rows than it drew; all rows come from "
                f"access.real and "
                "access.synthetic, and each is returned once"
            )


@check(essential=True, worlds=every_pair)
def check_protocol_runs_and_resumes(case: CellCase) -> None:
    """Every cell runs with finite losses, and ends the same if resumed after generation 0."""
    straight = run_cell(case.cell)
    finite_losses(case.cell, straight)
    resumed = run_cell(case.cell, pickle.loads(pickle.dumps(straight[0])))
    alike(
        straight[-1].scores,
        resumed[-1].scores,
        f"{case.cell.label}: a run that is resumed after generation 0 ends differently from one "
        f"that was not interrupted",
    )
