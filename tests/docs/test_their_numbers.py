"""The published numbers of docs/their-numbers.md, and how numbers are shown there."""

from __future__ import annotations

import math

import pytest


@pytest.fixture(scope="module")
def page(quoted):
    """The module that computes the page."""
    from quoted import their_numbers

    return their_numbers


def test_the_published_histories_agree_with_the_laws(page):
    """64 comparisons: none is far, and together they are as far as chance."""
    gaps = [
        (mean - page.exact(setting, n, k, quantity)) / error
        for setting, n, k, quantity, _, mean, error in page.HISTORIES
    ]
    assert len(gaps) == 64
    assert max(map(abs, gaps)) < 3
    assert 0.2 < math.fsum(gap**2 for gap in gaps) / len(gaps) < 2


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [(0.12345, 0.0021, "0.1235 ± 0.0021"), (58.84, 2.6, "58.8 ± 2.6"), (172.8, 16.0, "173 ± 16")],
)
def test_a_number_is_shown_with_two_digits_of_its_error(page, mean, error, text):
    assert page.shown(mean, error) == text
