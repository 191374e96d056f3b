"""The submissions that come with the repository: small, well-formed, and of the suites here."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_bench import api
from collapse_bench.registry import discovery
from collapse_bench.submissions.submission import opened
from collapse_bench.suite.model import find_suite, read_suite

FOLDER = Path(__file__).parents[2] / "leaderboard" / "submissions"
FILES = sorted(FOLDER.glob("*.submission.zip"))


def test_there_is_one():
    assert FILES
    assert all(file.stat().st_size < 300_000 for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_published_submission_is_what_it_says(file):
    with opened(file) as submission:
        about, source = submission.about, submission.source
    assert source is not None
    assert source.files[source.name] == (FOLDER / source.name).read_text()
    found = api.verify(file, "re-scored")
    installed = read_suite(find_suite(about.suite, discovery.registry()))
    if installed.version == about.suite_version:
        assert found.passed, "\n".join(found.lines())
    else:  # it is of another version of the suite, and verify says so
        assert not found.passed
        assert any("version" in fault for fault in found.levels[0].faults)


def test_the_source_is_short():
    code = (FOLDER / "keep_all.py").read_text().splitlines()
    assert len([line for line in code if line.strip()]) <= 15
