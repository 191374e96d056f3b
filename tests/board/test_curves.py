"""Curves of a board: the mean or the median over chains, and its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from collapse_bench.board.curves import draw_curves, over_chains
from collapse_bench.errors import UsageError


def frame(values):
    return pd.DataFrame({"generation": 0, "value": values})


def test_a_few_bad_chains_move_the_mean_and_not_the_median():
    values = np.r_[np.linspace(1, 2, 31), 1e6]
    mean, median = (over_chains(frame(values), what).loc[0] for what in ("mean", "median"))
    assert mean.center > 1e4
    assert 1 < median.low < median.center < median.high < 2


@pytest.mark.parametrize("chains", [8, 32, 33])
def test_the_interval_of_the_median_covers_it(chains):
    """At least 95 % of samples, of a distribution that is far from symmetric; its median is 1."""
    rng = np.random.default_rng(0)
    samples = np.exp(2 * rng.normal(size=(4000, chains)))
    rows = pd.DataFrame(
        {"generation": np.repeat(np.arange(4000), chains), "value": samples.ravel()}
    )
    stats = over_chains(rows, "median")
    covered = ((stats.low <= 1) & (stats.high >= 1)).mean()
    assert 0.95 - 4 * (0.05 * 0.95 / 4000) ** 0.5 < covered <= 1


def test_another_statistic_is_refused(tmp_path):
    rows = pd.DataFrame(
        {
            "generation": [0, 0],
            "value": [1.0, 2.0],
            "role": "entry",
            "metric": "w2",
            "task": "a",
            "entry": "none",
        }
    )
    with pytest.raises(UsageError, match="known: mean, median"):
        draw_curves(rows, {"a": "w2"}, tmp_path / "a.png", statistic="mode")
    assert draw_curves(rows, {"a": "w2"}, tmp_path / "a.png", statistic="median").is_file()
