"""Synthetic labels that help: two stages, self-distillation."""

from __future__ import annotations

import pytest
import torch
from holding import EQUIVALENT, follow, holds

from collapse_bench import cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.lib.linear.centred import fit_about, residual
from collapse_bench.lib.linear.regression import LinearTeacher
from collapse_bench.plugins.models.ridge import Ridge
from collapse_bench.theory import gains, strong

# Ridge, d = 100, p2 = .75, c2 = .25, noise 1.  The penalty of the mixture and of the first stage is
# too small to matter; that of the real quarter and of the second stage is the best one, d/(n1 g) for
# a signal g, which is 1 or the risk of the first stage.
SETTINGS = [
    (2000, 0.2, 0.622, (0.187, 0.186, 0.127)),
    (10000, 0.04, 0.152, (0.151, 0.039, 0.036)),
]


@pytest.mark.parametrize(("n", "lam", "lam2", "known"), SETTINGS)
def test_two_stages_are_worth_more_than_the_real_rows(n, lam, lam2, known):
    """An independent simulation gave ``known``: mixture, real quarter, two stages."""
    task = f"linear(d=100) | ridge(lam={{}}) | mix(real=0.25){{}} @ n={n} T=0 first=linear-surrogate(c2=0.25)"
    laws = (
        strong.mixture(100, n, 0.001, 0.75, c2=0.25),
        strong.mixture(100, n // 4, lam, 0.0),
        gains.two_stage(100, n, 0.001, 0.75, lam2, c2=0.25),
    )
    specs = (
        task.format(0.001, ""),
        f"linear(d=100) | ridge(lam={lam}) | replace @ n={n // 4} T=0",
        task.format(0.001, f" | two-stage(lam={lam2})"),
    )
    chains = 100 if n < 5000 else 40
    for spec, law, number in zip(specs, laws, known, strict=True):
        assert law == pytest.approx(number, rel=0.05)
        [(_, _, scores, _)] = follow(spec, chains)
        holds(spec, scores["excess_risk"], law, EQUIVALENT, sees=0.15)
    assert laws[2] < 0.95 * min(laws[:2])


def test_a_fit_about_a_centre_is_the_penalised_minimum():
    rng = Stream([1, 2])
    x, y, c = rng.at("x").normal(30, 4).double(), rng.at("y").normal(30).double(), torch.ones(2, 4)
    centre = LinearTeacher(c.double())
    w = fit_about(centre, Ridge(0.3), Corpus.of(x, y, (2,)), rng, None).w
    slope = -2 / 30 * (x.mT @ (y - (x @ w[..., None])[..., 0])[..., None])[..., 0]
    assert torch.allclose(slope + 2 * 0.3 * (w - centre.w), torch.zeros_like(w), atol=1e-12)
    sums = residual(Corpus.of(x, y, (2,)).products(), w)
    rest = y - (x @ w[..., None])[..., 0]
    assert torch.allclose(sums.yy, rest.square().sum(-1))
    assert torch.allclose(sums.xy, (x.mT @ rest[..., None])[..., 0])


def test_a_network_continues_from_its_first_stage():
    cell = cell_of(
        "digits | mlp(width=8, steps=5) | mix(real=0.5) | two-stage @ n=40 T=1", seeds=[1]
    )
    plain = cell_of("digits | mlp(width=8, steps=5) | mix(real=0.5) @ n=40 T=1", seeds=[1])
    assert cell.incompatibility() is None
    *_, two = generations(cell)
    *_, one = generations(plain)
    assert not torch.equal(two.scores[cell.data.primary], one.scores[cell.data.primary])
    assert two.ledger.track() == "provenance"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("linear(d=3) | ols | mix | two-stage", "does not depend on a start"),
        ("half-space(d=3) | logistic | mix | two-stage", "does not depend on a start"),
        ("linear(d=3) | ridge | replace | two-stage", "provides only synthetic ones"),
        ("linear(d=3, sampler=exact-law) | ridge | mix | two-stage", "choose sampler=explicit"),
    ],
)
def test_two_stage_refuses_what_has_no_start(spec, words):
    assert words in (cell_of(f"{spec} @ n=20 T=1").incompatibility() or "")


# -- self-distillation ----------------------------------------------------------------------------------------------


