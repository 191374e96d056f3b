"""What mitigations ask of a fit arrives in it, whatever they are composed with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from types import NoneType
from typing import Any

import pytest
import torch

from collapse_bench.checks.world import goes_together, small
from collapse_bench.core import access as access_module
from collapse_bench.core.cell import Cell
from collapse_bench.core.components import FACTS, Component, Mitigation, Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import generations
from collapse_bench.core.recipe import Recipe
from collapse_bench.core.replicates import Configured, LoopedTeacher, lift
from collapse_bench.core.rng import Stream
from collapse_bench.errors import ContractError, Incompatible, UsageError
from collapse_bench.plugins.models.counts import Counts
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.registry.discovery import registry

# -- a model that writes down how it was fitted -----------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """What arrived in one fit, and for which mitigations it was made, the outermost first."""

    users: tuple[str, ...]
    loss: Any
    validation: Corpus | None
    start: Teacher | None
    share: float


FITS: list[Fit] = []
USERS: list[str] = []


class Seen(Teacher):
    """A teacher with the weights of all averages that it came through."""

    def __init__(self, own: Teacher, history: tuple[float, ...] = ()):
        self.own, self.history = own, history

    def answer(self, x, rng):
        return self.own.answer(x, rng)

    def mean_answer(self, x):
        return self.own.mean_answer(x)

    def logp(self, x, y):
        return self.own.logp(x, y)

    def decoded(self, **settings):
        return Seen(self.own.decoded(**settings), self.history)

    def blend(self, other, w):
        return Seen(self.own.blend(other.own, w), (*self.history, round(w, 6)))

    def redraw(self, x, y, mask, rng):
        return self.own.redraw(x, y, mask, rng)

    def mean_and_factor(self):
        return self.own.mean_and_factor()


@dataclass(frozen=True)
class Recording(Model):
    """Fits another model, and writes down what was asked of the fit."""

    own: Model | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    vectorized = True
    trained_by_steps = True

    def fit(self, corpus, rng, before=None):
        rows = self.asked.get("validation")
        for given in (corpus, rows):
            assert given is None or given.chain_shape == rng.chain_shape
        how = {name: self.asked.get(name) for name in ("loss", "validation", "start", "share")}
        FITS.append(Fit(tuple(USERS), **how))
        return Seen(self.own.fit(corpus, rng))

    def _with(self, **asked):
        return dataclasses.replace(self, asked=self.asked | asked)

    def with_loss(self, loss):
        return self._with(loss=loss)

    def with_validation(self, corpus):
        return self._with(validation=corpus)

    def with_start(self, teacher, share=1.0):
        assert isinstance(teacher, Seen), "the start is a teacher that this model fitted"
        return self._with(start=teacher, share=share)


class ChainByChain(Recording):
    vectorized = False


class PredictsNoise(Recording):
    predicts_noise = True


WORLDS = {
    "vectorized": ("bigram(K=4)", Recording(Counts(smoothing=1.0))),
    "chain by chain": ("bigram(K=4)", ChainByChain(Counts(smoothing=1.0))),
    "of noise": ("gaussian(d=2)", PredictsNoise(GaussianFit())),
}

#: parameters by which one can tell whose start and whose average it is
TOLD_APART = {
    "neon": {"tune": 0.2, "w": 0.25},
    "autophagy-penalty": {"tune": 0.3, "mu": 1.0, "pupils": 1},
    "negative-guidance": {"tune": 0.4, "w": 0.75},
    "weight-averaging": {"a": 0.125},
    "two-stage": {"steps": 0.6},
}


@cache
def mitigations() -> dict[str, Mitigation]:
    built = {
        name: small(cls)
        for name, cls in registry().classes["mitigation"].items()
        if not cls.control
    }
    return {
        name: dataclasses.replace(act, **TOLD_APART.get(name, {}))
        for name, act in built.items()
        if act is not None
    }


def adapts(name: str) -> bool:
    return type(mitigations()[name]).adapt is not Mitigation.adapt


def cell_of(world: str, names: tuple[str, ...]) -> Cell | None:
    """The cell of these mitigations, None where one of them says that it does not fit."""
    text, model = WORLDS[world]
    data, protocol = registry().build("generator", text), registry().build("protocol", "mix")
    acts = tuple(mitigations()[name] for name in names)
    cell = Cell(data, model, protocol, acts, n=8, generations=1, seeds=(1, 2))
    return cell if goes_together(cell) else None


@dataclass(frozen=True)
class Run:
    """The fits of generation 1, its teacher, and the validation rows that mitigations asked for."""

    fits: list[Fit]
    teacher: Teacher
    rows: int


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
    """While this lasts, fits know for whom they are made; yields the validation rows asked for."""
    fit, with_validation = access_module.Access.fit, Configured.with_validation
    rows: list[int] = []

    def named(self, *given, **more):
        USERS.append(self.user)
        try:
            return fit(self, *given, **more)
        finally:
            USERS.pop()

    def counted(self, corpus):
        rows.append(corpus.n)
        return with_validation(self, corpus)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_module.Access, "fit", named)
        patch.setattr(Configured, "with_validation", counted)
        yield rows


@cache
def run(world: str, names: tuple[str, ...]) -> Run | None:
    """None where the mitigations do not fit, or say so once they run."""
    cell = cell_of(world, names)
    if cell is None:
        return None
    with watched() as rows:
        FITS.clear()
        try:
            for now in generations(cell):
                if now.t == 0:
                    FITS.clear()
        except Incompatible:
            return None
        return Run(list(FITS), now.teacher, sum(rows))


def members(teacher: Teacher) -> list[Seen]:
    """The fitted teachers that one is made of: over chains, and over the members of an ecosystem."""
    parts = getattr(teacher, "teachers", None) or getattr(teacher, "members", None)
    return [seen for part in parts for seen in members(part)] if parts else [teacher]


def loss_of(world: str, name: str) -> Any:
    return run(world, (name,)).fits[0].loss


def shares(world: str, name: str) -> set[float]:
    """The share of a training for which this mitigation continues from weights; empty if it does not."""
    return {fit.share for fit in run(world, (name,)).fits if fit.users == (name,) and fit.start}


PAIRS = [
    (world, names)
    for world in WORLDS
    for names in permutations(mitigations(), 2)
    if any(map(adapts, names))
]


@pytest.mark.parametrize("world", WORLDS)
def test_every_pair_of_mitigations_keeps_what_both_asked_for(world):
    composed = 0
    for names in (names for its, names in PAIRS if its == world):
        alone = [run(world, (name,)) for name in names]
        both = run(world, names)
        if both is None or None in alone:
            continue
        composed += 1
        losses = [loss for name in names if (loss := loss_of(world, name)) is not None]
        assert len(losses) <= 1, names
        for fit in both.fits:
            assert [fit.loss] == (losses or [None]), names
            assert (fit.validation.n if fit.validation else 0) == both.rows, names
            tuners = [user for user in fit.users if user in names and shares(world, user)]
            wanted = {share for tuner in tuners[-1:] for share in shares(world, tuner)}
            if "two-stage" in names and "two-stage" not in fit.users:
                second = {TOLD_APART["two-stage"]["steps"]}
                # rows of one kind only, such as own samples of neon, have no second stage
                wanted = wanted | second if tuners else second
            assert (fit.start is not None) == bool(wanted), names
            assert not wanted or fit.share in wanted, names
        asked = [w for one in alone for w in members(one.teacher)[0].history]
        for seen in members(both.teacher):
            # the gain of tracking depends on the rows that others add or weigh
            compared = len if "tracking" in names else list
            assert compared(seen.history) == compared(asked), names
        for name, one in zip(names, alone, strict=True):
            own = [fit for fit in one.fits if name in fit.users]
            assert len([fit for fit in both.fits if name in fit.users]) >= len(own), names
            assert type(one.teacher) in (Seen, LoopedTeacher) or type(both.teacher) is type(
                one.teacher
            ), names
    assert composed > 100


def test_members_of_an_ecosystem_each_continue_from_their_own_weights():
    run_of = run("chain by chain", ("ecosystem", "neon"))
    tuned = [fit.start for fit in run_of.fits if fit.start is not None]
    assert len(tuned) == len({id(start) for start in tuned}) == 2 * 2  # members times chains


@pytest.mark.parametrize("world", ["vectorized", "chain by chain"])
@pytest.mark.parametrize("names", [("tuned-weighting", "neon"), ("neon", "tuned-weighting")])
def test_tuned_weighting_keeps_the_warm_start_of_neon(world, names):
    """Every fit of the student continues from the teacher's weights, whichever is named first."""
    found = run(world, names)
    assert found is not None
    tuned = [fit for fit in found.fits if "neon" in fit.users]
    assert tuned
    assert all(fit.start is not None and fit.share == 0.2 for fit in tuned)
    assert members(found.teacher)[0].history == (-0.25,)


