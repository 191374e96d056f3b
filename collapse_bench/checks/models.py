"""Checks of models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ..core.components import DataGenerator, Model
from ..core.corpus import Corpus
from ..core.replicates import lift
from ..errors import Incompatible
from ..registry.discovery import Registry
from .compare import (
    CheckFailure,
    Lent,
    Undisturbed,
    alike,
    behaviour,
    chain_at,
    disturb,
    shown_by,
    z_score,
)
from .world import BATCHES, JUNK, ROWS, Check, cells_of, desk, name_of, probe_of


def model_checks(model: Model, among: Registry) -> Iterator[tuple[str, Check]]:
    tried = set()
    for cell in cells_of(among, model=model):
        if cell.data.kind in tried and cell.data.title() not in tried:
            continue  # one generator per kind of data, in both its sizes
        tried |= {cell.data.kind, cell.data.title()}
        data, on = cell.data, f"on {name_of(cell.data)}"
        yield f"zero weight equals absent, {on}", partial(_zero_is_absent, model, data)
        yield f"weight two equals twice, {on}", partial(_two_is_twice, model, data, "weight")
        yield f"count two equals twice, {on}", partial(_two_is_twice, model, data, "count")
        yield f"native equals loop, {on}", partial(_native_is_loop, model, data)
        yield f"inputs untouched, {on}", partial(_fit_untouched, model, data)
        yield f"replicate shapes agree, {on}", partial(_fit_shapes, model, data)
        yield f"fit twice is fit once, {on}", partial(_fit_twice, model, data)
    if not tried:
        yield "has data to learn from", _nothing_fits


def _nothing_fits() -> None:
    raise Incompatible("no registered data generator fits this model")


def _rows(corpus: Corpus, pick: Tensor | slice, **more) -> Corpus:
    """Some rows of a corpus as a corpus of their own."""
    before = (slice(None),) * len(corpus.chain_shape)
    return Corpus.of(
        corpus.x[(*before, pick)],
        corpus.y[(*before, pick)],
        corpus.chain_shape,
        labels=corpus.labels,
        **more,
    )


def _same_lesson(model: Model, generator: DataGenerator, pair, sentence: str) -> None:
    """Fail where a model learns something else from the second corpus than from the first.

    ``pair(corpus)`` gives both.  A model that is exact shows the same numbers; another the same mean loss.
    """
    exact = model.exact
    chain_shape = (3,) if exact else (24,)
    data, access = desk(generator, chain_shape)
    x, y, rng = probe_of(data, chain_shape)
    lessons = [
        copy.deepcopy(corpus) for corpus in pair(access.real(ROWS))
    ]  # a fit may spoil its own alone
    teachers = [lift(model).fit(corpus, rng.at("fit")) for corpus in lessons]
    if exact:
        alike(*(behaviour(teacher, x, y, rng, drawing=False) for teacher in teachers), sentence)
        return
    losses = [data.losses(teacher, rng.at("exam"))[data.primary] for teacher in teachers]
    z = z_score(losses[0] - losses[1])
    if abs(z) > 5:
        raise CheckFailure(f"{sentence} (mean {data.primary}: {z:+.1f} standard errors apart)")


def _zero_is_absent(model: Model, generator: DataGenerator) -> None:
    def pair(corpus):
        weight = torch.ones(*corpus.chain_shape, ROWS, dtype=torch.float64)
        weight[..., 1::5] = 0
        y = corpus.y.clone()
        if y.is_floating_point():
            y[(slice(None),) * len(corpus.chain_shape) + (slice(1, None, 5),)] += JUNK
        there = torch.arange(ROWS)[weight.reshape(-1, ROWS)[0] > 0]
        return corpus.edited(y=y).weighted(weight), _rows(corpus, there)

    _same_lesson(
        model,
        generator,
        pair,
        f"{model.title()} learns from rows of weight 0, which must count as absent; filters only set weights to 0: "
        "multiply every sum over rows by corpus.multiplicity (or use corpus.moments() or tally()), and count "
        "sizes as multiplicity.sum(-1), never as corpus.n",
    )


def _two_is_twice(model: Model, generator: DataGenerator, what: str) -> None:
    def pair(corpus):
        if what == "weight":
            twos = corpus.weighted(
                torch.where(torch.arange(ROWS) < 7, 2.0, 1.0).expand(*corpus.chain_shape, ROWS)
            )
        else:
            count = torch.where(torch.arange(ROWS) < 7, 2, 1).expand(*corpus.chain_shape, ROWS)
            twos = _rows(corpus, slice(None), count=count)
        return twos, corpus + _rows(corpus, slice(0, 7))

    _same_lesson(
        model,
        generator,
        pair,
        f"{model.title()} learns something else from a row of {what} 2 than from the row written twice; multiply every "
        "sum over rows by corpus.multiplicity, which is weight times count, and take its sum as the sample size",
    )


def _native_is_loop(model: Model, generator: DataGenerator) -> None:
    data, access = desk(generator, (2, 3))
    x, y, rng = probe_of(data, (2, 3))
    corpus = access.real(ROWS)
    whole = behaviour(lift(model).fit(copy.deepcopy(corpus), rng.at("fit")), x, y, rng)
    for r in product(range(2), range(3)):
        alone = behaviour(model.fit(corpus[r], rng.at("fit")[r]), x[r], y[r], rng[r])
        alike(
            chain_at(whole, r),
            alone,
            f"{model.title()} fitted to replicates together is not what it is fitted to replicate {r} alone; a native "
            "model may mix no replicates: sums over .sum(-1) and matrices with .mT and '...', or leave "
            "vectorized = False",
        )


def _fit_untouched(model: Model, generator: DataGenerator) -> None:
    data, access = desk(generator, (2,))
    x, y, rng = probe_of(data, (2,))
    rows = access.real(ROWS)
    for corpus in (rows, rows.weighted(torch.full((2, ROWS), 0.5)) + access.real(ROWS)):
        # what is shown of one part is lent itself, and what is shown of two is a copy, which is lent as well
        training_set, one = (corpus, rng) if model.vectorized else (corpus[0], rng[0])
        lent, sight = Lent.of(corpus), Lent(**shown_by(training_set))
        model.fit(training_set, one.at("fit"))
        for held in (sight, lent):
            held.untouched(f"{model.title()}.fit")
    asked, first = Lent(x=x, y=y), lift(model).fit(corpus, rng.at("fit"))
    before = behaviour(first, x, y, rng)
    lift(model).fit(access.real(ROWS), rng.at("fit again"), first)
    asked.untouched(f"the teacher that {model.title()}.fit returns")
    alike(
        before,
        behaviour(first, x, y, rng),
        f"{model.title()}.fit changed the teacher that it was given as `before`; copy its parameters first",
    )


def _fit_shapes(model: Model, generator: DataGenerator) -> None:
    seen = {}
    for chain_shape in BATCHES:
        data, access = desk(generator, chain_shape)
        x, y, rng = probe_of(data, chain_shape)
        seen[chain_shape] = behaviour(lift(model).fit(access.real(ROWS), rng.at("fit")), x, y, rng)
        for verb in ("mean_answer", "logp", "answer"):
            value = seen[chain_shape].get(verb)
            if value is not None and tuple(value.shape[: len(chain_shape) + 1]) != (
                *chain_shape,
                ROWS,
            ):
                raise CheckFailure(
                    f"the teacher of {model.title()} returned {verb} of shape {tuple(value.shape)}; {(*chain_shape, ROWS)} in "
                    "front was due"
                )
        if "logp" in seen[chain_shape] and seen[chain_shape]["logp"].ndim != len(chain_shape) + 2:
            raise CheckFailure(
                f"the teacher of {model.title()} returned logp of shape {tuple(seen[chain_shape]['logp'].shape)}; (R, n, L) is "
                "due, L = 1 off sequences: add [..., None]"
            )
        if seen[chain_shape]["answer"].shape != y.shape:
            raise CheckFailure(
                f"the teacher of {model.title()} answers in shape {tuple(seen[chain_shape]['answer'].shape)}, nature in "
                f"{tuple(y.shape)}"
            )
    for chain_shape in BATCHES[1:]:
        alike(
            chain_at(seen[chain_shape], (0,) * len(chain_shape)),
            seen[()],
            f"{model.title()} learns other things in replicates {chain_shape} than from the same run alone",
        )


def _fit_twice(model: Model, generator: DataGenerator) -> None:
    data, access = desk(generator, (2,))
    x, y, rng = probe_of(data, (2,))
    corpus, seen = access.real(ROWS), []
    with Undisturbed():
        for seed in (1, 2):
            disturb(seed)
            seen.append(behaviour(lift(model).fit(copy.deepcopy(corpus), rng.at("fit")), x, y, rng))
    alike(
        *seen,
        f"{model.title()} fitted twice to one corpus with one stream gives two teachers; draw from the rng that is handed "
        "in (rng.normal, rng.torch_generator(), never torch.rand), and keep nothing between fits",
    )
