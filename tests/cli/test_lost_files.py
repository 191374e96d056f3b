"""Commands on a folder whose run was killed, or whose files were moved or deleted, name what is missing and the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import call, refused

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
harm = 1.0
harm_sd = 0.1
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


@pytest.fixture
def gone(finished, own) -> Iterator[Path]:
    """The plugin file, which was moved after the run."""
    file, elsewhere = finished / "mine.py", finished / "moved.py"
    file.rename(elsewhere)
    yield file
    elsewhere.rename(file)


def test_a_board_whose_plugin_file_is_gone(own, gone):
    ended = call("board", "out", cwd=own)
    assert ended.code == 0, ended
    assert (
        f"xyzzy could not be compared with the installed plugins: plugin file {gone} is gone; put it back"
        in (" ".join(ended.out.split()))
    )
    assert "--plugin" not in ended.out


def test_publish_whose_plugin_file_is_gone(own, gone):
    ended = call("publish", "out", "-o", "published", cwd=own)
    refused(ended, 2, f"plugin file {gone} is gone; put it back, or publish", "with --force")
    assert "--plugin" not in ended.err
    assert call("publish", "out", "-o", "published", "--force", cwd=own).code == 0
    report = (own / "published" / "tiny.md").read_text()
    assert "plugin file mine.py is gone" in report
    assert str(gone.parent) not in report


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_suite_file_whose_plugin_file_is_gone(command, own, gone):
    refused(
        call(command, "out/tiny.suite.toml", "-o", "out", cwd=own),
        2,
        f"unknown mitigation 'xyzzy'; a run in out took it from plugin file {gone}, which is gone: put it back and "
        f"name it with --plugin {gone}",
    )
    refused(
        call(command, "out/tiny.suite.toml", "--plugin", gone, cwd=own), 2, f"{gone} is not there"
    )


@pytest.mark.parametrize(
    "command", [("plan",), ("run",), ("suite", "calibrate")], ids=lambda words: words[-1]
)
def test_a_suite_file_whose_plugin_file_was_not_named(command, finished, own):
    """The folder of the suite file is searched as well."""
    file = finished / "mine.py"
    refused(
        call(*command, "out/tiny.suite.toml", cwd=own),
        2,
        f"from plugin file {file}; name it with --plugin {file}",
    )


def test_a_file_that_is_gone_is_named_with_the_command_that_needs_it(own, gone):
    without_records(own / "out")
    refused(call("board", "out", cwd=own), 5, f"-o out (first put back {gone})")


def test_a_plugin_that_is_not_installed_any_more(own):
    """It came from no file, so there is none to put back."""
    manifest = own / "out" / "tiny.manifest.json"
    kept = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**kept, "files": {}}))
    ended = call("publish", "out", cwd=own)
    refused(ended, 2, "none of them offers 'xyzzy'; install the plugin that does, or publish")
    assert "--plugin" not in ended.err


def test_a_manifest_that_was_deleted(own):
    (own / "out" / "tiny.manifest.json").unlink()
    words = (
        "no manifest (tiny.manifest.json)",
        "run the suite file out/tiny.suite.toml again with -o out",
    )
    for command in (("board", "out"), ("publish", "out"), ("board", "out", "--suite", "tiny")):
        refused(call(*command, cwd=own), 5, "out holds the records of", *words)


def test_the_remedy_for_a_manifest_that_was_deleted(finished, own):
    before = (own / "out" / "tiny.manifest.json").read_text()
    (own / "out" / "tiny.manifest.json").unlink()
    plugin = finished / "mine.py"
    again = call("run", "out/tiny.suite.toml", "-o", "out", "--plugin", plugin, cwd=own)
    assert again.code == 0
    assert "(0 chains in 0 jobs)" in again.err
    assert json.loads((own / "out" / "tiny.manifest.json").read_text()) == json.loads(before)


def test_a_manifest_and_a_suite_file_that_were_deleted(own):
    for file in (own / "out").glob("tiny.*"):
        file.unlink()
    refused(call("board", "out", cwd=own), 5, "no manifest", "run the same suite or specs again")
    refused(call("board", "out", "--suite", "x", cwd=own), 5, "holds no results")
