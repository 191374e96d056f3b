"""Intervals over chains and tasks, and the ranks that they allow."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from planted import GAP, HARM, frame, mark, row, suite

from collapse_bench.scoring.resampling import resampled
from collapse_bench.scoring.score import score

FOUR = suite(*"aaaabbbbcccc")


def planted(level: np.ndarray, noise: float = 0.2, chains: int = 32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return level[:, None] + rng.normal(0, noise, (len(level), chains))


def found(scores, entry: str, **kwargs) -> pd.Series:
    return resampled(scores, **kwargs).set_index("entry").loc[entry]


def test_over_chains_of_one_task_it_is_the_standard_error():
    """With one task per family tasks cannot vary, and the interval is that over chains."""
    tasks = suite("a", "b", "c")
    scores = score(frame({"m": planted(np.full(3, 0.8), chains=200)}, tasks), tasks)
    got = found(scores, "m", draws=4000)
    entry = row(scores, "m")
    width, expected = got.S_high - got.S_low, 2 * 1.96 * entry["se"]
    # the error of a 95 % range of 4000 draws is 2 % of it
    assert width == pytest.approx(expected, rel=4 * 0.02)
    assert got.S_low < entry["S"] < got.S_high


def test_tasks_that_differ_widen_the_interval():
    spread = np.tile([0.2, 1.8, 0.6, 1.4], 3)
    alike = score(frame({"m": planted(np.ones(12))}, FOUR), FOUR)
    differ = score(frame({"m": planted(spread)}, FOUR), FOUR)
    assert row(differ, "m")["se"] == pytest.approx(row(alike, "m")["se"])
    got, narrow = found(differ, "m"), found(alike, "m")
    assert got.S_high - got.S_low > 3 * (narrow.S_high - narrow.S_low)
    # each family's mean of four tasks varies by sd / 4^(1/2); three families are averaged
    expected = 2 * 1.96 * spread[:4].std() / GAP / math.sqrt(4 * 3)
    assert got.S_high - got.S_low == pytest.approx(expected, rel=0.15)


def test_ranks_that_are_certain_and_ranks_that_are_not():
    same = planted(np.ones(12), seed=1)
    tops = {
        "best": planted(np.full(12, 1.5), seed=2),
        "one": same,
        "two": planted(np.ones(12), seed=3),
        "last": planted(np.full(12, -0.5), seed=4),
    }
    scores = score(frame(tops, FOUR), FOUR)
    table = resampled(scores).set_index("entry")
    assert table.loc["best", ["rank_low", "rank_high"]].tolist() == [1, 1]
    assert table.loc["last", ["rank_low", "rank_high"]].tolist() == [4, 4]
    for name in ("one", "two"):
        assert table.loc[name, ["rank_low", "rank_high"]].tolist() == [2, 3]
    assert np.isnan(table.loc["none", "rank_low"])
    assert table.loc["none", ["S_low", "S_high"]].tolist() == [0, 0]


def test_a_twin_shares_the_rank_and_the_draws_are_the_same_for_all():
    one = planted(np.ones(12))
    table = resampled(score(frame({"one": one, "twin": one}, FOUR), FOUR)).set_index("entry")
    assert table.loc["one"].equals(table.loc["twin"])
    assert table.loc["one", ["rank_low", "rank_high"]].tolist() == [1, 1]


def test_the_order_of_rows_and_the_seed():
    losses = frame({"b": planted(np.ones(12)), "a": planted(np.ones(12), seed=5)}, FOUR)
    losses = mark(losses, "skipped", "a", "t03")
    one, two = (resampled(score(x, FOUR), 200) for x in (losses, losses.sample(frac=1)))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(resampled(score(losses, FOUR), 200, seed=1))


def test_the_unit_follows_the_sign_of_each_draw():
    tasks = suite("a", gap=GAP, harm=HARM / 4)
    scores = score(frame({"zero": planted(np.zeros(1), chains=64)}, tasks), tasks)
    got = found(scores, "zero")
    assert got.S_low < 0 < got.S_high
    assert -got.S_low / got.S_high > 2  # eight times the unit, of draws about a mean near 0
