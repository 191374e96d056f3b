"""What docs/submitting.md says holds: its card, its file names, and its workflow in integration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from collapse_bench.submissions.card import LONGEST, MOST_LINE, SHORTEST, read_card
from collapse_bench.submissions.pack import file_name
from collapse_bench.submissions.submission import opened

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "submitting.md").read_text()
EXAMPLE = ROOT / "leaderboard" / "submissions" / "keep-all.submission.zip"


def test_the_card_of_the_page_is_that_of_the_example():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    card = read_card(text.encode())
    with opened(EXAMPLE) as submission:
        assert card.mitigation == submission.card.mitigation
        assert card.track == submission.card.track
    assert tomllib.loads(text).keys() == {
        *("mitigation", "title", "description", "track", "licence", "paper", "external"),
        *("authors", "code"),
    }
    assert f"have 1 to {MOST_LINE} characters" in PAGE
    assert f"has {SHORTEST} to {LONGEST}" in PAGE


def test_files_are_named_as_the_page_says():
    assert file_name("keep-all") == "keep-all.submission.zip"
    assert file_name("first-voice(share=0.5)") == "first-voice-share-0.5.submission.zip"
    assert file_name("a(k=1) + b_c") == "a-k-1-b_c.submission.zip"
    assert "`first-voice(share=0.5)` is packed in `first-voice-share-0.5.submission.zip`" in PAGE
    assert all((ROOT / path).exists() for path in re.findall(r"leaderboard/[\w/.-]+\.\w+", PAGE))


@pytest.fixture
def loop(tmp_path):
    """The step of the workflow that verifies, in a folder with three submissions."""
    (text,) = re.findall(r"- run: \|\n((?: {10}.*\n)+)", PAGE)
    folder = tmp_path / "leaderboard" / "submissions"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.submission.zip").touch()

    def run(bad: str) -> tuple[int, list[str]]:
        """(exit code, reports that were written) where the submission ``bad`` fails."""
        stub = tmp_path / "bin" / "sudo"
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(f'#!/bin/sh\nfor last; do :; done\ntouch "$last"\n[ "$last" != {bad} ]\n')
        stub.chmod(0o755)
        environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}"}
        # as the service runs a step
        ended = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=environment)
        return ended.returncode, sorted(path.name for path in tmp_path.glob("*.json"))

    return run


@pytest.mark.parametrize(("bad", "code"), [("none", 0), ("verify-a.json", 1), ("verify-c.json", 1)])
def test_the_workflow_verifies_all_files_and_fails_at_its_end(loop, bad, code):
    assert loop(bad) == (code, ["verify-a.json", "verify-b.json", "verify-c.json"])


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_ignores_what_the_commands_write_and_no_submission_of_the_board(tmp_path):
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    def ignored(path: str) -> bool:
        words = ["git", "-C", tmp_path, "check-ignore", "-q", path]
        return subprocess.run(words).returncode == 0

    written = ("mine.submission.zip", "card.toml", "page.html", "report.html", "verify.json")
    for path in (*written, "results/a", "typed/a", "merged/a", "work/mine.submission.zip"):
        assert ignored(path), path
    for path in ("leaderboard/submissions/mine.submission.zip", "docs/report.html", "mine.py"):
        assert not ignored(path), path
