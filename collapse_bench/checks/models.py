"""Checks of models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from ..core.components import DataGenerator, Model, Teacher
from ..core.corpus import Corpus
from ..core.replicates import lift
from ..errors import Incompatible
from .compare import (
    CheckFailure,
    Lent,
    Undisturbed,
    alike,
    answers_as_stated,
    behaviour,
    chain_at,
    disturb,
    tensors_of,
    z_score,
)
from .kit import Subject, World, check, described
from .world import (
    CHAIN_SHAPES,
    JUNK,
    ROWS,
    Key,
    Lazy,
    access_at_0,
    cells_of,
    kinds_of_data,
    name_of,
    probe_of,
    stream_of,
)


@dataclass(frozen=True, eq=False)
class OnData:
    """A model under test and data that it says it can learn from."""

    model: Model
    data: DataGenerator

    @property
    def title(self) -> str:
        return self.model.title()


@lru_cache(maxsize=1024)
def first_fit(case: OnData) -> Teacher | Exception:
    """The teacher of one chain, fitted to real rows and asked once; or the error raised."""
    try:
        data, access = access_at_0(case.data, ())
        x, _, rng = probe_of(data, ())
        corpus = access.real(ROWS)
    except Exception as problem:
        return Incompatible(f"{name_of(case.data)} fails by itself: {problem}")
    try:
        teacher = case.model.fit(corpus, rng.at("fit"))
        if not isinstance(teacher, Teacher):
            raise CheckFailure(
                f"{case.title}.fit returned {type(teacher).__name__}; expected a Teacher (is a "
                f"return missing?)"
            )
        teacher.answer(x, rng.at("answer"))
    except Exception as problem:
        return problem
    return teacher


def accepted(subject: Subject[Model]) -> Iterator[World]:
    """A generator for each interface that the model says it can read, and its other size."""
    interfaces, titles = set(), set()
    for cell in cells_of(subject.registry, subject.thorough, model=subject.component):
        interface = _interface(Key(cell.data))
        if interface is None or (interface in interfaces and cell.data.title() not in titles):
            continue
        interfaces.add(interface)
        titles.add(cell.data.title())
        yield World(name_of(cell.data), (OnData(subject.component, cell.data),))


@lru_cache(maxsize=256)
def _interface(generator: Key) -> tuple | None:
    """What a model must handle: generators with equal interfaces are alike to it; None of one that
    is broken."""
    try:
        data, _ = access_at_0(generator.component, ())
        rng = stream_of(()).at("interface")
        x = data.ask(2, rng.at("x"))
        y = data.answer(x, rng.at("y"))
    except Exception:
        return None
    return (
        data.kind,
        x.dtype,
        min(x.shape[-1], 2),
        y.ndim,
        y.is_floating_point() and min(y[0].numel(), 2),
        data.labels is None,
        data.contexts is None,
        data.continues_prompt,
    )


def readable(subject: Subject[Model]) -> Iterator[World]:
    """For each kind of data the first generator that the model learns from, in the sizes in which
    it does.

    A generator that the model accepts and fails on is left to check_model_fits_what_it_accepts.
    """
    for kind in kinds_of_data(subject.registry):
        cells = cells_of(subject.registry, subject.thorough, kind=kind, model=subject.component)
        cases = Lazy(OnData(subject.component, cell.data) for cell in cells)
        if not cases:
            continue
        good = next((case for case in cases if isinstance(first_fit(case), Teacher)), None)
        if good is None:
            reason = str(first_fit(next(iter(cases))))
            yield World(f"{kind} data", (Unreadable(subject.title, kind, reason),))
            continue
        for case in cases:
            if case.data.title() == good.data.title() and isinstance(first_fit(case), Teacher):
                yield World(name_of(case.data), (case,))


class Unreadable:
    """Stands for data of a kind that the model accepts and cannot learn from: whoever reads it
    skips the world."""

    def __init__(self, title: str, kind: str, reason: str):
        self._sentence = f"{title} learns from no {kind} data: {reason}"

    def __getattr__(self, name: str):
        if name.startswith("__") or name == "broken_partner":
            raise AttributeError(name)
        raise Incompatible(self._sentence)


def _is_vectorized(subject: Subject[Model]) -> str | None:
    if subject.component.vectorized:
        return None
    return f"{subject.title} is written for one chain, and the harness loops over the chains"


@check(essential=True, worlds=accepted)
def check_model_fits_what_it_accepts(case: OnData) -> None:
    """fit returns a teacher that answers, on all data that the model's kinds and incompatibility()
    accept."""
    result = first_fit(case)
    if isinstance(result, (Incompatible, CheckFailure)):
        raise result
    if isinstance(result, Exception):
        raise CheckFailure(described(result, case.model)) from result


@check(essential=True, worlds=readable)
def check_model_weight_zero_is_absent(case: OnData) -> None:
    """A row of weight 0 counts as absent."""
    _same_result(
        case,
        _weight_zero,
        _absent,
        f"{case.title} learns from rows of weight 0, which must count as absent; filters only set "
        f"weights to 0: multiply "
        "every sum over rows by corpus.multiplicity (or use corpus.moments() or tally()), and take "
        "the sample size from "
        "multiplicity.sum(-1), never from corpus.n",
    )


@check(essential=True, worlds=readable)
def check_model_weight_two_is_twice(case: OnData) -> None:
    """A row of weight 2 counts as much as the row written twice."""
    _same_result(case, _weight_two, _written_twice, _twice_sentence(case, "weight"))


@check(worlds=readable)
def check_model_count_two_is_twice(case: OnData) -> None:
    """A row of count 2 counts as much as the row written twice."""
    _same_result(case, _count_two, _written_twice, _twice_sentence(case, "count"))


@check(applies=_is_vectorized, worlds=readable)
def check_model_vectorized_equals_loop(case: OnData) -> None:
    """A vectorized model learns from each chain what it learns from that chain by itself."""
    model = case.model
    data, access = access_at_0(case.data, (2, 3))
    x, y, rng = probe_of(data, (2, 3))
    corpus = access.real(ROWS)
    whole = behaviour(model.fit(copy.deepcopy(corpus), rng.at("fit")), x, y, rng)
    for r in product(range(2), range(3)):
        by_itself = behaviour(model.fit(corpus[r], rng.at("fit")[r]), x[r], y[r], rng[r])
        alike(
            chain_at(whole, r),
            by_itself,
            f"{case.title} fitted to all chains together differs from {case.title} fitted to chain "
            f"{r} by itself; a "
            "vectorized model must keep chains apart: sums with .sum(-1), matrices with .mT and "
            "'...', or leave "
            "vectorized = False",
        )


@check(worlds=readable)
def check_model_inputs_untouched(case: OnData) -> None:
    """fit changes neither its corpus nor the previous teacher in place, and the teacher changes no
    questions."""
    model = case.model
    data, access = access_at_0(case.data, (2,))
    x, y, rng = probe_of(data, (2,))
    rows = access.real(ROWS)
    for corpus in (rows, rows.weighted(torch.full((2, ROWS), 0.5)) + access.real(ROWS)):
        # a corpus of one part shows its own tensors, and one of two parts shows copies: watch both
        training_set, fit_rng = (corpus, rng) if model.vectorized else (corpus[0], rng[0])
        parts, shown = Lent.of(corpus), Lent(**tensors_of(training_set))
        model.fit(training_set, fit_rng.at("fit"))
        for lent in (shown, parts):
            lent.untouched(f"{case.title}.fit")
    questions, first = Lent(x=x, y=y), lift(model).fit(corpus, rng.at("fit"))
    before = behaviour(first, x, y, rng)
    lift(model).fit(access.real(ROWS), rng.at("fit again"), first)
    questions.untouched(f"the teacher that {case.title}.fit returns")
    alike(
        before,
        behaviour(first, x, y, rng),
        f"{case.title}.fit changed the teacher that it was given as `before`; copy its parameters "
        f"first",
    )


@check(worlds=readable)
def check_model_chain_shapes_agree(case: OnData) -> None:
    """Teachers answer in the shapes of the data, and the first chain learns the same in every chain
    shape."""
    values = {}
    for chain_shape in CHAIN_SHAPES:
        data, access = access_at_0(case.data, chain_shape)
        x, y, rng = probe_of(data, chain_shape)
        teacher = lift(case.model).fit(access.real(ROWS), rng.at("fit"))
        values[chain_shape] = behaviour(teacher, x, y, rng)
        _teacher_in_shape(case.title, values[chain_shape], (*chain_shape, ROWS), y)
    for chain_shape in CHAIN_SHAPES[1:]:
        alike(
            chain_at(values[chain_shape], (0,) * len(chain_shape)),
            values[()],
            f"{case.title} learns something else in chain shape {chain_shape} than in the same run "
            f"by itself",
        )


def _teacher_in_shape(
    title: str, values: dict[str, Tensor], leading: tuple[int, ...], y: Tensor
) -> None:
    for method in ("mean_answer", "logp", "answer"):
        value = values.get(method)
        if value is not None and tuple(value.shape[: len(leading)]) != leading:
            raise CheckFailure(
                f"the teacher of {title} returned {method} with shape {tuple(value.shape)}; "
                f"expected leading dimensions "
                f"{leading}"
            )
    logp = values.get("logp")
    if logp is not None and logp.ndim != len(leading) + 1:
        raise CheckFailure(
            f"the teacher of {title} returned logp with shape {tuple(logp.shape)}; expected (R, n, "
            f"L), where L = 1 unless "
            "the data are sequences: add [..., None]"
        )
    if values["answer"].shape != y.shape:
        raise CheckFailure(
            f"the teacher of {title} answers with shape {tuple(values['answer'].shape)}; expected "
            f"{tuple(y.shape)}, as the "
            "data generator answers"
        )


@check(worlds=readable)
def check_model_fit_is_repeatable(case: OnData) -> None:
    """Two fits to one corpus with one stream give equal teachers."""
    data, access = access_at_0(case.data, (2,))
    x, y, rng = probe_of(data, (2,))
    corpus, values = access.real(ROWS), []
    with Undisturbed():
        for seed in (1, 2):
            disturb(seed)
            teacher = lift(case.model).fit(copy.deepcopy(corpus), rng.at("fit"))
            values.append(behaviour(teacher, x, y, rng))
    alike(
        values[0],
        values[1],
        f"{case.title} fitted twice to one corpus with one stream gives two different teachers; "
        f"draw from the rng that is "
        "passed in (rng.normal, rng.torch_generator(), never torch.rand), and keep nothing between "
        "fits",
    )


@check(worlds=readable)
def check_model_answers_as_it_states(case: OnData) -> None:
    """The answers of a teacher have the mean, variance or probabilities that it states."""
    data, access = access_at_0(case.data, (2,))
    rng = stream_of((2,)).at("probe")
    teacher = lift(case.model).fit(access.real(ROWS), rng.at("fit"))
    if differs := answers_as_stated(teacher, data, rng):
        raise CheckFailure(
            f"the teacher of {case.title}: {differs}; it is judged by what it states"
        )


# -- weights ---------------------------------------------------------------------------------------

Edit = Callable[[Corpus], Corpus]


def _same_result(case: OnData, one: Edit, other: Edit, sentence: str) -> None:
    """Raise CheckFailure where the model learns something else from one edit of a corpus than from
    the other.

    A model that is exact must show the same numbers; another one the same mean loss.
    """
    left, right = _learned_from(case, one), _learned_from(case, other)
    if case.model.exact:
        alike(left, right, sentence)
        return
    z = z_score(left["loss"] - right["loss"])
    if abs(z) > 5:
        raise CheckFailure(f"{sentence} (mean loss: {z:+.1f} standard errors apart)")


@lru_cache(maxsize=64)
def _learned_from(case: OnData, edit: Edit) -> dict[str, Tensor]:
    """What the model's teachers show (or, of a model that is not exact, their losses) after an edit
    of one corpus."""
    exact = case.model.exact
    chain_shape = (3,) if exact else (24,)
    data, access = access_at_0(case.data, chain_shape)
    x, y, rng = probe_of(data, chain_shape)
    corpus = copy.deepcopy(edit(access.real(ROWS)))  # a fit may change it in place
    teacher = lift(case.model).fit(corpus, rng.at("fit"))
    if exact:
        return behaviour(teacher, x, y, rng, drawing=False)
    return {"loss": data.losses(teacher, rng.at("exam"))[data.primary]}


def _rows(corpus: Corpus, pick: Tensor | slice, **more) -> Corpus:
    """Some rows of a corpus as a corpus of their own."""
    chains = (slice(None),) * len(corpus.chain_shape)
    return Corpus.of(
        corpus.x[(*chains, pick)],
        corpus.y[(*chains, pick)],
        corpus.chain_shape,
        labels=corpus.labels,
        **more,
    )


def _weight_zero(corpus: Corpus) -> Corpus:
    weight = torch.ones(*corpus.chain_shape, ROWS, dtype=torch.float64)
    weight[..., 1::5] = 0
    y = corpus.y.clone()
    if y.is_floating_point():
        y[(slice(None),) * len(corpus.chain_shape) + (slice(1, None, 5),)] += JUNK
    return corpus.edited(y=y).weighted(weight)


def _absent(corpus: Corpus) -> Corpus:
    rows = torch.arange(ROWS)
    return _rows(corpus, rows[rows % 5 != 1])


def _weight_two(corpus: Corpus) -> Corpus:
    weight = torch.where(torch.arange(ROWS) < 7, 2.0, 1.0)
    return corpus.weighted(weight.expand(*corpus.chain_shape, ROWS))


def _count_two(corpus: Corpus) -> Corpus:
    count = torch.where(torch.arange(ROWS) < 7, 2, 1)
    return _rows(corpus, slice(None), count=count.expand(*corpus.chain_shape, ROWS))


def _written_twice(corpus: Corpus) -> Corpus:
    return corpus + _rows(corpus, slice(0, 7))


def _twice_sentence(case: OnData, what: str) -> str:
    return (
        f"{case.title} learns something else from a row of {what} 2 than from the row written "
        f"twice; multiply every sum "
        "over rows by corpus.multiplicity, which is weight times count, and take its sum as the "
        "sample size"
    )
