"""One preference kills variety; two that disagree keep both sets alive."""

from __future__ import annotations

import math

import pytest
from holding import follow, holds

from collapse_bench import cell_of
from collapse_bench.theory import TheoryError, preferences


def test_the_published_map_is_the_limit_of_many_answers():
    """p' = p (q e^{r1}/Z1 + (1 - q) e^{r2}/Z2), for a set of share x and its complement."""
    x, q, s = 0.3, 0.6, 1.5
    Z1, Z2 = x * math.exp(s) + 1 - x, x + (1 - x) * math.exp(s)
    assert preferences.share(x, q, s, 1) == pytest.approx(x * (q * math.exp(s) / Z1 + (1 - q) / Z2))
    assert preferences.share(x, q, s, 1, 3000) == pytest.approx(
        preferences.share(x, q, s, 1), rel=1e-3
    )
    assert preferences.least_share(s, 10_000) == pytest.approx(preferences.least_share(s), rel=1e-3)
    assert preferences.least_share(s) == pytest.approx(1 / (1 + math.exp(s)))


@pytest.mark.parametrize("k", [3, 8, None])
@pytest.mark.parametrize("s", [0.5, 2.0])
def test_both_sets_survive_exactly_between_the_thresholds(k, s):
    kappa = preferences.least_share(s, k)
    assert 0 < kappa < 0.5

    def grows(q, x):  # a rare set, in one round
        return preferences.share(x, q, s, 1, k) > x

    assert grows(kappa + 0.01, 1e-6)
    assert not grows(kappa - 0.01, 1e-6)
    # the other set, by symmetry
    rare = 1 - preferences.share(1 - 1e-6, 1 - kappa - 0.01, s, 1, k)
    assert rare > 1e-6
    inside = preferences.share(0.05, (kappa + 0.5) / 2, s, 400, k)
    assert 0.01 < inside < 0.5
    assert preferences.share(0.5, kappa / 2, s, 400, k) < 1e-6


def test_of_two_answers_one_preference_always_wins():
    assert preferences.least_share(1.0, 2) == pytest.approx(0.5)
    assert preferences.share(0.3, 0.7, 1.0, 300, 2) > 0.999


@pytest.mark.parametrize(
    ("q", "survive"),
    [(0.5, (True, True)), (0.1, (False, True)), (0.9, (True, False))],
)
def test_sets_of_many_symbols_live_and_die_by_the_law(q, survive):
    spec = (
        f"zipf(K=20, beta=0.5, truth_is=fixed) | counts | replace | "
        f"plural-preferences(q={q}, k=8, strength=2) @ n=500 T=12"
    )
    p = [i**-0.5 for i in range(1, 21)]
    x = sum(p[0::2]) / sum(p)
    for _, teacher, _, _ in follow(spec, 40):
        even = teacher.p[..., 0::2].sum(-1)
    law = preferences.share(x, q, 2.0, 12, 8)
    assert (law > 0.05, law < 0.95) == survive
    if all(survive):
        holds(spec, even, law, slack=0.02)
    else:  # the law of infinitely many rows; with 500 the rare set is lost a little earlier
        assert abs(even.mean() - law) < 0.02


def test_a_single_preference_kills_the_variance_and_two_keep_it():
    task = (
        "gaussian | gaussian-fit | replace | plural-preferences(q={}, k=4, strength=1) @ n=300 T=6"
    )
    spread = {}
    for q in (1.0, 0.5):
        *_, (_, teacher, _, _) = follow(task.format(q), 40)
        spread[q] = teacher.mean_and_factor()[1][..., 0, 0].square().mean()
    # one preference multiplies the variance by less than 1 in every round
    assert spread[1.0] < 0.5 < 1 < spread[0.5]


def test_refusals_name_the_thing():
    reason = cell_of(
        "zipf(K=20, sampler=exact-law) | counts | replace | plural-preferences @ n=20 T=1"
    ).incompatibility()
    assert "choose sampler=explicit" in (reason or "")
    with pytest.raises(TheoryError, match="k must be a whole number >= 2"):
        preferences.least_share(1.0, 1)