def rows_of_ridge(d, n, lam, seed=0):
    """(teacher, student of xi = 1, truth, a chain of rows) of one ridge fit, one chain."""
    rng = Stream([seed])
    w = rng.at("w").normal(d).double() / d**0.5
    x = rng.at("x").normal(n, d).double()
    y = (x @ w[..., None])[..., 0] + 0.5 * rng.at("noise").normal(n).double()
    corpus, model = Corpus.of(x, y, (1,)), Ridge(lam)
    teacher = model.fit(corpus, rng)
    pure = model.fit(corpus.edited(y=teacher.mean_answer(x)), rng)
    return teacher, pure, w, corpus, rng


@pytest.mark.parametrize("lam", [0.01, 0.2, 2.0])
def test_the_best_student_of_given_rows_has_the_risk_of_the_paper(lam):
    """R - lam^2 R'^2/(4 D) at xi = -lam R'/(2 D), with R' of these rows: six digits and more."""
    teacher, pure, w, corpus, rng = rows_of_ridge(30, 60, lam)

    def risk(fit):
        return float((fit.w - w).square().sum())

    step = 1e-6 * lam
    slope = (
        risk(Ridge(lam + step).fit(corpus, rng)) - risk(Ridge(lam - step).fit(corpus, rng))
    ) / (2 * step)
    D = float((pure.w - teacher.w).square().sum())
    xi = -lam * slope / (2 * D)
    mixed = (1 - xi) * corpus.y + xi * teacher.mean_answer(corpus.x)
    student = Ridge(lam).fit(corpus.edited(y=mixed), rng)
    assert risk(student) == pytest.approx(risk(teacher) - (lam * slope) ** 2 / (4 * D), rel=1e-6)
    assert risk(student) < risk(teacher)
    assert (xi < 0) == (slope > 0)
    # dw/dlam by the student of xi = 1
    nudged = (Ridge(lam + step).fit(corpus, rng).w - Ridge(lam - step).fit(corpus, rng).w) / (
        2 * step
    )
    assert torch.allclose(pure.w - teacher.w, lam * nudged, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("lam", "world", "law"),
    [(0.05, "noise=1", {"s": 1.0}), (2.0, "noise=0.5", {"s": 0.5})],
)
def test_the_estimated_weight_takes_most_of_the_gain(lam, world, law):
    d, n, chains = 100, 300, 200
    task = f"linear(d={d}, {world}, sampler=exact-law) | ridge(lam={lam}) | mix(real=1)"
    best, teacher = (
        gains.self_distilled(d, n, lam, None, **law),
        gains.self_distilled(d, n, lam, 0.0, **law),
    )
    *_, (_, _, scores, _) = follow(f"{task} | self-distillation @ n={n} T=1", chains)
    loss = scores["excess_risk"]
    error = float(loss.std()) / chains**0.5
    assert best - 4 * error - EQUIVALENT * best < loss.mean() < best + 0.25 * (teacher - best)


def test_rows_and_sums_give_the_same_student():
    spec = "linear(d=4) | ridge(lam=0.3) | replace | self-distillation(xi={}) @ n=20 T=2"
    cell = cell_of(spec.format(0.4), seeds=[1, 2])
    *_, ours = generations(cell)
    nothing, plain = (
        list(generations(cell_of(text, seeds=[1, 2])))[-1]
        for text in (spec.format(0.0), "linear(d=4) | ridge(lam=0.3) | replace @ n=20 T=2")
    )
    assert torch.allclose(nothing.scores["excess_risk"], plain.scores["excess_risk"])
    assert not torch.allclose(ours.scores["excess_risk"], plain.scores["excess_risk"])
    assert ours.ledger.track() == "blind"
    assert ours.ledger.total("fits") == 3 + 2  # one more in each generation after the first


@pytest.mark.parametrize(
    ("model", "act", "words"),
    [
        ("ols", "self-distillation", "changes nothing for ols"),
        ("random-features", "self-distillation", "give a number, as in self-distillation(xi=0.5)"),
        ("ridge(lam=0)", "self-distillation", "choose ridge(lam=...)"),
    ],
)
def test_self_distillation_refuses_what_it_cannot_estimate(model, act, words):
    cell = cell_of(f"linear(d=3) | {model} | replace | {act} @ n=20 T=1")
    assert words in (cell.incompatibility() or "")
