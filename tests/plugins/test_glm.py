"""Generalised linear models: the labels, the divergence, the fit, and what generations do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
import torch
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from collapse_bench import cell_of, generations
from collapse_bench.api import predict
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import NothingMatched
from collapse_bench.lib.linear.glm import FAMILIES, GLMTeacher

WORLD = "glm(labels_are={0}, d=3) | glm-fit(family={0}) | {1} @ n={2} T={3}"


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    return request.param


def test_labels_follow_the_distribution(family):
    rng = np.random.default_rng(0)
    mean = torch.tensor(np.exp(2 * rng.normal(size=(1, 4000)))).clamp_max(0.999)
    if family == "poisson":
        mean = torch.tensor(np.exp(2 * rng.normal(size=(1, 4000))))
        mean[0, :3], mean[0, 3:6] = 1e7, 1e-30
    labels = FAMILIES[family].sampled(mean, Stream(np.array([5])))
    u = Stream(np.array([5])).uniform(4000).double()
    if family == "poisson":
        expected = scipy.stats.poisson.ppf(u.numpy(), mean.numpy())
    else:
        expected = (u < mean).numpy()
    assert np.array_equal(labels.numpy(), expected)


def test_the_divergence_is_that_of_many_questions(family):
    cell = cell_of(WORLD.format(family, "replace", 300, 0), seeds=range(6))
    data = nature(cell)
    w = data.truth.teacher.w
    for v in (w, 0.3 * w, w + 0.4, -w):
        teacher = GLMTeacher(v, family)
        exact = data.losses(teacher, cell_rng())["kl"]
        x = torch.randn(6, 200_000, 3, generator=torch.Generator().manual_seed(1)).double()
        e, f = (part.predictor(x) for part in (data.truth.teacher, teacher))
        rule = FAMILIES[family]
        each = rule.log_partition(f) - rule.log_partition(e) - rule.mean(e) * (f - e)
        error = each.std(-1) / each.shape[-1] ** 0.5
        assert ((each.mean(-1) - exact).abs() <= 5 * error + 1e-12).all()
    assert (data.losses(data, cell_rng())["kl"] < 1e-12).all()


def cell_rng():
    return Stream(np.arange(6))


def test_a_teacher_of_another_kind_is_judged_on_fixed_questions(family):
    """The same means without the weights give the same loss, up to the sampling of questions."""
    cell = cell_of(WORLD.format(family, "replace", 300, 0), seeds=range(6))
    data = nature(cell)
    teacher = GLMTeacher(data.truth.teacher.w * 0.5, family)

    class Other(type(data.truth.teacher).__base__):
        def answer(self, x, rng):
            return teacher.answer(x, rng)

        def mean_answer(self, x):
            return teacher.mean_answer(x)

    exact, sampled = (data.losses(one, cell_rng())["kl"] for one in (teacher, Other()))
    assert torch.allclose(exact, sampled, rtol=0.15)


def test_the_fit_is_that_of_a_library(family):
    cell = cell_of(WORLD.format(family, "replace", 400, 0), seeds=range(3))
    data, rng = nature(cell), Stream(np.arange(3))
    x = data.ask(400, rng.at("x"))
    y = data.observe(data.answer(x, rng.at("y")), rng.at("noise"))
    weight = torch.rand(3, 400, generator=torch.Generator().manual_seed(0)).double() + 0.5
    found = cell.model.fit(Corpus.of(x, y, (3,), weight), rng.at("fit"))
    for i in range(3):
        if family == "poisson":
            library = PoissonRegressor(alpha=0, fit_intercept=False, tol=1e-10, max_iter=1000)
        else:
            library = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
        library.fit(x[i].numpy(), y[i].numpy(), sample_weight=weight[i].numpy())
        assert np.allclose(found.w[i].numpy(), np.ravel(library.coef_), atol=1e-4)


def test_the_law_ends_where_the_leading_order_does():
    spec = "glm(d=2{world}) | glm-fit{model} | {protocol} @ n={n} T=20{more}"

    def law(world="", model="", protocol="replace", n=1000, more=""):
        values = {"world": world, "model": model, "protocol": protocol, "n": n, "more": more}
        return predict(spec.format(**values))

    values = law()
    assert values[0] == pytest.approx(2 / 2000)
    assert [t for t in range(21) if values[t] == values[t]] == list(range(10))  # 20 rows per fit
    assert all(value == value for value in law(protocol="accumulate"))
    for other in (
        {"model": "(lam=0.1)"},
        {"world": ", signal=9"},
        {"n": 90},
        {"more": " growth=1"},
    ):
        with pytest.raises(NothingMatched):
            law(**other)


def test_labels_that_separate_the_questions_leave_finite_weights():
    cell = cell_of("glm(d=8, signal=16) | glm-fit | replace @ n=8 T=3", seeds=range(8))
    for now in generations(cell):
        assert torch.isfinite(now.teacher.w).all()
        assert torch.isfinite(now.scores["kl"]).all()


def test_a_model_of_the_other_family_is_refused():
    cell = cell_of("glm(labels_are=poisson) | glm-fit(family=bernoulli) | replace @ n=100 T=1")
    assert "choose glm-fit(family=poisson)" in cell.incompatibility()


def test_sampled_labels_lose_and_true_rows_keep(family):
    """Replace grows in proportion to the fits, accumulating stays below pi^2/6 of one fit."""
    seeds, one = range(400), 3 / (2 * 500)
    last = {}
    for protocol in ("replace", "accumulate"):
        cell = cell_of(WORLD.format(family, protocol, 500, 7), seeds=seeds)
        for now in generations(cell):
            last[protocol] = now.scores["kl"]
    assert 6 * one < last["replace"].mean() < 11 * one
    assert one < last["accumulate"].mean() < 2 * one
