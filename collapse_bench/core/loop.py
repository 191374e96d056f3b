"""The loop: a generator of generations.  Progress, saving and plots are consumers of it.

The engine knows no names, no files and no plugins.  Shapes: ``R`` stands for the dimensions of the
chains, which come first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ContractError, Incompatible
from .cell import Cell
from .components import DataGenerator, Mitigation, Model, Teacher, size_takes_memory
from .contracts import Loan, curated, positive_number, same_component, same_corpus, weighed
from .corpus import Corpus
from .desk import Desk
from .examined import examined
from .ledger import Ledger
from .meter import metered, metering, paid_fit
from .plain import plain
from .replicates import lift
from .rng import Stream
from .tracks import PROTOCOL


@dataclass(frozen=True, eq=False)
class Generation:
    """The state of a run after one generation: everything that is needed to continue."""

    t: int  # -1 before the first
    teacher: Teacher  # as fitted, before any steering
    first: Teacher | None = None  # the teacher of generation 0
    memory: object = None  # what the protocol keeps
    scores: Mapping[str, Tensor] = field(default_factory=dict)  # losses (R,)
    ledger: Ledger = field(default_factory=Ledger)
    # (R,) bool, chains whose training set was once empty: their losses are NaN from then on
    starved: Tensor | None = None
    # (R,) effective sample size of the training set
    size: Tensor = field(default_factory=lambda: torch.empty(0))
    # wall time of writing, fitting and judging, all chains together
    seconds: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)  # name of a mitigation -> its memory


Act = tuple[str, Mitigation]  # the name under which a mitigation draws and is charged, and it


def root_of(cell: Cell) -> Stream:
    """The random numbers of a cell: one stream per seed, from which all others are forked."""
    root = Stream(cell.seeds, device=cell.device)
    return root.one_way() if cell.one_way else root


def nature(cell: Cell) -> DataGenerator:
    """The data generator of the cell with the truth of each seed drawn.

    Raises ContractError for a cell without seeds, which is all that plugins see.
    """
    if not cell.seeds:
        raise ContractError("this cell has no seeds, so that no truth can be drawn from it")
    return cell.data.sample_truth(root_of(cell).at("truth"))


def generations(
    cell: Cell, start: Generation | None = None, data: DataGenerator | None = None
) -> Iterator[Generation]:
    """Run the cell from nature, or continue from ``start``; yields every generation up to T.

    ``data`` is ``nature(cell)``, for callers that have it already.  Raises Incompatible if the
    parts of the cell do not fit together, ContractError if a plugin breaks its contract, and
    OverBudget if a mitigation exceeds the budget.
    """
    reason = cell.incompatibility()
    if reason is not None:
        raise Incompatible(reason)
    rng, data = root_of(cell), data or nature(cell)
    flawed = cell.first_teacher and cell.first_teacher.sample_truth(rng.at("first"), data)
    now = start or Generation(-1, teacher=flawed or data, ledger=Ledger())
    while now.t < cell.generations:
        now = next_generation(cell, now, data, rng, flawed is not None)
        yield now


def next_generation(
    cell: Cell, now: Generation, data: DataGenerator, rng: Stream, flawed_source: bool
) -> Generation:
    """One step: the teacher writes a training set, a new model learns from it and is judged."""
    t = now.t + 1
    world = data.at(t)
    from_nature = cell.nature or cell.untrained or now.teacher is data
    source = world if from_nature else now.teacher
    # if the teacher is nature, there is nothing to mitigate
    acts = () if from_nature else cell.acts
    ledger, clock = now.ledger.under(cell.limits), Clock()
    desk = Desk(
        world,
        source,
        t,
        cell.size(t),
        rng,
        ledger,
        first=now.first,
        age=t + flawed_source,  # rows of a flawed source are one generation from nature
        decode=cell.protocol.decode,
        kept=now.kept,
        guarded=cell.foreign,
        beginning=data,
        composition=cell.protocol.composition,
    )
    with ledger.witnessing(), metering(ledger, rng.chain_shape):
        desk.n = sized(acts, desk)
        desk.teacher = steer(acts, desk)
        corpus, memory = composed(cell, acts, desk, now.memory)
        training_set = curate(acts, corpus.anonymous(desk.rng.at("shuffle")), desk)
        model = adapt(acts, lift(cell.model), desk)
        clock.lap("write")
        if cell.untrained:
            teacher, starved = world.trivial(), None
        else:
            teacher, starved = fitted(model, training_set, now, desk)
        clock.lap("fit")
        ledger.charge(PROTOCOL, "fits", 1)
        desk.close()
        scores = judged(world, as_judged(cell, teacher), rng.at("exam"), starved)
        clock.lap("judge")
    size, first = training_set.effective_size, now.first or teacher
    return Generation(
        t, teacher, first, memory, scores, ledger, starved, size, clock.laps, desk.kept
    )


class Clock:
    """Wall time of the parts of a generation: ``laps`` maps a name to seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._since = now - self._since, now


# -- the four stages of a mitigation ---------------------------------------------------------------


