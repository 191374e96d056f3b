"""The trained networks and the weak labeller of images: what the conformance kit cannot know."""

from __future__ import annotations

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.plugins.generators.digits import Digits
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.plugins.generators.weak_labeller import WeakLabeller
from collapse_bench.plugins.models.cnn import CNN
from collapse_bench.plugins.models.mlp import MLP

SEEDS = Stream(range(8))


def error(spec, seeds=range(2)):
    (now,) = generations(cell_of(spec, seeds=seeds))
    return float(now.scores["error_rate"].mean())


# -- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["mlp(steps=200)", "mlp(depth=2, width=64, steps=200)", "cnn(steps=200)"]
)
def test_it_learns_digits(model):
    assert error(f"digits | {model} @ n=400 T=0") < 0.1


def test_without_a_hidden_layer_it_is_least_squares():
    x = Stream(5).normal(300, 4)
    y = (
        x.double() @ torch.tensor([1.0, -2.0, 0.5, 0.0]).double()
        + 3
        + 0.5 * Stream(6).normal(300).double()
    )
    one = torch.cat([x.double(), torch.ones(300, 1).double()], 1)
    best = torch.linalg.lstsq(one, y[:, None]).solution[:, 0]
    teacher = MLP(depth=0, steps=3000, lr=0.02, cosine=True, batch=300).fit(
        Corpus.of(x, y, ()), Stream(7)
    )
    torch.testing.assert_close(teacher.mean_answer(x), one @ best, rtol=1e-3, atol=1e-3)


def test_labels_without_a_pattern_are_given_by_their_shares():
    """Cross-entropy is proper: where questions say nothing, the scores become the log of the shares."""
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    teacher = MLP(depth=0, steps=1500, lr=0.05, cosine=True, batch=100).fit(
        Corpus.of(torch.zeros(100, 3), y, (), labels=3), Stream(1)
    )
    share = teacher.mean_answer(torch.zeros(1, 3))[0].softmax(-1)
    torch.testing.assert_close(share, torch.tensor([0.6, 0.3, 0.1]).double(), rtol=1e-3, atol=1e-4)


def test_another_loss_gives_another_network_and_the_same_one_the_same():
    x, y = Stream(1).normal(60, 4), Stream(2).integers(3, 60)
    corpus, model = Corpus.of(x, y, (), labels=3), MLP(width=8, steps=20)
    plain = model.fit(corpus, Stream(3)).mean_answer(x)
    again = (
        model.with_loss(lambda logp, y: -logp.gather(-1, y[:, None])[:, 0])
        .fit(corpus, Stream(3))
        .mean_answer(x)
    )
    other = model.with_loss(lambda logp, y: (logp.exp().gather(-1, y[:, None])[:, 0] - 1) ** 2).fit(
        corpus, Stream(3)
    )
    torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(plain, other.mean_answer(x), rtol=1e-2)


def test_rows_held_back_stop_the_training_where_it_would_overfit():
    w, x = torch.tensor([1.0, -1.0, 0.5, 0.0]), Stream(1).normal(30, 4)
    y, held = (x @ w > 0).long() ^ (Stream(2).uniform(30) < 0.3).long(), Stream(3).normal(400, 4)
    truth = Corpus.of(held, (held @ w > 0).long(), (), labels=2)
    model = MLP(width=100, steps=600, lr=3e-3)
    long = model.fit(Corpus.of(x, y, (), labels=2), Stream(4))
    short = model.with_validation(truth).fit(Corpus.of(x, y, (), labels=2), Stream(4))
    assert short.account["stopped_at"] < 600
    apart = Stream(5).normal(1000, 4)
    right = (apart @ w > 0).long()
    losses = [torch.nn.functional.cross_entropy(t.mean_answer(apart), right) for t in (short, long)]
    assert losses[0] < 0.8 * losses[1]


def test_the_account_tells_what_was_read():
    x, y = Stream(1).normal(50, 4), Stream(2).integers(3, 50)
    account = (
        MLP(width=8, steps=None, epochs=3, batch=20)
        .fit(Corpus.of(x, y, (), labels=3), Stream(3))
        .account
    )
    assert (account["steps"], account["units"]) == (9, 150)


def test_a_blend_has_blended_weights():
    x, y = Stream(1).normal(30, 4), Stream(2).normal(30).double()
    one, other = (MLP(depth=0, steps=5).fit(Corpus.of(x, y, ()), Stream(s)) for s in (3, 4))
    torch.testing.assert_close(
        one.blend(other, 0.25).mean_answer(x),
        0.75 * one.mean_answer(x) + 0.25 * other.mean_answer(x),
    )


