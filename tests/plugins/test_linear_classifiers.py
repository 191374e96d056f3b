"""Averaging and least squares: equal to their two-class forms, also with weights, gaps and few rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.registry.discovery import registry

RNG = Stream((1, 2, 3))


def fitted(model, x, y, weight=None, labels=2):
    corpus = Corpus.of(x, y, tuple(x.shape[:1]), weight=weight, labels=labels)
    return registry().build("model", model).fit(corpus, RNG.at("fit"))


def rows(n, d, labels=2):
    return RNG.at("x").normal(n, d).double() + 0.3, RNG.at("y").integers(labels, n)


def direction(teacher):
    return teacher.w[..., 1, :] - teacher.w[..., 0, :]


def test_averaging_adds_up_what_is_on_either_side():
    x, y = rows(30, 5)
    w = direction(fitted("averaging", x, y))
    torch.testing.assert_close(w, ((2.0 * y - 1)[..., None] * x).mean(-2))


@pytest.mark.parametrize("n", [4, 12, 30])
def test_least_squares_is_least_squares_on_signs(n):
    """Of least norm where rows are fewer than columns."""
    x, y = rows(n, 12)
    w = direction(fitted("least-squares", x, y))
    for r in range(3):
        expected = np.linalg.lstsq(x[r].numpy(), 2.0 * y[r].numpy() - 1, rcond=None)[0]
        np.testing.assert_allclose(
            w[r].numpy(), expected, rtol=1e-7, atol=1e-8 if n != 12 else 1e-4
        )


def test_least_squares_with_weights_solves_the_weighted_normal_equations():
    x, y = rows(40, 6, labels=4)
    weight = RNG.at("w").uniform(40)
    teacher = fitted("least-squares", x, y, weight, labels=4)
    residual = torch.nn.functional.one_hot(y, 4).double() - teacher.mean_answer(x)
    assert (x.mT @ (weight[..., None] * residual)).abs().max() < 1e-9


@pytest.mark.parametrize("model", ["averaging", "least-squares"])
def test_a_label_that_the_lesson_lacks_leaves_the_other(model):
    x, _ = rows(30, 5)
    teacher = fitted(model, x, torch.ones(3, 30, dtype=torch.int64), labels=3)
    assert teacher.w.shape == (3, 3, 5)
    assert (teacher.w[:, [0, 2]] == 0).all()
    away = x.mean(-2, keepdim=True)
    assert (teacher.answer(away, RNG) == 1).all()


@pytest.mark.parametrize("model", ["averaging", "least-squares"])
def test_duplicated_questions_do_not_break_it(model):
    x, y = rows(3, 4)
    teacher = fitted(model, x.repeat(1, 5, 1), y.repeat(1, 5))
    alone = fitted(model, x, y)
    torch.testing.assert_close(teacher.w, alone.w, rtol=1e-6, atol=1e-9)


def test_teachers_can_be_averaged():
    x, y = rows(30, 5)
    one, other = fitted("averaging", x, y), fitted("least-squares", x, y)
    torch.testing.assert_close(
        one.blend(other, 0.25).mean_answer(x),
        0.75 * one.mean_answer(x) + 0.25 * other.mean_answer(x),
    )