def sized(acts: tuple[Act, ...], desk: Desk) -> int:
    """The number of rows of this generation, after each mitigation in turn has changed it."""
    n = desk.n
    for name, act in acts:
        memory = (desk.recall(name),) if size_takes_memory(act) else ()
        n = positive_number(name, "size", act.size(n, desk.t, *memory))
    return n


def steer(acts: tuple[Act, ...], desk: Desk) -> Teacher:
    """The teacher, after each mitigation in turn has changed how it is sampled."""
    teacher = desk.teacher
    for name, act in acts:
        teacher = same_component(name, "steer", act.steer(teacher, desk.access(name)), Teacher)
    return teacher


def curate(acts: tuple[Act, ...], corpus: Corpus, desk: Desk, into_memory: bool = False) -> Corpus:
    """The corpus, after each mitigation in turn has curated it.

    Mitigations that apply to the protocol's memory act on fresh synthetic rows (``into_memory``),
    the others on the training set.  Rows that a mitigation adds come last, so their position would
    reveal their origin; the next mitigation gets a changed corpus in a new random order.
    """
    changed = False
    for name, act in acts:
        if act.applies_to_memory is not into_memory:
            continue
        access = desk.access(name)
        # here it gets only rows of the teacher, so it knows their provenance and is charged for it
        if into_memory:
            access.provenance(corpus)
        reorder = changed and not into_memory
        lent = corpus.anonymous(desk.rng.at("shuffle", name)) if reorder else corpus
        out = curated(name, act, lent, access, desk.guarded)
        if out is not lent:  # one that changes nothing leaves the order as it was
            desk.charge_rebuilt(name, lent, out)
            corpus, changed = out, True
    return corpus


def adapt(acts: tuple[Act, ...], model: Model, desk: Desk) -> Model:
    """The model, after each mitigation in turn has changed how it learns.

    Wrappers always get a lifted model.
    """
    for name, act in acts:
        lent = model if type(act).adapt is Mitigation.adapt else metered(model, name)
        out = same_component(name, "adapt", act.adapt(lent, desk.access(name)), Model)
        model = model if out is lent else out
    return lift(model)


# -- what the engine does itself -------------------------------------------------------------------


def composed(
    cell: Cell, acts: tuple[Act, ...], desk: Desk, memory: object
) -> tuple[Corpus, object]:
    """(the training set of the protocol, what the protocol keeps)."""

    def edit(corpus: Corpus) -> Corpus:
        return curate(acts, corpus, desk, into_memory=True)

    who, before = cell.protocol.title(), desk.ledger.copy()
    edits = any(act.applies_to_memory for _, act in acts)
    access = desk.access(PROTOCOL, edit if edits else None)
    corpus, memory = cell.protocol.compose(access, memory)
    weighed(who, "compose", same_corpus(who, "compose", corpus))
    desk.ledger.charge_growth(before, desk.n, cell.size(desk.t))
    return corpus, memory


def fitted(
    model: Model, training_set: Corpus, now: Generation, desk: Desk
) -> tuple[Teacher, Tensor | None]:
    """(the new teacher, starved chains).

    A chain whose rows all have weight 0 is starved.  It is fitted to all its rows with weight 1, so
    that the other chains continue, and its losses are NaN from then on.
    """
    starved = now.starved
    if not training_set.unit:
        empty = ~(training_set.mass > 0)
        if empty.any():
            weight = training_set.weight
            training_set = training_set.weighted(
                torch.where(empty[..., None], torch.ones_like(weight), weight)
            )
            starved = empty if starved is None else starved | empty
    before = None if isinstance(now.teacher, DataGenerator) else now.teacher
    loan = Loan(training_set, desk.guarded)
    out = paid_fit(model, loan.lent, desk.rng.at("fit"), before)
    loan.check(model.title(), "fit")
    return same_component(model.title(), "fit", out, Teacher), starved


def as_judged(cell: Cell, teacher: Teacher) -> Teacher:
    """The teacher as losses and diagnostics meet it: guarded where a part of the cell is not of the
    suite."""
    return examined(teacher) if cell.foreign else teacher


def judged(
    data: DataGenerator, teacher: Teacher, rng: Stream, starved: Tensor | None
) -> dict[str, Tensor]:
    """Losses (R,) of the teacher as fitted, on the same test data in every generation.

    NaN for starved chains.
    """
    scores = dict(data.losses(teacher, rng))
    if data.primary not in scores:
        raise ContractError(
            f"{data.title()}.losses returned no {data.primary!r}, which it names as its primary "
            "loss"
        )
    for name in scores:
        value = scores[name] = plain(scores[name], f"{data.title()}.losses: {name}")
        if tuple(value.shape) != rng.chain_shape:
            raise ContractError(
                f"{data.title()}.losses returned {name} of shape {tuple(value.shape)}; expected "
                f"{rng.chain_shape}, one loss per chain"
            )
        if starved is not None:
            scores[name] = torch.where(starved, torch.nan, value.double())
    return scores