def test_a_convolution_wants_a_square():
    x, y = Stream(1).normal(30, 8), Stream(2).integers(2, 30)
    with pytest.raises(
        Incompatible,
        match=r"(?i)cnn reads square images of at least 4 x 4 pixels, and 8 numbers are not one",
    ):
        CNN(steps=2).fit(Corpus.of(x, y, (), labels=2), Stream(3))


def test_it_learns_what_is_no_line():
    x = Stream(5).normal(400, 1)
    y = x[:, 0].abs().double()
    teacher = MLP(width=50, steps=600, lr=1e-2).fit(Corpus.of(x, y, ()), Stream(6))
    gap = teacher.mean_answer(x) - y
    assert float(gap.pow(2).mean()) < 0.05 * float(y.var())


def test_rows_of_weight_nought_are_absent_to_the_last_bit():
    x, y = Stream(1).normal(30, 4), Stream(2).integers(3, 30)
    weight = torch.ones(30).double()
    weight[20:] = 0
    among = MLP(width=8, steps=20).fit(Corpus.of(x, y, (), weight, labels=3), Stream(3))
    alone = MLP(width=8, steps=20).fit(Corpus.of(x[:20], y[:20], (), labels=3), Stream(3))
    torch.testing.assert_close(among.mean_answer(x), alone.mean_answer(x), rtol=0, atol=0)


@pytest.mark.parametrize("steps", [1, 7])
def test_only_the_scale_of_the_weights_is_no_matter(steps):
    x, y = Stream(1).normal(30, 4), Stream(2).normal(30).double()
    ramp = torch.linspace(0.5, 2, 30).double()
    model = MLP(width=8, steps=steps, batch=9)
    plain, scaled, flat = (
        model.fit(Corpus.of(x, y, (), weight), Stream(3)).mean_answer(x)
        for weight in (ramp, 3 * ramp, 0 * ramp + 1)
    )
    torch.testing.assert_close(plain, scaled, rtol=1e-4, atol=1e-5)
    assert steps == 1 or not torch.allclose(plain, flat, rtol=1e-4)


def test_it_scores_every_class_that_there_is():
    x, y = Stream(1).normal(12, 4), Stream(2).integers(2, 12)
    assert MLP(width=4, steps=2).fit(Corpus.of(x, y, (), labels=5), Stream(3)).mean_answer(
        x
    ).shape == (
        12,
        5,
    )


# -- the labeller --------------------------------------------------------------------------------------------------


def test_a_labeller_that_saw_more_images_errs_less():
    real = Digits().sample_truth(SEEDS.at("truth"))
    errors = [
        float(
            real.losses(WeakLabeller(rows).sample_truth(SEEDS.at("first"), real), SEEDS)[
                "error_rate"
            ].mean()
        )
        for rows in (10, 50, 300)
    ]
    assert 0.7 > errors[0] > errors[1] + 0.05 > errors[2] + 0.1 > 0.1


def test_its_errors_are_between_classes_that_look_alike():
    """Wrong labels are no uniform noise: some pairs of classes are confused far more often than by chance."""
    real = Digits().sample_truth(SEEDS.at("truth"))
    weak = WeakLabeller(100).sample_truth(SEEDS.at("first"), real)
    x = real.ask(600, SEEDS.at("x"))
    true, given = real.answer(x, SEEDS), weak.answer(x, SEEDS)
    pairs = torch.bincount((10 * true + given)[true != given].reshape(-1), minlength=100)
    assert int(pairs.max()) > 3 * float(pairs.sum()) / 90


def test_labels_alone_are_wrong():
    cell = cell_of("digits | mlp(steps=20) @ n=20 T=0 first=weak-labeller(rows=20)", seeds=range(2))
    real = nature(cell)
    weak = cell.first_teacher.sample_truth(Stream(range(2)).at("first"), real)
    x = weak.ask(30, SEEDS[:2])
    assert int(real.identity(x).max()) < real.pool_size


def test_worse_labels_make_a_worse_pupil():
    spec = "digits | random-features(width=300) | mix(real=0.5) @ n=300 T=0{}"
    right = error(spec.format(""), range(4))
    weak, better = (
        error(spec.format(f" first=weak-labeller(rows={rows})"), range(4)) for rows in (10, 300)
    )
    assert weak > better + 0.05
    assert better > right


def test_it_has_no_images_of_its_own():
    with pytest.raises(Incompatible, match="it has no questions itself"):
        WeakLabeller().sample_truth(SEEDS)
    with pytest.raises(Incompatible, match="labels the questions of data with classes"):
        WeakLabeller().sample_truth(SEEDS, Linear().sample_truth(SEEDS))
    assert (
        "give it as the first teacher"
        in cell_of("weak-labeller | random-features @ n=20", seeds=[0]).incompatibility()
    )
