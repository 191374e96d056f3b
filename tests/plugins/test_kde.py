"""What the conformance kit cannot know of kernel density estimates."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.neighbors import KernelDensity

from collapse_bench import cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.plugins.models.kde import KDE
from collapse_bench.theory import kde


def learnt(rows, weight=None, **settings):
    """A KDE of rows (n, d), no replicates."""
    y = torch.tensor(rows, dtype=torch.float64)
    y = y[:, None] if y.ndim == 1 else y
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return KDE(**settings).fit(Corpus.of(None, y, (), weight=weight), Stream(0))


def density(teacher, at):
    y = torch.tensor(at, dtype=torch.float64)
    return teacher.logp(y[..., :0], y)[..., 0].exp()


def test_density_is_the_mean_of_its_kernels():
    teacher = learnt([0.0, 1.0, 5.0], [1.0, 3.0, 0.0], rule="fixed", h=0.5)
    for y in (-1.0, 0.3, 5.0):
        bumps = [math.exp(-((y - c) ** 2) / 0.5) / math.sqrt(0.5 * math.pi) for c in (0.0, 1.0)]
        assert float(density(teacher, [[y]])) == pytest.approx(
            0.25 * bumps[0] + 0.75 * bumps[1], rel=1e-12
        )


@pytest.mark.parametrize("rule", ["fixed", "shrinking", "scaled", "silverman", "sklearn-scott"])
def test_density_is_that_of_the_answers(rule):
    rows = Stream(4).normal(6, 2).double() @ torch.tensor(
        [[2.0, 1.0], [0.0, 0.1]], dtype=torch.float64
    )
    teacher = learnt(rows.tolist(), rule=rule, h=0.6)
    answers = teacher.answer(torch.empty(200000, 0), Stream(1))
    mean, factor = teacher.mean_and_factor()
    covariance = factor @ factor.mT
    assert torch.allclose(
        answers.mean(0), mean, atol=5 * float(covariance.diagonal().max()) ** 0.5 / 440
    )
    assert torch.allclose(
        torch.cov(answers.T), covariance, rtol=0.03, atol=0.01 * float(covariance.max())
    )
    # whatever is drawn, E 1/q over a set is its area: here over an ellipse of the density's own
    z = torch.linalg.solve_triangular(factor, (answers - mean).T, upper=False)
    inside = z.norm(dim=0) < 0.5
    weights = inside / density(teacher, answers.tolist())
    area = math.pi * 0.25 * float(factor.diagonal().prod())
    error = float(weights.std()) / math.sqrt(len(weights))
    assert abs(float(weights.mean()) - area) < 4 * error
    assert error < 0.05 * area


def test_rules_scale_as_they_say():
    rows = Stream(3).normal(50, 1).double()

    def kernel(times, **settings):
        return float(learnt((times * rows).tolist(), **settings).kernel)

    spread = float(rows.std(correction=0))
    assert kernel(1, rule="fixed", h=0.2) == kernel(7, rule="fixed", h=0.2) == 0.2
    assert kernel(1, rule="scaled", h=0.2) == pytest.approx(0.2 * spread)
    assert kernel(7, rule="silverman") == pytest.approx(7 * kernel(1, rule="silverman"))
    assert kernel(1, rule="silverman") == pytest.approx(1.0592 * 50**-0.2 * spread, rel=1e-4)
    assert kernel(1, rule="shrinking", h=2) == pytest.approx(2 * 50**-0.2)


@pytest.mark.parametrize(("n", "d"), [(50, 1), (30, 2), (7, 5)])
def test_bandwidths_named_after_scikit_learn_are_its_own(n, d):
    """On rows of any scale; the rules without that name follow the scale, like SciPy's."""
    rows = 3.0 * Stream(3).normal(n, d).double()
    covariance = torch.cov(rows.T, correction=0).reshape(d, d)
    for name in ("silverman", "scott"):
        theirs = KernelDensity(bandwidth=name).fit(rows.numpy()).bandwidth_
        plain, scaled = (learnt(rows.tolist(), rule=rule) for rule in (f"sklearn-{name}", name))
        assert torch.allclose(
            plain.kernel @ plain.kernel.mT,
            theirs**2 * torch.eye(d, dtype=torch.float64),
            rtol=1e-12,
        )
        assert torch.allclose(scaled.kernel @ scaled.kernel.mT, theirs**2 * covariance, rtol=1e-9)


