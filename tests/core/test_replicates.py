"""A model written for one run, seen over replicates: slice, call, stack, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_bench.core.components import Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import generations
from collapse_bench.core.replicates import Configured, LoopedTeacher, lift
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.registry.discovery import registry

SHAPES = [(), (1,), (3,), (2, 2)]


@dataclass(frozen=True)
class OneRun(Model):
    """A Gaussian with noise of its own, by an author who has never heard of replicates."""

    loss: Any = None
    rows: Corpus | None = None

    kinds = ("density",)

    def fit(self, corpus, rng, before=None):
        assert corpus.chain_shape == rng.chain_shape == ()
        mean = corpus.moments().mean + rng.normal(corpus.y.shape[-1])
        if self.rows is not None:
            assert self.rows.chain_shape == ()
            mean = mean + 100 * self.rows.moments().mean
        if before is not None:
            mean = mean + 1000 * before.mean
        if self.loss is not None:
            mean = mean + self.loss
        return Noted(mean, torch.eye(mean.shape[-1], dtype=torch.float64))

    def with_loss(self, loss):
        return OneRun(loss, self.rows)

    def with_validation(self, corpus):
        return OneRun(self.loss, corpus)


class Noted(GaussianTeacher):
    def redraw(self, x, y, mask, rng):
        return torch.where(mask[..., None], self.answer(x, rng), y)


def world(chain_shape, n: int = 6):
    rng = Stream(np.arange(int(np.prod(chain_shape))).reshape(chain_shape))
    return Corpus.of(None, rng.at("rows").normal(n, 2).double(), chain_shape), rng


def each(chain_shape):
    return list(np.ndindex(*chain_shape))


@pytest.mark.parametrize("model", [GaussianFit(), OneRun()])
def test_a_model_is_lifted_once(model):
    lifted = lift(model)
    assert isinstance(lifted, Configured)
    assert lifted.model is model
    assert lift(lifted) is lifted


def test_a_vectorized_model_is_fitted_to_all_chains_at_once():
    corpus, rng = world((2, 2))
    lifted, own = (m.fit(corpus, rng) for m in (lift(GaussianFit()), GaussianFit()))
    assert type(lifted) is type(own)
    assert torch.equal(lifted.mean, own.mean)


@pytest.mark.parametrize("chain_shape", SHAPES)
def test_fit_is_the_fit_of_each_replicate(chain_shape):
    corpus, rng = world(chain_shape)
    teacher = lift(OneRun()).fit(corpus, rng.at("fit"))
    assert isinstance(teacher, LoopedTeacher)
    for r in each(chain_shape):
        alone = OneRun().fit(corpus[r], rng.at("fit")[r])
        assert torch.equal(teacher.mean_and_factor()[0][r], alone.mean)


@pytest.mark.parametrize("chain_shape", SHAPES)
def test_verbs_are_stacked(chain_shape):
    corpus, rng = world(chain_shape)
    teacher = lift(OneRun()).fit(corpus, rng.at("fit"))
    x, y = torch.empty(*chain_shape, 5, 0), rng.at("y").normal(5, 2).double()
    mask = rng.at("mask").uniform(5) < 0.5
    other = lift(OneRun()).fit(corpus, rng.at("other"))

    def verbs(
        one: Teacher, another: Teacher, x: Tensor, y: Tensor, mask: Tensor, rng: Stream
    ) -> dict[str, Tensor]:
        warm = one.decoded(temperature=4.0)
        return {
            "answer": one.answer(x, rng.at("answer")),
            "expect": one.mean_answer(x),
            "logp": one.logp(x, y),
            "redraw": one.redraw(x, y, mask, rng.at("redraw")),
            "blend": one.blend(another, 0.25).mean_and_factor()[0],
            "decoded": warm.mean_and_factor()[1],
            "decoded logp": warm.logp(x, y),
        }

    together = verbs(teacher, other, x, y, mask, rng)
    for i, r in enumerate(each(chain_shape)):
        alone = verbs(teacher.teachers[i], other.teachers[i], x[r], y[r], mask[r], rng[r])
        for verb, value in alone.items():
            assert torch.equal(together[verb][r], value), verb
    assert together["answer"].shape == (*chain_shape, 5, 2)
    assert together["logp"].shape == (*chain_shape, 5, 1)


def test_what_the_inner_teacher_lacks_is_refused():
    class Mute(Teacher):
        pass

    with pytest.raises(Incompatible, match="Mute cannot answer questions"):
        LoopedTeacher([Mute()], ()).answer(torch.empty(3, 0), Stream(0))
    assert LoopedTeacher([Mute()], ()).linear is False


def test_linear_where_all_are():
    class Straight(Teacher):
        linear = True

    assert LoopedTeacher([Straight(), Straight()], (2,)).linear
    assert not LoopedTeacher([Straight(), Teacher()], (2,)).linear


def test_each_replicate_goes_on_from_its_own_past():
    corpus, rng = world((3,))
    first = lift(OneRun()).fit(corpus, rng.at("first"))
    second = lift(OneRun()).fit(corpus, rng.at("second"), first)
    for r in range(3):
        alone = OneRun().fit(corpus[r], rng.at("second")[r], first.teachers[r])
        assert torch.equal(second.teachers[r].mean, alone.mean)
    native = GaussianFit().fit(corpus, rng)
    fresh = lift(OneRun()).fit(
        corpus, rng.at("second"), native
    )  # a native teacher is nobody's past here
    assert torch.equal(
        fresh.mean_and_factor()[0],
        lift(OneRun()).fit(corpus, rng.at("second")).mean_and_factor()[0],
    )


def test_validation_rows_are_sliced():
    corpus, rng = world((2,))
    rows, _ = world((2,), n=4)
    tuned = lift(OneRun()).with_validation(rows).fit(corpus, rng.at("fit"))
    for r in range(2):
        alone = OneRun().with_validation(rows[r]).fit(corpus[r], rng.at("fit")[r])
        assert torch.equal(tuned.teachers[r].mean, alone.mean)


@pytest.mark.parametrize("order", ["loss first", "validation first"])
def test_loss_validation_and_past_go_together(order):
    corpus, rng = world((2,))
    rows, _ = world((2,), n=4)
    model = lift(OneRun())
    model = (
        model.with_loss(7.0).with_validation(rows)
        if order == "loss first"
        else model.with_validation(rows).with_loss(7.0)
    )
    past = lift(OneRun()).fit(corpus, rng.at("past"))
    taught = model.fit(corpus, rng.at("fit"), past)
    for r in range(2):
        alone = OneRun(7.0, rows[r]).fit(corpus[r], rng.at("fit")[r], past.teachers[r])
        assert torch.equal(taught.teachers[r].mean, alone.mean)


class ChainByChain(GaussianFit):
    vectorized = False


def test_a_vectorized_model_in_a_loop_is_itself():
    """The loop is the slow, plain twin of every vectorized model."""
    corpus, rng = world((2, 2))
    native, looped = (
        lift(m).fit(corpus, rng.at("fit")).mean_and_factor()
        for m in (GaussianFit(), ChainByChain())
    )
    for mine, theirs in zip(native, looped, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)


def test_chains_of_a_looped_model_are_the_same_in_any_company():
    def last(seeds):
        cell = registry().cell(
            "gaussian(d=2) | gaussian-fit | accumulate | real-anchor(k=2) @ n=8 T=2", seeds=seeds
        )
        cell = type(cell)(
            cell.data, OneRun(), cell.protocol, cell.mitigations, n=8, generations=2, seeds=seeds
        )
        *_, end = generations(cell)
        return end.scores["w2"]

    assert torch.equal(last((3, 4, 5))[1], last((4,))[0])
