"""submit, verify and merge as a shell sees them: exit codes, and refusals of one sentence."""

from __future__ import annotations

import json

import forge
from forked import call
from test_forged import KEEP_ALL, SUITE


def test_the_way_of_a_submission(tmp_path):
    results, card = tmp_path / "results", tmp_path / "card.toml"
    forge.ran(SUITE, KEEP_ALL, "keep-all", results)
    file = tmp_path / "mine.submission.zip"
    words = ("submit", results, "--plugin", KEEP_ALL, "--card", card, "-o", file)

    first = call(*words)
    assert first.code == 1
    assert "a template; fill in what begins with TODO" in first.said
    assert not file.exists()
    unfilled = call(*words)
    assert unfilled.code == 2
    assert "title is still to be filled in" in unfilled.said

    card.write_text(forge.CARD_TEXT.format(name="keep-all", track="blind"))
    assert call(*words).code == 0
    report = tmp_path / "verify.json"
    checked = call("verify", file, "--report", report)
    assert checked.code == 0, checked
    assert checked.out.splitlines()[-1] == "level reached: re-scored"
    assert json.loads(report.read_text())["passed"]

    merged = tmp_path / "merged"
    assert call("merge", file, results, "-o", merged).code == 0
    shown = call("board", merged)
    assert shown.code == 0
    assert "keep-all" in shown.out

    edited = forge.forged(file, tmp_path / "edited.zip", forge.better(0.7, "keep-all"))
    refused = call("merge", file, edited, "-o", tmp_path / "other")
    assert refused.code == 4
    assert "differ on keep-all" in refused.said
    claim = {"S": 0.9, "low": 0.8, "high": 1.0, "coverage": 1.0}
    assert call("verify", forge.forged(file, tmp_path / "f.zip", claim=claim)).code == 4


def test_refusals_are_one_sentence(tmp_path):
    (tmp_path / "no.zip").write_text("x")
    for args, code, words in (
        (("verify", tmp_path / "none.zip"), 2, "is not there"),
        (("verify", tmp_path / "no.zip"), 2, "is no submission"),
        (("merge", tmp_path / "no.zip", "-o", tmp_path / "m"), 2, "is no submission"),
        (("submit", tmp_path / "nothing"), 5, "holds no results"),
    ):
        ended = call(*args)
        assert ended.code == code, ended
        assert words in ended.said
        assert "Traceback" not in ended.err
