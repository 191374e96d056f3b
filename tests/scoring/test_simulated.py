"""The statistics of the score on simulated boards; docs/score.md has the large run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planted import FLOOR, GAP, HARM, frame, suite

from collapse_bench.scoring.score import score
from collapse_bench.scoring.task import Task


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


def covered(changes: np.ndarray, tasks: dict[str, Task], chains: dict[str, int]) -> np.ndarray:
    """Whether each row's interval covers: 0.6 nats, so that S is 0.6 / GAP; each is a board.

    chains: of each task, if they are fewer than those of ``changes``.
    """
    losses = frame({f"m{i:05d}": change for i, change in enumerate(0.6 + changes)}, tasks)
    losses = losses[losses.seed < losses.task.map(chains).fillna(changes.shape[-1])]
    scores = score(losses, tasks, tracks={name: name for name in losses.entry.unique()})
    rows = scores.rows.query("ranked")
    return ((rows.low <= 0.6 / GAP) & (rows.high >= 0.6 / GAP)).to_numpy()


def test_intervals_cover_where_blocks_and_seeds_differ(bench):
    """12 and 40 chains in two blocks, and a task of the second with 20 of its 40 seeds."""
    blocks = {"t00": "x", "t01": "y", "t02": "y"}
    tasks = {
        name: Task(name, name, FLOOR, GAP, 1.0, HARM, 0.1, block=block)
        for name, block in blocks.items()
    }
    noise = np.concatenate(
        [
            bench.World(1, (0.0,) * k, chains=40).noise(np.random.default_rng(seed), 1500)
            for seed, k in ((12, 1), (13, 2))
        ],
        1,
    )
    assert at_most(~covered(noise, tasks, {"t00": 12, "t02": 20}), 0.05)


def test_intervals_that_forget_the_block_do_not_cover(bench):
    """Tasks that share seeds, treated as independent: each is in a block of its own."""
    noise = bench.World(1, (0.0,) * 4).noise(np.random.default_rng(10), 1500)
    families = ("a", "a", "b", "c")
    assert at_most(~covered(noise, suite(*families), {}), 0.05)
    assert covered(noise, suite(*families, block=None), {}).mean() < 0.85


def test_a_planted_gain_is_found(bench):
    found = bench._simulated_gains(0.1, 5)
    assert len(found) == 3
    assert all(check.kept for check in found), bench.table(found)


@pytest.mark.slow
def test_every_promise_of_the_page(bench):
    found = bench.simulated(0.4)
    assert not [check for check in found if not check.kept], bench.table(found)
