"""Runs and scenes of cells, on which protocols and mitigations are checked.

What does not depend on the plugin under test is worked out once per process and copied.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..core.access import Access
from ..core.cell import Cell
from ..core.components import DataGenerator, Mitigation, Model, Protocol, Teacher
from ..core.corpus import Corpus
from ..core.desk import Desk
from ..core.ledger import Ledger
from ..core.loop import Generation, generations
from ..core.replicates import lift
from ..core.tracks import PROTOCOL
from ..errors import ContractError, Incompatible
from ..registry.discovery import Registry
from .compare import CheckFailure, RunFailure
from .kit import World
from .world import Key, Lazy, kinds_of_data, name_of, stream_of


def composed_by(
    cell: Cell, chain_shape: tuple[int, ...], last: int = 3, reload: bool = False
) -> Iterator[tuple[Access, Corpus, Any]]:
    """(access, corpus, memory) of generations 0 .. last, without mitigations; ``reload`` pickles
    the memory."""
    rng = stream_of(chain_shape)
    data = cell.data.sample_truth(rng.at("truth"))
    teacher: Teacher = data
    first: Teacher | None = None
    memory, ledger = None, Ledger()
    for t in range(last + 1):
        made = cell.protocol.composition
        desk = Desk(data, teacher, t, cell.size(t), rng, ledger, first, composition=made)
        access = desk.access(PROTOCOL)
        out = cell.protocol.compose(access, memory)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], Corpus)):
            raise CheckFailure(
                f"{cell.protocol.title()}.compose must return (corpus, memory); memory is None "
                f"where nothing is kept"
            )
        corpus, memory = out
        yield access, corpus, memory
        if reload:
            memory = pickle.loads(pickle.dumps(memory))
        teacher = lift(cell.model).fit(corpus, desk.rng.at("fit"))
        first = first or teacher


@dataclass(frozen=True)
class Onlooker(Mitigation):
    """Draws many numbers, changes nothing, and notes what it drew."""

    drawn: list = field(default_factory=list)

    def curate(self, corpus, access):
        self.drawn.append(
            {
                "own": access.rng.uniform(3),
                "called": access._desk.stream(access.user, "onlooker").uniform(3),
            }
        )
        access.rng.normal(5)
        return corpus


@dataclass(frozen=True, eq=False)
class Scene:
    """What a mitigation meets at generation 2."""

    mitigation: Mitigation
    access: Access
    corpus: Corpus
    model: Model

    @classmethod
    def of(cls, cell: Cell, chain_shape: tuple[int, ...]) -> Scene:
        access, corpus = _scene(key_of(cell), chain_shape)
        return cls(cell.mitigations[0], access, corpus, lift(cell.model))

    def stages(self) -> tuple[Teacher, Corpus, Model]:
        """What the stages steer, curate and adapt return, in the order of the loop.  Call it once:
        it changes the desk."""
        desk, user = self.access._desk, self.mitigation.title()
        desk.teacher = self.mitigation.steer(desk.teacher, desk.access(user))
        curated = self.mitigation.curate(self.corpus, desk.access(user))
        adapted = self.mitigation.adapt(self.model, desk.access(user))
        return desk.teacher, curated, adapted

    @property
    def data(self) -> DataGenerator:
        return self.access._desk.data


def key_of(cell: Cell) -> Key:
    """The cell without its mitigations, as the key of a cache."""
    return Key(dataclasses.replace(cell, mitigations=()))


def _scene(key: Key, chain_shape: tuple[int, ...]) -> tuple[Access, Corpus]:
    """A copy of generation 2, which the mitigation under test may spoil without harm to the next
    check."""
    return copy.deepcopy(_generation_2(key, chain_shape))


@lru_cache(maxsize=64)
def _generation_2(key: Key, chain_shape: tuple[int, ...]) -> tuple[Access, Corpus]:
    *_, (access, corpus, _) = composed_by(key.component, chain_shape, last=2)
    return access, corpus.anonymous(stream_of(chain_shape).at("shuffle"))


@lru_cache(maxsize=64)
def drawn_without(key: Key) -> list[dict[str, Tensor]]:
    """What an onlooker draws where no other mitigation takes part."""
    onlooker = Onlooker()
    run_cell(dataclasses.replace(key.component, mitigations=(onlooker,)))
    return onlooker.drawn


# -- runs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CellCase:
    """A cell with the protocol or the mitigation under test in it."""

    cell: Cell

    def broken_partner(self, problem: Exception) -> str | None:
        """None where the cell runs without the plugin under test, else one sentence that says what
        fails."""
        cell = dataclasses.replace(self.cell, mitigations=())
        if not self.cell.mitigations:
            cell = dataclasses.replace(cell, protocol=Reference())
        return _failure_of(key_of(cell))


@dataclass(frozen=True)
class Reference(Protocol):
    """Each generation reads what the teacher before it wrote."""

    def compose(self, access, memory):
        return access.synthetic(access.n), None


@lru_cache(maxsize=256)
def _failure_of(key: Key) -> str | None:
    try:
        run = run_cell(key.component)
        finite_losses(key.component, run)
        pickle.dumps(run[-1])
    except Incompatible:
        return None
    except Exception as problem:
        name = f"{name_of(key.component.data)} | {name_of(key.component.model)}"
        return f"{name} fails by itself: {type(problem).__name__}: {problem}"
    return None


def per_kind(registry: Registry, cells: Callable[..., Iterator[Cell]]) -> Iterator[World]:
    """One world for each kind of data: the cells of that kind whose parts go together, found when
    they are needed."""
    for kind in kinds_of_data(registry):
        candidates = Lazy(map(CellCase, cells(kind=kind)))
        if candidates:
            yield World(f"{kind} data", candidates)


def run_cell(cell: Cell, start: Generation | None = None) -> list[Generation]:
    """All generations of a cell.  Raises RunFailure where a plugin breaks a contract."""
    try:
        return list(generations(cell, start))
    except ContractError as broken:
        raise RunFailure(str(broken)) from broken


@lru_cache(maxsize=8)
def run_of(case: CellCase) -> list[Generation]:
    """The run of a case, which the checks of one plugin share."""
    return run_cell(case.cell)


def finite_losses(cell: Cell, run: list[Generation]) -> None:
    """Raise RunFailure where a loss is not finite and its chain had rows to read."""
    for generation in run:
        loss = generation.scores[cell.data.primary]
        starved = False if generation.starved is None else generation.starved
        if not (torch.isfinite(loss) | starved).all():
            raise RunFailure(
                f"{cell.label}: the loss of generation {generation.t} is {loss.tolist()}"
            )