# -- the value --------------------------------------------------------------------------------------


def test_a_later_start_replaces_an_earlier_one_and_nothing_else():
    rows = Corpus.of(None, torch.zeros(2, 3, 1), (2,))
    recipe = Recipe().asking(loss=1).asking(validation=rows).asking(start=Teacher(), share=0.5)
    later = recipe.asking(start=(second := Teacher()), share=0.25)
    assert (later.start, later.share) == (second, 0.25)
    assert (later.loss, later.validation) == (1, rows)


def test_validation_rows_add_up():
    one, two = (Corpus.of(None, torch.full((2, n, 1), float(n)), (2,)) for n in (3, 4))
    both = lift(ChainByChain(GaussianFit())).with_validation(one).with_validation(two)
    assert both.recipe.validation.y[..., 0].tolist() == [[3.0] * 3 + [4.0] * 4] * 2


def test_a_second_loss_is_refused():
    with pytest.raises(Incompatible, match="a model has one loss"):
        lift(Recording(GaussianFit())).with_loss(1).with_loss(2)


def test_trainings_are_nested_in_the_order_in_which_they_were_asked_for():
    calls = []

    def training(name):
        def around(model, corpus, rng, before):
            calls.append(name)
            return model.fit(corpus, rng, before)

        return around

    model = lift(GaussianFit()).with_training(training("inner")).with_training(training("outer"))
    model.fit(Corpus.of(None, torch.randn(5, 2), ()), Stream(0))
    assert calls == ["outer", "inner"]