def test_the_scale_decides_how_far_an_estimate_spreads():
    """Generation 20 at n = 50: twelve times as wide where the bandwidth follows the batch."""
    spec = "gaussian | kde(rule={}) | replace @ n=50 T=20"
    wide = {}
    for rule in ("sklearn-silverman", "silverman"):
        cell = cell_of(spec.format(rule), seeds=range(144))
        *_, last = generations(cell)
        found = nature(cell).diagnostics(last.teacher)["variance"].double()
        wide[rule] = float(found.mean()), float(found.std()) / 12
    b = (4 / 150) ** 0.2
    for rule, law in (
        ("sklearn-silverman", kde.var(50, b, 21) + b**2),
        ("silverman", (1 + b**2) * kde.var_scaled(50, b, 21)),
    ):
        mean, error = wide[rule]
        assert abs(mean - law) < 4 * error, (rule, mean, law, error)
    assert wide["silverman"][0] > 8 * wide["sklearn-silverman"][0]


def test_no_bandwidth_is_the_bootstrap():
    teacher = learnt([0.0, 1.0, 5.0], [1.0, 0.0, 1.0], rule="fixed", h=0)
    answers = teacher.answer(torch.empty(500, 0), Stream(0))
    assert set(answers.flatten().tolist()) == {0.0, 5.0}
    with pytest.raises(Incompatible, match="no density"):
        density(teacher, [[0.0]])


def test_rows_on_a_point_or_on_a_line_still_have_a_density():
    point = learnt([[1.0, 2.0]] * 3)
    assert torch.equal(
        point.answer(torch.empty(4, 0), Stream(0)), torch.tensor([[1.0, 2.0]] * 4).double()
    )
    assert not density(point, [[1.0, 2.1]]).isnan().any()
    line = learnt([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    on, off = density(line, [[1.0, 1.0], [1.0, 1.5]])
    assert on > 1
    assert off < 1e-6


def test_a_bandwidth_below_zero_is_refused():
    with pytest.raises(UsageError, match=r"kde: h must be >= 0, got -1"):
        cell_of("gaussian | kde(h=-1) @ n=5 T=1")


def pairs(teacher, mean, sigma):
    """Integrated squared error of an estimate against N(mean, sigma^2), by all pairs of kernels, (R,)."""

    def bump(gap, v):
        return (-(gap**2) / (2 * v)).exp() / (2 * math.pi * v).sqrt()

    points, v = teacher.points[..., 0], teacher.kernel[..., 0] ** 2
    square = bump(points[..., :, None] - points[..., None, :], 2 * v[..., None]).mean((-1, -2))
    across = bump(points - mean, sigma**2 + v).mean(-1)
    return square - 2 * across + 1 / (2 * sigma * math.sqrt(math.pi))


@pytest.mark.parametrize(
    ("spec", "digits"),
    [
        ("gaussian | kde(rule=fixed, h=0.3) @ n=30 T=8", 1e-12),
        ("gaussian(sigma=5) | kde(rule=fixed, h=0.3) @ n=12 T=8", 1e-12),
        ("gaussian | kde(rule=fixed, h=0.02) @ n=20 T=3", 1e-11),
        ("gaussian | kde @ n=20 T=20", 1e-12),  # wider than the truth
        ("gaussian | kde(rule=scaled, h=0.1) @ n=5 T=15", 1e-8),  # far narrower
    ],
)
def test_the_integrated_squared_error_is_exact(spec, digits):
    cell = cell_of(spec, seeds=range(16))
    data = nature(cell)
    *_, last = generations(cell)
    exact = pairs(last.teacher, data.truth.teacher.mean, data.sigma)
    assert ((data.diagnostics(last.teacher)["ise"] / exact - 1).abs() < digits).all()


def test_the_integrated_squared_error_sees_an_outlier_and_says_where_it_cannot_tell():
    cell = cell_of("gaussian(truth_is=fixed) | kde @ n=5 T=1", seeds=(0,))
    data = nature(cell)
    for far, h, told in ((40.0, 0.3, True), (1e5, 0.3, False)):
        rows = torch.zeros(1, 400, 1).double()
        rows[:, 0] = far
        teacher = KDE(rule="fixed", h=h).fit(Corpus.of(None, rows, (1,)), Stream([0]))
        ise = data.diagnostics(teacher)["ise"]
        if told:
            assert float(ise) == pytest.approx(float(pairs(teacher, 0.0, 1.0)), rel=1e-10)
        else:
            assert ise.isnan()
    assert "ise" not in data.diagnostics(KDE(h=0.0).fit(Corpus.of(None, rows, (1,)), Stream([0])))


def test_one_bandwidth_explains_three_published_drifts():
    """+108.38, +24.72 and +13.77 % at 10, 50 and 90 % new real rows, after 20 estimates."""
    published = {0.1: 108.38, 0.5: 24.72, 0.9: 13.77}
    widths = {
        a: drift / 100 / (kde.mix_drawn(1000, 1.0, a, 20) - 1) for a, drift in published.items()
    }
    assert max(widths.values()) < 1.005 * min(widths.values())
    assert sum(widths.values()) / 3 == pytest.approx(0.3516**2, rel=5e-3)
    # Silverman's bandwidth of 250 rows of variance one
    assert pytest.approx(0.3516**2, rel=5e-3) == (4 / (3 * 250)) ** 0.4
