"""Logistic regression: what the conformance kit cannot know."""

from __future__ import annotations

import pytest
import torch

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.plugins.models import logistic
from collapse_bench.plugins.models.logistic import Logistic

SEEDS = Stream(range(3))


def training_set(n=60, d=4, labels=3):
    x, w = SEEDS.at("x").normal(n, d), SEEDS.at("w").normal(labels, d)
    y = (x @ w.mT + SEEDS.at("luck").gumbel(n, labels).float()).argmax(-1)
    return Corpus.of(x, y, (3,), labels=labels).weighted(SEEDS.at("weight").uniform(n))


def test_the_gradient_in_closed_form_is_that_of_the_loss():
    model = Logistic(steps=30)
    plain = model.with_loss(lambda logp, y: -logp.gather(-1, y[:, None])[:, 0])
    torch.testing.assert_close(model.fit(training_set(), None).w, plain.fit(training_set(), None).w)


@pytest.mark.parametrize("lam", [1e-3, 0.3])
def test_in_the_end_nothing_pulls(lam):
    corpus = training_set()
    w = Logistic(lam=lam, steps=4000).fit(corpus, None).w.requires_grad_()
    own = (corpus.x.double() @ w.mT).log_softmax(-1).gather(-1, corpus.y[..., None])[..., 0]
    loss = -(own * corpus.weight / corpus.mass[..., None]).sum(-1) + lam * w.square().sum((-2, -1))
    (slope,) = torch.autograd.grad(loss.sum(), w)
    assert slope.abs().max() < 1e-6


def test_one_question_is_answered_by_the_shares_of_its_labels():
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    teacher = Logistic(lam=0, steps=2000).fit(Corpus.of(torch.ones(100, 1), y, (), labels=3), None)
    share = teacher.mean_answer(torch.ones(1, 1))[0].softmax(-1)
    torch.testing.assert_close(share, torch.tensor([0.6, 0.3, 0.1]).double(), rtol=1e-6, atol=1e-6)


def test_it_stops_where_rows_apart_are_foretold_best_chain_by_chain():
    corpus, held = training_set(12), training_set(40)
    model = Logistic(lam=0, steps=200)
    losses = []
    for m in (model, model.with_validation(held)):
        logp = (
            m.fit(corpus, None)
            .mean_answer(held.x)
            .log_softmax(-1)
            .gather(-1, held.y[..., None])[..., 0]
        )
        losses.append(-(logp * held.weight / held.mass[..., None]).sum(-1))
    assert (losses[1] < losses[0]).all()
    alone = model.with_validation(held[1]).fit(corpus[1], None).w
    torch.testing.assert_close(model.with_validation(held).fit(corpus, None).w[1], alone)


def smoothed(logp, y):
    return -0.9 * logp.gather(-1, y[:, None])[:, 0] - 0.1 * logp.mean(-1)


@pytest.mark.parametrize("loss", [None, smoothed])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("labels", [3, None])
def test_a_few_chains_at_a_time_learn_the_same_as_all_together(loss, stopped, labels, monkeypatch):
    """Rows in a random order, and labels that no chain of a group has, are no exception."""
    rng = Stream([[1, 2], [3, 4], [5, 6]])
    y = rng.at("y").integers(2, 50)
    y[2] += 1  # the last chains alone have the label 2, where nobody says how many there are
    corpus = Corpus.of(rng.at("x").normal(50, 4), y, (3, 2), labels=labels)
    corpus = (corpus + corpus).anonymous(rng.at("order"))
    held = Corpus.of(rng.at("u").normal(30, 4), rng.at("v").integers(2, 30), (3, 2), labels=labels)
    model = Logistic(steps=30)
    model = model if loss is None else model.with_loss(loss)
    model = model.with_validation(held) if stopped else model
    together = model.fit(corpus, None).w
    assert together.isfinite().all()
    size = 8 * 100 * 4 * 2
    for chains in (1, 2):
        monkeypatch.setattr(logistic, "CACHE", chains * size)
        assert logistic._together(corpus) == chains
        assert torch.equal(model.fit(corpus, None).w, together)
    monkeypatch.setattr(logistic, "CACHE", 3 * size)
    assert logistic._together(corpus) is None
    assert logistic._together(corpus[0, 0]) is None
