"""What the conformance kit cannot know of a mixture with a minority, and of EM."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import UsageError
from collapse_bench.lib.distributions.mixtures import MixtureTeacher
from collapse_bench.plugins.generators.gaussian_mixture import GaussianMixture
from collapse_bench.plugins.models.mixture_fit import MixtureFit


def drawn(R=6, n=60, **settings):
    """(nature, corpus of n rows) for R seeds."""
    rng = Stream(range(R))
    data = GaussianMixture(**settings).sample_truth(rng.at("truth"))
    return data, Corpus.of(None, data.answer(data.ask(n, rng.at("x")), rng.at("y")), (R,))


def likelihood(teacher, corpus):
    """Mean log-likelihood per unit of weight, (R,)."""
    each = teacher.logp(corpus.x, corpus.y)[..., 0]
    return (corpus.multiplicity * each).sum(-1) / corpus.mass


# -- EM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("components", [2, 5])
@pytest.mark.parametrize("floor", [1e-4, 0.3])
def test_no_step_of_em_lowers_the_likelihood(d, components, floor):
    _, corpus = drawn(d=d, separation=2.0, minority=0.3)
    corpus = corpus.weighted(Stream(range(6)).at("w").uniform(60).clamp_min(0.2) - 0.2)
    models = [MixtureFit(components, iterations, 0.0, floor) for iterations in (*range(12), 200)]
    told = torch.stack([likelihood(model.fit(corpus, None), corpus) for model in models])
    assert (told.diff(dim=0) >= -1e-12).all()
    assert (told[-1] > told[0]).all()


def test_em_stands_still_at_a_stationary_point():
    _, corpus = drawn(separation=3.0)
    teacher = MixtureFit(tolerance=0.0, iterations=5000).fit(corpus, None)
    parts = teacher.parts(corpus.y)
    share = (parts - parts.logsumexp(-2, keepdim=True)).exp()
    assert torch.allclose(share.mean(-1), teacher.weight, atol=1e-6)
    means = (share @ corpus.y) / share.sum(-1, keepdim=True)
    assert torch.allclose(means, teacher.mean, atol=1e-5)


def test_far_components_are_found_whole():
    data, corpus = drawn(R=40, separation=20.0, minority=0.1, components=4)
    nearest = torch.cdist(corpus.y, data.truth.teacher.mean).argmin(-1)
    counts = torch.nn.functional.one_hot(nearest, 4).double().mean(-2)
    weight = MixtureFit(components=4).fit(corpus, None).weight
    assert torch.allclose(weight.sort(-1).values, counts.sort(-1).values, atol=1e-9)


def test_fewer_places_than_components():
    rows = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 1.0]]).double()
    teacher = MixtureFit(components=3).fit(Corpus.of(None, rows, ()), None)
    assert teacher.weight.sort().values.tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    answers = teacher.answer(torch.empty(300, 0), Stream(0))
    assert torch.isfinite(answers).all()
    assert torch.isfinite(teacher.logp(rows[:, :0], rows)).all()
    one_place = MixtureFit().fit(Corpus.of(None, rows[:2], ()), None)
    assert torch.equal(
        one_place.answer(torch.empty(3, 0), Stream(0)).abs() < 1e-50,
        torch.ones(3, 2, dtype=torch.bool),
    )


def test_a_component_is_never_thinner_than_the_floor():
    _, corpus = drawn(separation=8.0, n=12, d=3)
    variance = (corpus.y - corpus.y.mean(-2, keepdim=True)).pow(2).mean((-2, -1))
    teacher = MixtureFit(components=4, floor=0.01).fit(corpus, None)
    thinnest = torch.linalg.svdvals(teacher.factor)[..., -1].pow(2).amin(-1)
    assert torch.allclose(thinnest, 0.01 * variance)  # four components on twelve rows reach it


def test_replicates_in_pieces_learn_the_same(monkeypatch):
    _, corpus = drawn()
    whole = MixtureFit().fit(corpus, None)
    monkeypatch.setattr("collapse_bench.plugins.models.mixture_fit.BUDGET", 500)
    pieces = MixtureFit().fit(corpus, None)
    assert torch.allclose(whole.mean, pieces.mean, rtol=1e-12)


def test_bad_parameters_are_refused_with_a_sentence():
    for text, sentence in (
        ("gaussian | mixture-fit(components=0) @ n=5 T=1", "components must be >= 1"),
        ("gaussian | mixture-fit(floor=0) @ n=5 T=1", "floor must be > 0"),
        ("gaussian-mixture(minority=0.7) | kde @ n=5 T=1", "minority must be > 0 and <= 0.5"),
        ("gaussian-mixture(components=1) | kde @ n=5 T=1", "components must be >= 2"),
    ):
        with pytest.raises(UsageError, match=sentence):
            cell_of(text)


# -- the teacher ----------------------------------------------------------------------------------------------------


def mixture():
    weight = torch.tensor([0.2, 0.0, 0.8], dtype=torch.float64)
    mean = torch.tensor([[0.0, 0.0], [50.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    factor = [[[1.0, 0.0], [0.5, 0.2]], [[1.0, 0.0], [0.0, 1.0]], [[0.3, 0.1], [0.0, 0.4]]]
    factor = torch.tensor(factor, dtype=torch.float64)
    return MixtureTeacher(weight, mean, factor)


def test_answers_have_the_spread_and_the_density_that_are_told():
    teacher = mixture()
    answers = teacher.answer(torch.empty(200000, 0), Stream(5))
    mean, factor = teacher.mean_and_factor()
    assert torch.allclose(answers.mean(0), mean, atol=0.02)
    assert torch.allclose(torch.cov(answers.T), factor @ factor.mT, atol=0.02)
    grid = torch.cartesian_prod(
        torch.linspace(-8, 8, 801, dtype=torch.float64),
        torch.linspace(-4, 5, 801, dtype=torch.float64),
    )
    q = teacher.logp(grid[:, :0], grid)[:, 0].exp() * (16 / 800) * (9 / 800)
    assert float(q.sum()) == pytest.approx(1, abs=1e-9)
    assert torch.allclose((q[:, None] * grid).sum(0), mean, atol=1e-9)


# -- the world ------------------------------------------------------------------------------------------------------


def test_losing_the_minority_costs_half_of_the_balanced_error():
    data, _ = drawn(separation=12.0)
    truth = data.truth.teacher
    weight = torch.tensor([1.0, 0.0]).double().expand_as(truth.weight)
    scores = data.losses(MixtureTeacher(weight, truth.mean, truth.factor), Stream(range(6)))
    for name, value in (
        ("balanced_error", 0.5),
        ("total_variation", 0.1),
        ("minority_error", 1.0),
        ("majority_error", 0.0),
        ("minority_lost", 1.0),
    ):
        assert torch.allclose(scores[name], torch.tensor(value).double(), atol=1e-6), name
    told = data.diagnostics(MixtureTeacher(weight, truth.mean, truth.factor))
    assert told["missing_mass"].tolist() == pytest.approx([0.1] * 6)
    assert told["components_left"].tolist() == [1] * 6


def test_nature_loses_nothing():
    data, _ = drawn(R=50)
    scores = data.losses(data, Stream(range(50)))
    assert all(
        float(scores[name].max()) == 0
        for name in ("balanced_error", "total_variation", "minority_error")
    )
    assert float(scores["minority_lost"].mean()) < 0.1  # an estimate from 1000 answers
    share = data.diagnostics(data)["minority_share"]
    assert (
        abs(float(share.mean()) - 0.1) < 4 * (0.09 / 1000 / 50) ** 0.5 + 0.002
    )  # some of it lies beyond the middle


def test_the_total_variation_is_one_minus_the_overlap():
    data, _ = drawn(R=200, d=1, separation=0.0, minority=0.5)
    truth = data.truth.teacher
    moved = dataclasses.replace(truth, mean=truth.mean + 1.0)
    error = data.losses(moved, Stream(range(200)))["total_variation"]
    exact = float(torch.special.erf(torch.tensor(0.5 / 2**0.5).double()))  # 2 Phi(1/2) - 1
    assert abs(float(error.mean()) - exact) < 4 * float(error.std()) / 200**0.5


@pytest.mark.parametrize("model", ["mixture-fit", "kde(rule=fixed, h=0.2)", "gaussian-fit"])
def test_the_minority_goes_first(model):
    cell = cell_of(
        f"gaussian-mixture(minority=0.05) | {model} | replace @ n=40 T=10", seeds=range(60)
    )
    *_, last = generations(cell)
    assert float(last.scores["minority_error"].mean()) > float(last.scores["majority_error"].mean())


def test_components_stand_in_a_row():
    data, _ = drawn(components=5, separation=3.0, sigma=2.0, d=3)
    gaps = torch.linalg.vector_norm(data.truth.teacher.mean.diff(dim=-2), dim=-1)
    assert torch.allclose(gaps, torch.full_like(gaps, 6.0))
    assert torch.allclose(data.truth.teacher.weight.sum(-1), torch.ones(6).double())
    assert len({tuple(c) for c in data.truth.teacher.mean[:, 0].tolist()}) == 6
    fixed = nature(cell_of("gaussian-mixture(truth_is=fixed, separation=4) | kde @ n=5 T=0"))
    assert fixed.truth.teacher.mean[0].tolist() == [[-2, 0], [2, 0]]
