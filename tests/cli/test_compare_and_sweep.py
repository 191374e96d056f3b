"""compare, sweep, the filters of board, and the card of a run, as a shell sees them."""

from __future__ import annotations

import json

import pytest
from forked import call

CELL = "gaussian | gaussian-fit | replace @ n=20 T=3"
SPEC = "gaussian | gaussian-fit | replace | real-anchor(k=5) @ n=20 T=3"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views") / "out"
    ended = call("run", SPEC, "--mitigation", "distrust", "--seeds", "0:8", "-o", folder)
    assert ended.code == 0, ended
    assert "real-anchor(k=5)" in ended.out
    assert "\ndistrust on typed-" in ended.out, "the card of the method that was named"
    assert "after 1 of 1 tasks, provisional" in ended.err
    return folder


def test_two_rows_are_compared(out):
    ended = call("compare", "real-anchor(k=5)", "none", out)
    assert (ended.code, ended.err) == (0, ""), ended
    assert "on the 1 of 1 tasks that both fit" in ended.out
    assert "\x1b" not in ended.out
    found = json.loads(call("compare", "real-anchor(k=5)", "none", out, "--format", "json").out)
    assert found["pair"]["a"] == "real-anchor(k=5)"
    assert found["uncalibrated"] is True


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("compare", "real-anchor", "none"), 2, "no row 'real-anchor'; did you mean"),
        (("compare", "none", "none"), 2, "compared with itself"),
        (("board", "--entry", "mine"), 5, "the board has no row 'mine'"),
        (("board", "--family", "text"), 5, "no family 'text'"),
    ],
)
def test_what_is_not_there_is_one_sentence(out, args, code, words):
    ended = call(args[0], *args[1:], out) if args[0] == "compare" else call("board", out, *args[1:])
    assert ended.code == code, ended
    assert words in ended.said
    assert ended.err.count("\n") == 1


def test_only_the_wanted_rows_are_shown(out):
    rows = json.loads(call("board", out, "--entry", "real-*", "--format", "json").out)["rows"]
    assert {row["entry"] for row in rows} == {"real-anchor(k=5)"}


def test_a_sweep_is_plotted_and_written(tmp_path):
    ended = call(
        *("sweep", "real-anchor(k=1,10)", CELL, "--quick", "-q", "--records", tmp_path),
        *("-o", tmp_path / "k.csv", "-o", tmp_path / "k.png"),
    )
    assert ended.code == 0, ended
    assert ended.out.count("●") == 2
    assert "on 16 fresh seeds" in ended.out
    assert (tmp_path / "k.csv").read_text().startswith("seeds,parameter,value,entry,S,")
    assert (tmp_path / "k.png").is_file()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("real-anchor(k=1)",), "no parameter of 'real-anchor(k=1)' has several values"),
        (("real-anchor(k=1,2)", CELL, "--suite", "smoke"), "not both"),
        (("real-anchor(k=1,2)", "-o", "a.txt"), "must end in"),
        (("real-anchr(k=1,2)", CELL), "did you mean 'real-anchor'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_the_work(args, words, tmp_path):
    ended = call("sweep", *args, "--records", tmp_path / "records")
    assert ended.code == 2, ended
    assert words in ended.said
    assert not (tmp_path / "records").exists()
