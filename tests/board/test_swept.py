"""A sweep: its cells, its seeds, its plot and its confirmation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from collapse_bench import api
from collapse_bench.board.swept import sweep_file
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.store import Store
from collapse_bench.suite.model import CALIBRATION_SEEDS
from collapse_bench.suite.sweep import FRESH_SEEDS, curves_of

CELL = "gaussian | gaussian-fit | replace @ n=20 T=3"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    plans = []
    found = api.sweep(
        "real-anchor(k=1,3,10)",
        CELL,
        output=folder,
        on_plan=lambda steps, jobs: plans.append(steps),
    )
    return found, folder, plans


def test_parameters_vary_one_at_a_time():
    one, two = curves_of("mine(rate=0.1,0.2, mode=fast,slow, k=3) + neon")
    assert one.parameter == "mine.rate"
    assert one.specs == (
        "mine(rate=0.1, mode=fast, k=3) + neon",
        "mine(rate=0.2, mode=fast, k=3) + neon",
    )
    assert two.values == curves_of("mine(mode=fast,slow)")[0].values
    assert two.specs[1] == "mine(rate=0.1, mode=slow, k=3) + neon"
    lists = curves_of("mine(shape=[1, 2],[3])")
    assert lists[0].specs == ("mine(shape=[1, 2])", "mine(shape=[3])")


@pytest.mark.parametrize("text", ["mine", "mine(k=1)", "mine(k=1,1)"])
def test_one_value_is_no_sweep(text):
    with pytest.raises(UsageError, match=r"no parameter of .* has several values"):
        curves_of(text)


def test_it_runs_on_seeds_that_no_board_ranks(swept):
    _, folder, (tuning, fresh) = swept
    assert {seed for step in tuning for seed in step.todo} == set(CALIBRATION_SEEDS[:16])
    assert {seed for step in fresh for seed in step.todo} == set(FRESH_SEEDS)
    with pytest.raises(NothingMatched, match="holds no results"):
        api.results(folder)
    assert Store(folder / "tuning").cells(), "run --tune finds the same chains there"


def test_the_winner_is_confirmed_on_fresh_seeds(swept):
    found, _, (_, fresh) = swept
    frame = found.frame()
    tuning = frame[frame.seeds == "tuning"]
    assert list(tuning.value) == ["1", "3", "10"]
    assert found.winner == tuning.entry[tuning.S.idxmax()]
    assert set(frame.entry[frame.seeds == "fresh"]) == {found.winner, found.base}
    assert {step.entry.name for step in fresh} == {
        "none",
        "nature",
        "trivial",
        found.winner,
        found.base,
    }
    assert found.winner == "real-anchor(k=10)", "10 of 20 real rows are better than 1 or 3"
    assert found.confirmed.verdict == "yes"
    text = found.render(width=80)
    assert "confirmed: better than the first value listed, real-anchor(k=1)" in text
    assert "uncalibrated" in text


def test_the_plot_has_a_line_for_each_value_and_fits(swept):
    found, *_ = swept
    for width in (60, 80, 140):
        lines = found.render(width=width).splitlines()
        plot = [line for line in lines if "●" in line]
        assert len(plot) == 3
        assert max(map(len, plot)) <= width
        dots = [line.index("●") for line in plot]
        scores = found.frame().S[:3].to_numpy()
        assert list(np.argsort(dots, kind="stable")) == list(np.argsort(scores, kind="stable"))


def test_it_is_written_as_a_picture_and_a_table(swept, tmp_path):
    found, *_ = swept
    assert found.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(found.save(tmp_path / "a.csv"), dtype={"value": str}, keep_default_na=False)
    assert list(table.entry) == list(found.frame().entry)
    with pytest.raises(UsageError, match="must end in"):
        sweep_file(tmp_path / "a.txt")
    assert "<table>" in found._repr_html_()


def test_a_calibrated_suite_gives_the_units(tmp_path):
    found = api.sweep("real-anchor(k=1,5)", "smoke", quick=True, output=tmp_path)
    assert not found.uncalibrated
    assert found.chains == (8, 16)
    families = {task.family for task in found.tuning.efficacy.measured.tasks}
    assert len(found.tuning.efficacy.measured.tasks) == len(families)


def test_what_fits_no_task_is_refused(tmp_path):
    with pytest.raises(NothingMatched, match="fits no task of the sweep"):
        api.sweep(
            "temperature(t=0.5,0.9)", "linear(d=2) | ols | replace @ n=20 T=1", output=tmp_path
        )
