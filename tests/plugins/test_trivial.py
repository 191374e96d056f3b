"""The trivial teacher of every data generator: its exact losses, and what a small fit makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.components import DataGenerator, has_method
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.text.language import UniformTokens
from collapse_bench.plugins.generators.gcd import DivisorPrior
from collapse_bench.plugins.generators.pictures import Pictures
from collapse_bench.registry.discovery import registry

SEEDS = tuple(range(2000))


def truth_of(data, seeds=SEEDS) -> DataGenerator:
    """The generator of this spec with the truth of each seed."""
    return registry().build("generator", data).sample_truth(Stream(seeds).at("truth"))


def losses_of(data, seeds=SEEDS):
    """(losses of the trivial teacher, nature)."""
    real = truth_of(data, seeds)
    return real.losses(real.trivial(), Stream(seeds).at("exam")), real


def z_of(sample, expected):
    sample = sample.double()
    return float((sample.mean() - expected) / (sample.std() / math.sqrt(len(sample))))


def test_every_generator_that_can_be_data_states_one():
    classes = registry().classes["generator"]
    assert [name for name, cls in classes.items() if cls.trivial is DataGenerator.trivial] == []


# -- exact losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["zipf", "bigram"])
@pytest.mark.parametrize(("beta", "K"), [(1.5, 40), (0.5, 7)])
def test_uniform_symbols(data, beta, K):
    p = np.arange(1, K + 1) ** -beta
    p /= p.sum()
    losses, _ = losses_of(f"{data}(beta={beta}, K={K})", (1, 2))
    expected = np.abs(p - 1 / K).sum() / 2
    assert losses["total_variation"].tolist() == pytest.approx([expected] * 2)
    assert losses["missing_mass"].tolist() == losses["support_lost"].tolist() == [0, 0]


def test_one_answer_of_many():
    losses, _ = losses_of("zipf-memory(K=40)", (1, 2))
    assert losses["error"].tolist() == pytest.approx([1 - 1 / 40] * 2)


@pytest.mark.parametrize("inputs", ["clusters", "isotropic"])
def test_every_second_label_of_a_half_space(inputs):
    losses, _ = losses_of(f"half-space(d=4, inputs={inputs})", (1, 2))
    assert losses["error_rate"].tolist() == [0.5, 0.5]


def test_zero_weights_lose_the_variance_of_the_signal():
    losses, _ = losses_of("linear(d=4, beta=1, signal=3, truth_is=fixed)", (1, 2))
    assert losses["excess_risk"].tolist() == pytest.approx([3.0, 3.0])
    losses, _ = losses_of("linear(d=4, beta=1, source=0.5, signal=3)")
    assert abs(z_of(losses["excess_risk"], 3.0)) < 4


def test_zero_weights_of_a_generalised_linear_model():
    s = 0.7
    losses, _ = losses_of(f"glm(d=3, labels_are=poisson, signal={s})", (1, 2))
    # E e^e = m and E e e^e = s m for e ~ N(0, s), with m = e^(s/2); KL = E (e e^e - e^e) + 1
    expected = 1 + (s - 1) * math.exp(s / 2)
    assert losses["kl"].tolist() == pytest.approx([expected] * 2)
    losses, _ = losses_of(f"glm(d=3, signal={s})", (1, 2))
    e = np.linspace(-12, 12, 20_001)
    p, density = 1 / (1 + np.exp(-e)), np.exp(-(e**2) / 2 / s) / math.sqrt(2 * math.pi * s)
    kl = math.log(2) + p * np.log(p) + (1 - p) * np.log1p(-p)
    assert losses["kl"].tolist() == pytest.approx([np.trapezoid(kl * density, e)] * 2, rel=1e-6)


def test_the_normal_law_over_all_seeds():
    losses, _ = losses_of("gaussian(sigma=2)")
    assert abs(z_of(losses["w2"], 4 * (1 + (math.sqrt(2) - 1) ** 2))) < 4
    losses, _ = losses_of("gaussian(d=3, sigma=2, beta=1, truth_is=fixed)", (1, 2))
    scale = 2 * np.arange(1, 4) ** -0.5
    size = math.sqrt(4 + (scale**2).mean())
    assert losses["w2"].tolist() == pytest.approx([((size - scale) ** 2).sum()] * 2)


def test_the_standard_normal_law_of_a_shape():
    losses, real = losses_of("planar(shape=moons)", (1, 2))
    square = real.truth.test_rows.square().sum(-1).mean(-1) / 2
    assert losses["nll"].tolist() == pytest.approx((math.log(2 * math.pi) + square).tolist())


@pytest.mark.parametrize(
    "data",
    [
        "gaussian(d=3, beta=1)",
        "gaussian-mixture(components=3, minority=0.2, d=3)",
    ],
)
def test_it_has_the_moments_of_a_row_over_all_seeds(data):
    real = truth_of(data)
    rng = Stream(SEEDS).at("row")
    y = real.answer(real.ask(1, rng), rng)[..., 0, :]  # one row of each seed, (R, d)
    mean, factor = real.trivial().mean_and_factor()
    d = y.shape[-1]
    covariance = (factor @ factor.mT)[0]
    assert not mean.any()
    for i in range(d):
        assert abs(z_of(y[:, i], 0.0)) < 4
        for j in range(i + 1):
            assert abs(z_of(y[:, i] * y[:, j], float(covariance[i, j]))) < 4


def test_the_most_frequent_divisor_is_one():
    top = 30
    losses, _ = losses_of(f"gcd(max={top}, test=100, each=1)", range(400))
    pairs = np.gcd.outer(np.arange(1, top + 1), np.arange(1, top + 1))
    assert abs(z_of(losses["error"], 1 - (pairs == 1).mean())) < 4
    assert (losses["wrong_gcd_1"] == 0).all()
    assert (losses["wrong_gcd_2"] == 1).all()


def test_the_prior_of_divisors_draws_what_it_states():
    teacher, rng = DivisorPrior(10, 3, 100), Stream((5,))
    x = torch.zeros(1, 20_000, 8, dtype=torch.int64)
    tokens, p = teacher._table(x)
    stated = teacher.logp(x[:, :100], tokens[None]).sum(-1).exp()[0]
    assert stated.numpy() == pytest.approx(p.numpy())
    y = teacher.answer(x, rng)[0]
    for g in (0, 1, 9):
        hit = (y == tokens[g]).all(-1).double()
        assert abs(z_of(hit, float(p[g]))) < 4
    assert teacher.logp(x[:, :1], torch.tensor([[[10, 0, 3, -1]]])).sum() == -math.inf  # no number
    with pytest.raises(Incompatible, match="greedily"):
        teacher.decoded(temperature=0.5)


def test_the_most_frequent_class_of_images():
    losses, real = losses_of("digits", (1, 2))
    often = int(real.truth.share.argmax())
    wrong = float((real.truth.test_labels != often).double().mean())
    assert losses["error_rate"].tolist() == pytest.approx([wrong] * 2)
    assert losses["error_worst_class"].tolist() == pytest.approx([1, 1])


def test_a_labeller_hands_on_that_of_its_data():
    for source in ("noisy-labels", "weak-labeller"):
        real = truth_of("digits", (1, 2))
        first = registry().build("generator", source)
        labeller = first.sample_truth(Stream((1, 2)).at("first"), real)
        x = real.ask(5, Stream((1, 2)))
        assert torch.equal(labeller.trivial().mean_answer(x), real.trivial().mean_answer(x))


def test_uniform_tokens_of_stories():
    losses, real = losses_of("grammar-stories(words=20, block=20, test=50, judged=4)", (1, 2))
    y, end = real.truth.held_out.y, 1 / 21
    tokens, ends = (y >= 0).sum((-2, -1)), (y[..., -1] < 0).sum(-1)
    nats = -(tokens * math.log((1 - end) / real.labels) + ends * math.log(end)) / (tokens + ends)
    assert losses["nats"].tolist() == pytest.approx(nats.tolist())
    assert losses["ungrammatical"].tolist() == [1, 1]


@pytest.mark.parametrize("unit", ["window", "row"])
def test_uniform_tokens_of_a_text(tmp_path, unit):
    path = tmp_path / "text.txt"
    path.write_text("\n".join("abcdefghij" * (1 + i % 3) for i in range(60)))
    spec = (
        f'text(source="{path}", tokenizer=bytes, unit={unit}, block=24, prompt=4, test=4, judged=2)'
    )
    losses, real = losses_of(spec, (1, 2))
    ends = (real.truth.held_out.y < 0).any()
    assert bool(ends) == (unit == "row")
    if unit == "window":  # no text ends, so that no probability is spent on an end
        assert losses["nats"].tolist() == pytest.approx([math.log(256)] * 2)
    else:
        assert (losses["nats"] > math.log(256) * 0.5).all()
        assert real.trivial().end == pytest.approx(1 / 21)


def test_uniform_tokens_are_drawn_as_stated():
    teacher = UniformTokens(3, 4, 0.2)
    every = [t for n in range(5) for t in np.ndindex(*(3,) * n)]
    y = torch.tensor([[*t, *(-1,) * (4 - len(t))] for t in every])[None]
    x = torch.zeros(1, len(every), 0, dtype=torch.int64)
    p = teacher.logp(x, y).sum(-1).exp()
    assert float(p.sum()) == pytest.approx(1.0)
    drawn = teacher.answer(torch.zeros(1, 20_000, 0, dtype=torch.int64), Stream((3,)))[0]
    for i in (0, 1, 20, -1):
        assert abs(z_of((drawn == y[0, i]).all(-1).double(), float(p[0, i]))) < 4


def test_independent_pixels_have_the_scale_of_the_pool():
    real = truth_of("pictures(test=60)", (1,))
    images = real.truth.images[: real.truth.pool].double()
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std()) == pytest.approx(1, abs=1e-4)
    _, factor = real.trivial().mean_and_factor()
    assert torch.equal(factor[0], torch.eye(64, dtype=torch.float64))
    assert has_method(Pictures(), "trivial")


# -- against a small fit -----------------------------------------------------------------------------


def primary_of(cell: str):
    cell = cell_of(cell, seeds=range(8))
    *_, last = generations(cell)
    return last.scores[cell.data.primary].double()


@pytest.mark.parametrize(
    "task",
    [
        "zipf(K=100) | counts | replace {} @ n=100 T=0",
        "bigram(K=6) | counts | replace {} @ n=60 T=0",
        "zipf-memory(K=40) | memory | replace {} @ n=40 T=0",
        "gaussian(d=2) | gaussian-fit | replace {} @ n=20 T=0",
        "gaussian-mixture | mixture-fit | replace {} @ n=50 T=0",
        *(
            f"planar(shape={shape}) | kde | replace {{}} @ n=50 T=0"
            for shape in ("blobs", "circles", "moons", "swiss-roll")
        ),
        "tabular(table=wine) | gaussian-copula | replace {} @ n=60 T=0",
        "linear(d=4) | ols | replace {} @ n=20 T=0",
        "glm(d=3) | glm-fit | replace {} @ n=60 T=0",
        "half-space(d=4) | least-squares | replace {} @ n=30 T=0",
        "gcd(max=30, test=40, each=5) | gcd-sieve | replace {} @ n=200 T=0",
        "digits | averaging | replace {} @ n=40 T=0",
        "grammar-stories | ngram(order=2) | replace {} @ n=30 T=0",
        pytest.param(
            "pictures(test=60) | gaussian-fit | replace {} @ n=200 T=0", marks=pytest.mark.slow
        ),
    ],
)
def test_a_small_fit_to_real_rows_is_better(task):
    trivial, fitted = (primary_of(task.format(act)) for act in ("| trivial", ""))
    gain = trivial - fitted
    assert float(gain.mean()) > 3 * float(gain.std()) / math.sqrt(len(gain))


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("zipf(beta=0, K=100) | counts | replace {} @ n=100 T=0", "the truth is uniform"),
        ("linear(d=20) | ols | replace {} @ n=22 T=0", "hardly more rows than weights"),
        ("gaussian(truth_is=fixed) | gaussian-fit | replace {} @ n=2 T=0", "two rows"),
    ],
)
def test_where_a_small_fit_is_not_better(task, why):
    trivial, fitted = (primary_of(task.format(act)).mean() for act in ("| trivial", ""))
    assert fitted > trivial, why


def test_it_is_the_same_in_every_generation_and_under_every_protocol():
    for protocol in ("replace", "mix(real=0.2)", "accumulate"):
        cell = cell_of(f"linear(d=4) | ols | {protocol} | trivial @ n=20 T=2", seeds=(1, 2))
        losses = [now.scores["excess_risk"].tolist() for now in generations(cell)]
        expected = nature(cell).truth.w.square().sum(-1).tolist()
        assert losses == [pytest.approx(expected)] * 3
