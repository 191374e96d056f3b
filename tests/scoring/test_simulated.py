"""The statistics of the score on simulated boards; docs/score.md has the large run."""

from __future__ import annotations

import math

import numpy as np
import pytest


def at_most(hits: np.ndarray, rate: float) -> bool:
    """Whether a true rate of at most ``rate`` could show so many hits, at 4 standard errors."""
    return hits.mean() <= rate + 4 * math.sqrt(rate * (1 - rate) / len(hits))


@pytest.mark.parametrize(
    ("level", "harm", "specialists"),
    [
        ((0.0, 0.0), 0.25, 0),
        ((0.0, 0.0), 4.0, 0),
        ((0.0, 0.6), 1.0, 0),
        ((0.0, 0.05, 0.6, 0.6), 4.0, 2),
    ],
)
def test_boards_of_equals_split_in_at_most_5_percent(bench, level, harm, specialists):
    world = bench.World(4, level, harm, specialists=specialists)
    assert at_most(bench.split(world.scored(world.changes(250, 3))), 0.05)


@pytest.mark.parametrize(
    ("level", "harm", "fail"),
    [((0.6, 0.6), 1.0, 0.0), ((-0.6, 0.6), 1.0, 0.05), ((0.05,), 4.0, 0.0), ((0.0,), 0.25, 0.0)],
)
def test_intervals_cover_also_across_0(bench, level, harm, fail):
    world = bench.World(1, level, harm, fail=fail)
    rows = world.scored(world.changes(800, 4)).rows.query("ranked")
    truth = world.truth()
    missed = ~((rows.low <= truth) & (truth <= rows.high)).to_numpy()
    assert at_most(missed, 0.06)


def test_an_interval_that_does_not_change_its_unit_misses(bench):
    """What the stretch of rule 6 is for: 0.4 standard errors above 0, with A_k = 4 G_k."""
    world = bench.World(1, (0.05,), 4.0)
    rows = world.scored(world.changes(800, 4)).rows.query("ranked")
    half = 2.04 * rows.se
    assert ((rows.S - half > world.truth()) | (rows.S + half < world.truth())).mean() > 0.15


def test_a_planted_gain_is_found(bench):
    found = bench._simulated_gains(0.1, 5)
    assert len(found) == 3
    assert all(check.kept for check in found), bench.table(found)


@pytest.mark.slow
def test_every_promise_of_the_page(bench):
    found = bench.simulated(0.4)
    assert not [check for check in found if not check.kept], bench.table(found)
