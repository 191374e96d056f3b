"""Curves of a board: the mean or the median over chains, and its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from collapse_bench.board.curves import curve_of, draw_curves, draw_panel, over_chains
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
    [file] = draw_curves(rows, {"a": "w2"}, tmp_path / "a.png", statistic="median")
    assert file.is_file()


def rows_of(tasks, entries=("none", "nature", "a", "b", "c")):
    """Two chains of three generations of each entry on each task; the losses rise with its place."""
    return pd.DataFrame(
        [
            {
                "generation": t,
                "seed": seed,
                "value": 1.0 + place * t + 0.1 * seed,
                "role": "control" if entry in ("none", "nature") else "entry",
                "metric": "w2",
                "task": f"task {task}",
                "entry": entry,
            }
            for task in range(tasks)
            for place, entry in enumerate(entries)
            for seed in range(2)
            for t in range(3)
        ]
    )


def test_many_tasks_become_pages_of_twelve(tmp_path):
    frame = rows_of(13)
    primary = dict.fromkeys(frame.task, "w2")
    files = draw_curves(frame, primary, tmp_path / "a.png")
    assert [file.name for file in files] == ["a.png", "a-2.png"]
    assert all(file.stat().st_size > 10_000 for file in files)
    assert draw_curves(frame, primary, tmp_path / "a.pdf") == [tmp_path / "a.pdf"]


def test_the_focus_is_bold_and_other_rows_are_one_grey_line():
    from matplotlib.figure import Figure

    frame = rows_of(1)
    curves = {str(entry): curve_of(rows) for entry, rows in frame.groupby("entry", sort=False)}
    for focus, bold in (("c", "c"), (None, "a"), ("not there", "a")):
        axis = Figure().subplots()
        draw_panel(axis, curves, focus, law=[1.0, 1.5, 2.0])
        lines = {str(line.get_label()): line for line in axis.get_lines()}
        assert set(lines) == {"none", "nature", "frozen", "2 other rows", bold, "none, by its law"}
        assert max(lines, key=lambda name: lines[name].get_linewidth()) == bold
        assert lines["none, by its law"].get_linestyle() == "--"
        assert all(float(tick).is_integer() for tick in axis.get_xticks())
