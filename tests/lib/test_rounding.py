"""What is equal in exact arithmetic is a tie, whatever the last bits say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from collapse_bench.core.corpus import Corpus
from collapse_bench.lib.distributions.decoding import Decoding
from collapse_bench.lib.distributions.tables import TableTeacher, recalled
from collapse_bench.lib.rounding import at_least, extrapolated, settled
from collapse_bench.lib.rows.neighbours import closest
from collapse_bench.lib.rows.selection import best, keep_best
from collapse_bench.lib.text.language import tail_of

UP = 1 + 2.0**-50  # four units in the last place


def exact(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def shaken(values: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The values with other last bits, as another kernel computes them."""
    noise = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)).double()
    return values * (1 + 1e-15 * (2 * noise - 1))


@given(st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=20))
@example([0.0, 2.0**1023])
@example([5e-324, 1e-300, -1e-290])
def test_the_order_of_values_never_changes(values):
    order = exact(values).argsort()
    ranked = settled(exact(values))[order]
    assert (ranked[1:] >= ranked[:-1]).all()


def test_values_equal_up_to_rounding_are_equal():
    values = exact([0.1, 0.1 * UP, 3.0, 3.0 / UP, 0.0, torch.inf, -torch.inf])
    out = settled(values)
    assert out[0] == out[1]
    assert out[2] == out[3]
    assert out[4] == 0
    assert torch.equal(out[5:], values[5:])
    assert out[0] < settled(values * (1 + 1e-9))[0]  # what is really larger stays larger
    torch.testing.assert_close(out[:5], values[:5], rtol=1e-11, atol=1e-11)


def test_one_enormous_value_does_not_level_the_others():
    values = exact([1.0, 1.0 + 1e-6, 1e300])
    assert settled(values)[0] < settled(values)[1]


def test_an_empty_row_and_single_precision():
    assert settled(torch.zeros(3, 0)).shape == (3, 0)
    one = torch.tensor([0.1, 0.1000001])
    assert settled(one)[0] == settled(one)[1]


def test_a_bound_is_reached_up_to_rounding():
    assert at_least(exact(0.95 / UP), 0.95)
    assert not at_least(exact(0.95 - 1e-9), 0.95)


def test_what_cancels_is_gone():
    """1.5 a/n - 0.5 (3a)/n is 0; its rounding error is no symbol."""
    a, n = torch.meshgrid(torch.arange(1.0, 200), torch.arange(600.0, 640), indexing="ij")
    one, other = a.double() / n, 3 * a.double() / n
    assert (shaken(one).lerp(other, -0.5) != 0).any()
    assert (extrapolated(shaken(one), other, -0.5) == 0).all()


def test_a_symbol_that_an_extrapolation_removes_is_lost():
    for n in range(600, 640):
        p = exact([[1.0, n - 1.0]]) / n
        q = exact([[3.0, n - 3.0]]) / n
        assert TableTeacher(shaken(p, n)).blend(TableTeacher(q), -0.5).p[0, 0] == 0


@pytest.mark.parametrize("setting", [{"top_p": 0.95}, {"top_k": 3}, {"min_p": 0.1}])
def test_a_cut_through_a_tie_is_the_same_with_other_last_bits(setting):
    """Counts reach .95 and a tenth of the largest exactly, and several symbols tie."""
    for counts in ([50, 30, 10, 5, 5], [60, 20, 6, 6, 6, 1, 1], [90, 5, 5], [40, 40, 10, 4, 4, 2]):
        p = exact(counts) / sum(counts)
        kept = Decoding(**setting).apply(p.log()) > -torch.inf
        for seed in range(20):
            other = Decoding(**setting).apply(shaken(p, seed).log()) > -torch.inf
            assert torch.equal(kept, other), counts


def test_a_mass_that_reaches_top_p_exactly_is_enough():
    p = exact([0.5, 0.45, 0.05])
    assert (Decoding(top_p=0.95).apply(p.log()) > -torch.inf).tolist() == [True, True, False]


def test_a_share_of_the_largest_that_equals_min_p_is_kept():
    """In single precision 0.1 is larger than 0.1."""
    p = exact([10.0, 1.0, 0.9])
    kept = Decoding(min_p=0.1).apply((p / p.sum()).log()) > -torch.inf
    assert kept.tolist() == [True, True, False]


def test_the_likeliest_symbol_is_always_kept():
    p = exact([0.5, 0.5])
    assert (Decoding(top_p=1e-15).apply(p.log()) > -torch.inf).tolist() == [True, False]


def test_selected_rows_are_the_same_with_other_last_bits():
    score = exact([[0.3, 0.1, 0.3, 0.3, 0.2]])
    corpus = Corpus.of(None, torch.zeros(1, 5, 1), (1,))
    kept = best(corpus, score, 2)
    assert kept.tolist() == [[1, 0, 1, 0, 0]]
    for seed in range(20):
        assert torch.equal(best(corpus, shaken(score, seed), 2), kept)


def test_a_quota_of_half_a_row_is_rounded_alike():
    """Half of 101 rows, whose weights are the same up to rounding."""
    score = torch.arange(101.0).double()[None]
    many = []
    for weight in (1.0, UP, 1 / UP):
        corpus = Corpus.of(
            None, torch.zeros(1, 101, 1), (1,), weight=torch.full((1, 101), weight).double()
        )
        many.append(round(float(keep_best(corpus, score, 0.5).weight.sum())))
    assert len(set(many)) == 1


def test_a_row_in_the_middle_goes_to_the_first_center():
    centres = exact([[[0.1], [0.3]]])
    for seed in range(20):
        assert closest(shaken(exact([[[0.2]]]), seed), shaken(centres, seed)) == 0


def test_no_row_in_the_middle_is_lost_to_a_grid():
    """Of 10^4 equal distances about one straddles the border of a grid; none of 4e5 may."""
    noise = np.random.default_rng(0)
    row, gap = (torch.from_numpy(noise.normal(size=(200_000, 1, 1))) for _ in range(2))
    for sign in (1, -1):
        centres = torch.cat([row - sign * gap, row + sign * gap], -2)
        assert (closest(row, centres) == 0).all()


def test_answers_of_equal_weight_tie_whatever_the_order_of_the_sums():
    """Two answers with the weights a, b, c in other orders: the smaller symbol is recalled."""
    weights = [0.1, 0.2, 0.3]
    for order in itertools.permutations(range(3)):
        w = exact([weights + [weights[i] for i in order]])
        y = torch.tensor([[1, 1, 1, 0, 0, 0]])
        corpus = Corpus.of(torch.zeros(1, 6, 1, dtype=torch.int64), y, (1,), weight=w, labels=2)
        assert recalled(corpus)[0][0, 0] == 0


def test_rare_types_that_reach_the_share_exactly_are_rare():
    counts = exact([70.0, 20, 4, 3, 3])
    for seed in range(20):
        rare, _ = tail_of(shaken(counts, seed), 0.1)
        assert rare.tolist() == [False, False, True, True, True]