def test_what_is_asked_for_later_reaches_the_fits_of_a_training():
    """So a loss that is exchanged after `ecosystem` was applied is the loss of every member."""
    FITS.clear()

    def twice(model, corpus, rng, before):
        model.fit(corpus, rng.at("one"), before)
        return model.fit(corpus, rng.at("two"), before)

    model = lift(Recording(GaussianFit())).with_training(twice).with_loss("other")
    model.fit(Corpus.of(None, torch.randn(5, 2), ()), Stream(0))
    assert [fit.loss for fit in FITS] == ["other", "other"]


# -- the configured model ---------------------------------------------------------------------------


def test_a_configured_model_repeats_every_fact_of_the_model():
    stated = {
        name
        for cls in (Component, Model)
        for name, value in vars(cls).items()
        if isinstance(value, (bool, int, str, tuple, NoneType)) and not name.startswith("_")
    }
    of_the_class = {"name", "version", "file_digests", "vectorized", "couples_chains"}
    assert set(FACTS) == stated - of_the_class

    class Other(Recording):
        kinds = ("density",)
        reads_sums = one_chain_per_job = predicts_noise = True
        weights_average = exact = False
        estimator = "something"
        needs = ("rows",)

    own, lifted = Other(), lift(Other())
    for fact in FACTS:
        assert getattr(lifted, fact) == getattr(own, fact) != getattr(Recording, fact, None) or (
            fact == "trained_by_steps"
        ), fact
    assert lifted.title() == "Other"
    assert lifted.vectorized


def test_parameters_are_read_and_changed_through_a_configured_model():
    model = lift(Counts(smoothing=0.5)).with_after(lambda teacher, model, corpus: teacher)
    changed = model.with_parameters(smoothing=2.0)
    assert (model.smoothing, changed.smoothing) == (0.5, 2.0)
    assert changed.recipe == model.recipe
    assert Counts(smoothing=0.5).with_parameters(smoothing=2.0) == Counts(smoothing=2.0)


@pytest.mark.parametrize("method", ["with_loss", "with_validation"])
def test_a_model_that_cannot_says_so_at_once(method):
    with pytest.raises(Incompatible, match="gaussian-fit has no"):
        getattr(lift(GaussianFit()), method)(None)


def test_a_model_that_is_solved_for_needs_no_start():
    model = lift(GaussianFit())
    assert model.with_start(Teacher()) is model


def test_a_model_outside_of_a_run_names_the_remedy():
    for method in ("with_after", "with_training"):
        with pytest.raises(
            UsageError, match=r"call collapse_bench\.core\.replicates\.lift\(model\)"
        ):
            getattr(GaussianFit(), method)(None)


@dataclass(frozen=True, eq=False)
class Wrapper(Model):
    """A model around another one by an author who forwards nothing."""

    model: Model
    vectorized = True


def test_a_wrapper_that_would_lose_a_start_is_refused():
    with pytest.raises(Incompatible, match="no with_start, so the start would be lost"):
        lift(Wrapper(lift(Recording(GaussianFit())))).with_start(Teacher())


class Forgetful(Recording):
    def with_validation(self, corpus):
        return GaussianFit()


def test_a_copy_that_has_lost_its_start_is_refused():
    corpus = Corpus.of(None, torch.randn(5, 2), ())
    model = lift(Forgetful(GaussianFit())).with_validation(corpus).with_start(Teacher(), 0.5)
    with pytest.raises(ContractError, match="with_loss or with_validation returned a GaussianFit"):
        model.fit(corpus, Stream(0))


def test_a_start_of_another_model_is_refused_in_a_loop():
    corpus = Corpus.of(None, torch.randn(2, 5, 2), (2,))
    model = lift(ChainByChain(GaussianFit())).with_start(Teacher())
    with pytest.raises(ContractError, match="continue from a teacher that it fitted itself"):
        model.fit(corpus, Stream([0, 1]))
