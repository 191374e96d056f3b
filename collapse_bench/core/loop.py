"""The loop.  A generator of generations; progress, saving, early stopping and plots are consumers of it.

The engine knows no names, no files and no plugins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ContractError, Incompatible
from .access import Access
from .cell import Cell
from .components import DataGenerator, Mitigation, Model, Protocol, Teacher
from .contracts import curated, same_component, untouched, versions, weighed
from .corpus import Corpus
from .ledger import Ledger
from .replicates import lift
from .rng import Stream
from .tracks import PROTOCOL


@dataclass(frozen=True, eq=False)
class Generation:
    """One moment of a run, and all that is needed to go on from it."""

    t: int  # -1 before the first
    teacher: Teacher  # as fitted, before any steering
    first: Teacher | None = None  # the teacher of generation 0
    memory: object = None  # what the protocol remembers
    scores: dict[str, Tensor] | None = None  # losses (R,)
    ledger: Ledger | None = None
    # (R,) chains that once had nothing to read, NaN from then on; None: no chain has
    starved: Tensor | None = None
    size: Tensor | None = None  # (R,) effective sample size of the lesson
    # wall time of writing, fitting and judging, all chains together
    seconds: Mapping[str, float] | None = None


Act = tuple[str, Mitigation]


def nature(cell: Cell) -> DataGenerator:
    """The data generator of the cell with the truth of each seed drawn."""
    return cell.data.sample_truth(Stream(cell.seeds, device=cell.device).at("truth"))


def generations(
    cell: Cell, start: Generation | None = None, data: DataGenerator | None = None
) -> Iterator[Generation]:
    """Run the cell from nature, or go on from ``start``; yields generations t = 0 .. cell.generations.

    ``data`` is ``nature(cell)``, where a consumer has drawn it already and looks at teachers through the same eyes.
    """
    reason = cell.incompatibility()
    if reason is not None:
        raise Incompatible(reason)
    rng, data = Stream(cell.seeds, device=cell.device), data or nature(cell)
    flawed = cell.first_teacher and cell.first_teacher.sample_truth(rng.at("first"), data)
    now = start or Generation(-1, teacher=flawed or data, ledger=Ledger())
    while now.t < cell.generations:
        t = now.t + 1
        here = rng.at("generation", t)
        source = data if cell.nature else now.teacher
        acts = (
            cell.acts if source is not data else ()
        )  # where the teacher is nature there is nothing to mitigate
        ledger, clock = now.ledger.under(cell.limits), Clock()
        with ledger.witnessing():
            n = sized(acts, cell.size(t), t)
            age, decode = t if flawed is None else t + 1, cell.protocol.decode
            access = Access(
                data, source, now.first, t, n, here, rng, ledger, age=age, decode=decode
            )
            access = access._taught_by(steer(acts, source, access), remember(acts))
            corpus, memory = composed(cell.protocol, access, now.memory)
            ledger.charge_growth(now.ledger, n, cell.size(t))
            training_set = curate(acts, corpus.anonymous(here.at("shuffle")), access)
            model = adapt(acts, lift(cell.model), access)
            clock.lap("write")
            teacher, starved = taught(model, training_set, now, data, here.at("fit"))
            clock.lap("fit")
            ledger.charge(PROTOCOL, "fits", 1)
            access._close()
            scores = judged(data, teacher, rng.at("exam"), starved)
            clock.lap("judge")
        size, first = training_set.effective_size, now.first or teacher
        now = Generation(t, teacher, first, memory, scores, ledger, starved, size, clock.laps)
        yield now


class Clock:
    """Wall time of the parts of a generation: ``laps`` by name, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._since = now - self._since, now


def sized(acts: tuple[Act, ...], n: int, t: int) -> int:
    """How many rows generation t reads, after every mitigation has had its say."""
    for name, act in acts:
        n = act.size(n, t)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ContractError(f"{name}.size returned {n!r}; a whole number of rows >= 1 was due")
    return n


def steer(acts: tuple[Act, ...], teacher: Teacher, access: Access) -> Teacher:
    """The teacher as every mitigation in turn would have it read out."""
    for name, act in acts:
        teacher = same_component(name, "steer", act.steer(teacher, access._by(name)), Teacher)
    return teacher


def composed(protocol: Protocol, access: Access, memory: object) -> tuple[Corpus, object]:
    """What the protocol gives to read, and what it remembers."""
    corpus, memory = protocol.compose(access, memory)
    return weighed(
        protocol.title(), "compose", same_component(protocol.title(), "compose", corpus, Corpus)
    ), memory


def curate(
    acts: tuple[Act, ...], corpus: Corpus, access: Access, remembering: bool = False
) -> Corpus:
    """The lesson, after every mitigation that curates; those that remember have acted on fresh rows before.

    Rows that a method adds stand last, so that their place would tell the next one where they came from: it meets what
    was changed in a new order.
    """
    changed = False
    for name, act in acts:
        if act.applies_to_memory is remembering:
            if remembering:
                access._by(name).provenance(
                    corpus
                )  # it is handed what the teacher wrote, and so knows that it is
            lent = (
                corpus.anonymous(access._here.at("shuffle", name))
                if changed and not remembering
                else corpus
            )
            out = curated(name, act, lent, access._by(name))
            if (
                out is not lent
            ):  # who changes nothing leaves the order to the next one as it was, too
                corpus, changed = out, True
    return corpus


def remember(acts: tuple[Act, ...]) -> Callable[[Corpus, Access], Corpus] | None:
    """What passes over fresh synthetic rows so that it persists, or None."""
    if not any(act.applies_to_memory for _, act in acts):
        return None
    return lambda corpus, access: curate(acts, corpus, access, remembering=True)


def adapt(acts: tuple[Act, ...], model: Model, access: Access) -> Model:
    """The model as every mitigation in turn would have it learn; wrappers always meet a lifted model."""
    for name, act in acts:
        model = same_component(name, "adapt", act.adapt(model, access._by(name)), Model)
    return lift(model)


def taught(model: Model, training_set: Corpus, now: Generation, data: DataGenerator, rng: Stream):
    """(teacher, starved chains).  A chain without any weight reads a dummy lesson and is never judged."""
    starved = now.starved
    if not training_set.unit:
        empty = ~(training_set.mass > 0)
        if empty.any():
            training_set = training_set.weighted(
                torch.where(
                    empty[..., None], torch.ones_like(training_set.weight), training_set.weight
                )
            )
            starved = empty if starved is None else starved | empty
    before = None if isinstance(now.teacher, DataGenerator) else now.teacher
    lent = versions(training_set)
    teacher = same_component(model.title(), "fit", model.fit(training_set, rng, before), Teacher)
    untouched(model.title(), "fit", training_set, lent)
    return teacher, starved


def judged(
    data: DataGenerator, teacher: Teacher, rng: Stream, starved: Tensor | None
) -> dict[str, Tensor]:
    """The exam: losses (R,) of the teacher as fitted, NaN for starved chains."""
    scores = data.losses(teacher, rng)
    if data.primary not in scores:
        raise ContractError(
            f"{data.title()}.judge returned no {data.primary!r}, which it names as its primary loss"
        )
    for name, value in scores.items():
        if tuple(value.shape) != rng.chain_shape:
            raise ContractError(
                f"{data.title()}.judge returned {name} of shape {tuple(value.shape)}; {rng.chain_shape} was due"
            )
        if starved is not None:
            scores[name] = torch.where(starved, torch.nan, value.double())
    return scores
