"""Commands on a folder whose run was killed, or whose files were moved or deleted, name what is missing and the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forked import Ended, call

PLUGIN = '''"""A row of its own."""
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Xyzzy(Mitigation):
    """Changes nothing."""

@hookimpl
def collapse_mitigations():
    return {"xyzzy": Xyzzy}
'''
SUITE = """name = "tiny"
n = 8
generations = 1
seeds = "0:4"
mitigations = ["xyzzy"]
[[tasks]]
data = "gaussian"
model = "gaussian-fit"
[[calibration]]
task = "gaussian | gaussian-fit | replace @ n=8 T=1"
floor = 0.01
gap = 1.0
gap_sd = 0.1
chains = 256
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a suite file, a plugin file and a finished run in `out`."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "tiny.toml").write_text(SUITE)
    assert call("run", "tiny.toml", "--plugin", "mine.py", "-o", "out", cwd=folder).code == 0
    return folder


@pytest.fixture
def own(finished, tmp_path, monkeypatch) -> Path:
    """That folder for one test.  The plugin stays where the manifest says, until `gone` moves it."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path


def refused(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended
    for word in words:
        assert word in ended.said, ended


def without_records(output: Path) -> None:
    for file in output.glob("*/*.parquet"):
        file.unlink()


def test_a_run_that_was_killed_before_its_first_record(finished, own):
    without_records(own / "out")
    words = (
        "run out/tiny.suite.toml",
        f"--plugin {finished / 'mine.py'}",
        "-o out",
    )
    refused(
        call("board", "out", cwd=own), 5, "no chain of suite tiny in out has been recorded", *words
    )
    refused(call("publish", "out", cwd=own), 5, "has chains that were not run", *words)


def test_the_command_for_a_killed_run_works(finished, own):
    without_records(own / "out")
    said = call("board", "out", cwd=own).said
    words = said.partition("collapse-bench ")[2].split()
    assert call(*words, cwd=own).code == 0
    assert call("board", "out", cwd=own).code == 0


def test_a_run_that_was_killed_before_the_zero_of_the_score(own):
    for label in (own / "out").glob("*/_cell.json"):
        if '"label": "gaussian | gaussian-fit | replace @ n=8 T=1"' in label.read_text():
            shutil.rmtree(label.parent)
    refused(
        call("board", "out", cwd=own),
        5,
        "no chain of none, the zero of the score, in out has been recorded yet",
    )


def test_records_of_which_none_can_be_used(own):
    for file in (own / "out").glob("*/*.parquet"):
        file.write_text("x")
    refused(call("board", "out", cwd=own), 5, "can be used", "it is not a Parquet file")
