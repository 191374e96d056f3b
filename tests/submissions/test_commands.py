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
    assert first.code == 2
    assert "is now a template; fill in what begins with TODO, then run: " in first.said
    assert first.said.endswith(f"collapse-bench {' '.join(map(str, words))}")
    assert not file.exists()
    unfilled = call(*words)
    assert unfilled.code == 2
    assert "title, description, licence, authors[0].name are still to be filled in" in unfilled.said

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
    changed = forge.with_members(file, tmp_path / "c.zip", forge.one_number, digests=False)
    failed = call("verify", changed, "--report", report)
    assert failed.code == 4
    assert "declared: FAILED" in failed.out
    assert not json.loads(report.read_text())["passed"]
    refused = call("merge", file, changed, "-o", tmp_path / "other")
    assert refused.code == 4
    assert f"submission {changed} is not what it says" in refused.said
    claim = {"S": 0.9, "low": 0.8, "high": 1.0, "coverage": 1.0}
    assert call("verify", forge.forged(file, tmp_path / "f.zip", claim=claim)).code == 4


def test_refusals_are_one_sentence(tmp_path):
    (tmp_path / "no.zip").write_text("x")
    real = KEEP_ALL.with_name("keep-all.submission.zip")
    (tmp_path / "bare").mkdir()
    specs = "gaussian(d=2) | gaussian-fit | replace | distrust @ n=20 T=2"
    assert call("run", specs, "--seeds", "0:8", "-o", tmp_path / "typed").code == 0
    results, other = tmp_path / "results", tmp_path / "other.py"
    forge.ran(SUITE, KEEP_ALL, "keep-all", results)
    other.write_text(KEEP_ALL.read_text() + "\n")
    for args, code, words in (
        (("verify", tmp_path / "none.zip"), 2, "is not there"),
        (("verify", tmp_path / "no.zip"), 2, "is no submission"),
        (("merge", tmp_path / "no.zip", "-o", tmp_path / "m"), 2, "is no submission"),
        (("verify", real, "--plugin", tmp_path / "no.py"), 2, "no.py is not there"),
        (("verify", real, "--report", tmp_path), 2, "is a folder"),
        (("verify", real, "--report", tmp_path / "x" / "r.json"), 2, "lies in no folder"),
        (("submit", tmp_path / "nothing"), 5, "holds no results"),
        (("submit", tmp_path / "bare"), 5, "holds no results"),
        (("submit", tmp_path / "typed"), 2, "is not calibrated"),
        (("submit", results, "--mitigation", "distrust"), 2, "no row 'distrust'"),
        (("submit", results, "--mitigation", "keep-all (tuned)"), 2, "submit one of them"),
        (("submit", results, "--plugin", tmp_path / "no.py"), 2, "no.py is not there"),
        (("submit", results, "--plugin", tmp_path / "bare"), 2, "cannot be read (Is a directory)"),
        (("submit", results, "--plugin", other), 2, "is not the code that made the records"),
        (
            ("submit", results, "--plugin", KEEP_ALL, "--card", tmp_path / "bare"),
            2,
            "cannot be read",
        ),
    ):
        ended = call(*args)
        assert ended.code == code, ended
        assert words in ended.said
        assert "Traceback" not in ended.err


def test_a_run_with_other_settings_is_not_packed(tmp_path):
    """It would fail the level declared."""
    run = ("run", "smoke", "--seeds", "0:3", "--mitigation", "keep-all", "--plugin", KEEP_ALL)
    assert call(*run, "--set", "generations=1", "-o", "out", cwd=tmp_path).code == 0
    ended = call("submit", "out", "--plugin", KEEP_ALL, "--mitigation", "keep-all", cwd=tmp_path)
    assert ended.code == 2, ended
    assert "(changed: seeds, generations); run the suite without --set, --seeds" in ended.said
