"""The board of the present score, from a suite file to its pages."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from calibrated import calibrated_run
from stand_ins import offer

from collapse_bench import api
from collapse_bench.board.cells import method_of
from collapse_bench.board.collect import within_track
from collapse_bench.board.ranked import RankedBoard
from collapse_bench.board.words import paragraphs, report
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.tuning import saved_tuning
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.model import read_suite, to_toml

SUITE = """
name = "small"
version = 2
title = "Two worlds"
seeds = "0:200"
n = 20
generations = 4
protocols = ["replace", "mix(real=0.2)"]
mitigations = [
    "real-anchor(share=0.2)",
    "weight-averaging",
    "distrust",
    "ratio-cap",
    "picky",
    "noise-augmentation",
]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
"""


@pytest.fixture(scope="module", autouse=True)
def offered():
    with pytest.MonkeyPatch.context() as patch:
        offer(patch, registry(()))
        yield


@pytest.fixture(scope="module")
def results(tmp_path_factory, offered):
    return calibrated_run(tmp_path_factory.mktemp("ranked") / "small.toml", SUITE)


@pytest.fixture(scope="module")
def board(results):
    return results.board()


def test_a_suite_that_is_calibrated_with_trivial_has_the_present_score(results, board):
    calibration = read_suite(results.output / "small.suite.toml").calibration
    assert [row.chains for row in calibration] == [256, 256]
    assert all(row.harm > 0 and row.harm_sd > 0 for row in calibration)
    assert isinstance(board, RankedBoard)
    frame = board.frame().set_index("entry")
    assert frame.S["none"] == 0
    # the units have errors of their own, from 256 chains a task
    for entry, expected, units in (
        ("nature", 1, [row.gap_sd / row.gap for row in calibration]),
        ("trivial", -1, [row.harm_sd / row.harm for row in calibration]),
    ):
        error = np.hypot(frame.se[entry], np.linalg.norm(units) / 2 / 16)
        assert abs(frame.S[entry] - expected) < 4 * error
    assert frame.control[["none", "nature", "trivial", "frozen"]].all()
    assert not board.doubts


def test_tracks_follow_the_ledger_of_each_task(board):
    tasks = board.per_task().set_index(["entry", "task"])
    replace, mix = sorted({task for _, task in tasks.index}, key=lambda name: "mix" in name)
    assert tasks.track["weight-averaging", replace] == "first"
    assert tasks.track["distrust", replace] == "provenance"
    assert tasks.track["noise-augmentation", mix] == "blind"
    assert board.frame().set_index("entry").track["real-anchor(share=0.2)"] == "real"


def test_what_lacks_real_rows_does_not_fit_and_what_is_picky_refuses(board):
    frame = board.frame().set_index("entry")
    assert (frame.coverage["ratio-cap"], frame.refused["ratio-cap"]) == (0.5, 0)
    assert (frame.coverage["picky"], frame.refused["picky"]) == (1, 2)
    assert frame.S["picky"] == 0
    assert "2 refused" in board.render()
    assert any("**Refused tasks by choice**" in text for text in paragraphs(board)[0])


def test_the_row_that_refuses_gains_nothing_over_doing_nothing(board):
    pair = board.compare("picky", "none")
    assert (pair.difference, pair.p) == (0, 1)


def test_values_ranks_and_cost_are_columns(board):
    frame = board.frame().set_index("entry")
    assert frame.value_control["weight-averaging"] == "frozen"
    pair = board.compare("weight-averaging", "frozen")
    assert frame.value["weight-averaging"] == pytest.approx(pair.difference)
    assert frame.value["noise-augmentation"] == pytest.approx(frame.S["noise-augmentation"])
    ranked = frame[frame.ranked]
    assert (ranked.rank_low <= ranked.rank_high).all()
    assert frame.relative_cost["none"] == 1
    points = board.points().set_index("entry")
    assert points.real["none"] == 0
    assert 0.1 < points.real["real-anchor(share=0.2)"] <= 0.2
    assert set(points.method) >= {"none", "real-anchor", "distrust"}


def test_a_track_shows_only_what_is_within_it(results):
    blind = results.board(track="blind").frame()
    entries = set(blind.entry[~blind.control])
    assert "noise-augmentation" in entries
    assert not entries & {"weight-averaging", "distrust", "real-anchor(share=0.2)"}
    first = results.board(track="first").frame()
    assert {"weight-averaging", "noise-augmentation"} <= set(first.entry[~first.control])
    assert set(first.track[~first.control]) == {"first"}
    value = first.set_index("entry").value_control
    assert (value["weight-averaging"], value["noise-augmentation"]) == ("frozen", "none")
    with pytest.raises(UsageError, match="unknown track 'blnd'"):
        results.board(track="blnd")


def test_a_task_beyond_the_track_counts_as_not_fitting():
    losses = pd.DataFrame(
        [
            {"entry": e, "task": t, "seed": 0, "loss": 1.0, "status": "done"}
            for e in ("none", "some", "real")
            for t in ("a", "b")
        ]
    )
    tracks = {("some", "a"): "blind", ("some", "b"): "real", ("real", "a"): "real"}
    tracks |= {("real", "b"): "real"}
    kept = within_track(losses, tracks, ["none"], "blind").set_index(["entry", "task"])
    assert kept.status.to_dict() == {
        ("none", "a"): "done",
        ("none", "b"): "done",
        ("some", "a"): "done",
        ("some", "b"): "skipped",
    }
    assert len(within_track(losses, tracks, ["none"], "real")) == 6
    with pytest.raises(NothingMatched, match="no entry uses no more"):
        within_track(losses[losses.entry != "some"], tracks, ["none"], "blind")


def test_words_are_neutral_until_the_signs_are_known_to_hold(board):
    plain = report(board)
    assert "helps" not in plain.lower()
    assert "harms" not in plain.lower()
    sure = report(board, {"real-anchor(share=0.2)": "helps"})
    assert "Helps, here and in 8 of 9 cells" in sure
    assert "real-anchor(share=0.2)" in sure.split("Helps, here")[1].split("\n")[0]


def test_every_form_of_the_board(board):
    for form in ("table", "markdown", "csv", "json"):
        for options in ({}, {"per_task": True}, {"across": True}):
            assert board.render(form, **options)
    assert json.loads(board.render("json"))["rows"][0]["entry"]
    page = report(board)
    for heading in ("## Summary", "## By family", "### gaussian", "## Cost", "## By task"):
        assert heading in page
    assert "At equal cost" in page
    assert "Within a budget of real rows" in page


def test_a_law_prints_what_no_method_of_a_track_can_exceed(board):
    from dataclasses import replace

    task = next(task for _, task in board.tracks if "mix" in task)
    with_law = replace(board, laws={(task, "blind"): 0.05})
    table = with_law.ceilings()
    assert table.task.tolist() == [task]
    assert np.isfinite(table.ceiling[0])
    assert "What no method of a track can exceed" in report(with_law)
    assert "What no method of a track can exceed" not in report(board)


def test_a_method_is_tuned_on_other_seeds_and_its_tuned_row_is_ranked(results, tmp_path):
    small = read_suite(results.output / "small.suite.toml")
    path = tmp_path / "small.toml"
    path.write_text(to_toml(small.model_copy(update={"mitigations": ["real-anchor(share=0.2)"]})))
    ran = api.run(path, mitigations="tunable", tune=True, output=tmp_path / "out")
    (choice,) = saved_tuning(ran.output, "small")
    assert choice.method == "tunable"
    assert choice.entries == ("tunable", "tunable(a=0.1)", "tunable(a=0.9)")
    assert choice.picks == {"gaussian": "tunable(a=0.9)"}  # who keeps most of generation 0
    assert choice.fits == 3 * 2 * 16 * 5  # configurations, tasks, chains, generations
    board = ran.board()
    frame = board.frame().set_index("entry")
    assert frame.ranked["tunable (tuned)"]
    assert frame.control[[*choice.entries, "tunable (best in hindsight)"]].all()
    assert frame.S["tunable (tuned)"] == frame.S["tunable(a=0.9)"] > frame.S["tunable"]
    assert frame.S_default["tunable (tuned)"] == frame.S["tunable"]
    assert frame.S_hindsight["tunable (tuned)"] >= frame.S["tunable (tuned)"]
    assert frame.track["tunable (tuned)"] == "first"
    # the run named the method: what the run prints is about the row that is ranked
    assert board.suite.focus == "tunable (tuned)"
    assert any(note.startswith("* focus row: tunable (tuned), ") for note in board._notes())
    assert ran.card().title.startswith("tunable (tuned) on small")
    assert ran.board(focus="tunable").suite.focus == "tunable"
    # 3000 fits for 400 chains of the exam
    extra = frame.method_fits["tunable (tuned)"] - frame.method_fits["tunable(a=0.9)"]
    assert extra == pytest.approx(choice.fits / 400)
    assert "default / best" in board.render()
    with pytest.raises(UsageError, match="nothing to tune"):
        api.plan(api.RunRequest(path, tune=True))
    with pytest.raises(UsageError, match="nothing to tune: ecosystem has one configuration"):
        api.plan(api.RunRequest(path, mitigations="ecosystem", tune=True))


def test_the_name_of_a_method_without_its_parameters():
    assert method_of("a(x=1) + b(y=c(z=2))") == "a + b"
    assert method_of("plain") == "plain"
