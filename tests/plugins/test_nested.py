"""Least squares for many widths of one matrix: every width is what a decomposition of its own gives."""

from __future__ import annotations

import numpy as np
import pytest

from collapse_bench.plugins.models.random_features._nested import shortest


def matrix(kind, n, M):
    rng = np.random.default_rng(n * M)
    A = rng.standard_normal((n, M))
    if kind == "dead features":
        A[:, [0, M // 3, M // 2]] = 0
    if kind == "dead rows":
        A[[0, n // 2]] = 0
    if kind == "rank":
        A = rng.standard_normal((n, 3)) @ rng.standard_normal((3, M))
    return A, rng.standard_normal((n, 2))


def decomposed(A, y):
    return np.linalg.pinv(A, rcond=1e-11) @ y


@pytest.mark.parametrize("kind", ["full", "dead features", "dead rows", "rank"])
@pytest.mark.parametrize(("n", "M"), [(40, 90), (40, 40), (40, 12), (1, 5), (7, 1)])
def test_every_width_is_the_pseudoinverse_of_its_columns(kind, n, M):
    A, y = matrix(kind, max(n, 2) if kind == "dead rows" else n, M)
    widths = sorted({1, max(1, M // 2), max(1, min(n, M) - 1), min(n, M), min(n + 1, M), M})
    for m, v in zip(widths, shortest(A, y, widths), strict=True):
        exact = decomposed(A[:, :m], y)
        assert v.shape == (m, 2)
        assert (
            np.linalg.norm(v - exact) <= 1e-8 * max(np.linalg.norm(exact), 1e-300)
            or not A[:, :m].any()
        )


def test_order_and_repetition_of_widths_play_no_role():
    A, y = matrix("full", 30, 80)
    asked = [60, 5, 30, 60, 31]
    together = shortest(A, y, asked)
    for m, v in zip(asked, together, strict=True):
        np.testing.assert_allclose(v, shortest(A, y, [m])[0], rtol=1e-8, atol=1e-10)


def test_inputs_are_only_lent():
    A, y = matrix("dead rows", 20, 50)
    lent = A.copy(), y.copy()
    shortest(A, y, [10, 20, 50])
    assert (lent[0] == A).all()
    assert (y == lent[1]).all()


def test_nothing_to_learn_from_gives_nothing():
    assert not shortest(np.zeros((4, 3)), np.ones((4, 1)), [3])[0].any()


@pytest.mark.parametrize("m", [0, 4])
def test_a_width_beyond_the_columns_is_refused(m):
    with pytest.raises(ValueError, match=r"widths must be in \[1, 3\]"):
        shortest(np.ones((4, 3)), np.ones((4, 1)), [m])
