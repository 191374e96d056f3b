"""What version 0.1 calibrated without the control `trivial` gets one sentence with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked import call

from collapse_bench import api
from collapse_bench.errors import UsageError
from collapse_bench.suite.model import MARK, read_suite

SUITE = f"""name = "old"
version = 3
n = 8
generations = 1
seeds = "0:4"
mitigations = ["real-anchor(k=2)"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"

{MARK}

[[calibration]]
task = "gaussian | gaussian-fit | replace @ n=8 T=1"
floor = 0.01
gap = 1.0
gap_sd = 0.1
harm = 1.0
harm_sd = 0.1
chains = 256
"""
SENTENCE = "was calibrated without the control trivial, which the score needs"


def without_harm(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("harm"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A folder with the suite file and a finished run in `out`."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "old.toml").write_text(SUITE)
    api.run(folder / "old.toml", output=folder / "out")
    return folder


@pytest.fixture
def old(ran, tmp_path) -> Path:
    """The same, as version 0.1 would have left it."""
    for file in (file for file in ran.rglob("*") if file.is_file()):
        there = tmp_path / file.relative_to(ran)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(file.read_bytes())
    for file in (tmp_path / "old.toml", tmp_path / "out" / "old.suite.toml"):
        file.write_text(without_harm(file.read_text()))
    manifest = tmp_path / "out" / "old.manifest.json"
    plain = json.loads(manifest.read_text())
    for row in plain["suite"]["calibration"]:
        del row["harm"], row["harm_sd"]
    manifest.write_text(json.dumps(plain))
    return tmp_path


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["plan", "old.toml"], "old.toml"),
        (["run", "old.toml", "-o", "out"], "old.toml"),
        (["run", "old.toml", "--tune", "-o", "out"], "old.toml"),
        (
            ["run", "old.toml", "--quick", "--mitigation", "replay", "--published", "old.parquet"],
            "old.toml",
        ),
        (["board", "out"], "out/old.suite.toml"),
        (["board", "out", "--focus", "real-anchor"], "out/old.suite.toml"),
        (["publish", "out", "-o", "published"], "out/old.suite.toml"),
        (["publish", "out", "-o", "published", "--force"], "out/old.suite.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_command_names_the_file_and_the_remedy(old, command, file):
    ended = call(*command, cwd=old)
    assert (ended.code, ended.out) == (2, ""), ended
    said = " ".join(ended.err.split())
    assert said.startswith("Error: ") or "\nError: " in ended.err
    assert SENTENCE in said
    assert f"with: collapse-bench suite calibrate {file}" in said
    assert "version 0.1 of the package" in said
    assert not (old / "published").exists()


def test_rows_are_not_compared_either(old):
    with pytest.raises(UsageError, match=SENTENCE):
        api.results(old / "out").board().compare("real-anchor(k=2)", "none")


def test_the_remedy_of_a_file_mends_it(old):
    ended = call("suite", "calibrate", "old.toml", cwd=old)
    assert ended.code == 0, ended
    [row] = read_suite(old / "old.toml").calibration
    assert row.harm > 0 < row.harm_sd
    assert call("plan", "old.toml", cwd=old).code == 0


def test_the_remedy_of_a_folder_mends_it_and_reuses_its_records(old):
    said = call("board", "out", cwd=old).err
    lines = " ".join(said.split()).split("collapse-bench ")
    calibrate, run = (line.split(", ")[0].rstrip(",").split() for line in lines[1:3])
    assert call(*calibrate, cwd=old).code == 0
    ended = call(*run, cwd=old)
    assert ended.code == 0, ended
    assert "(0 chains in 0 jobs" in ended.err  # here trivial has records already
    assert call("board", "out", cwd=old).code == 0


def test_a_calibration_next_to_records_counts_for_its_version_of_the_suite_only(ran, tmp_path):
    """An uncalibrated run, whose copy of the suite file version 0.1 calibrated."""
    suite, out = tmp_path / "old.toml", tmp_path / "out"
    suite.write_text(SUITE.split(MARK)[0])
    api.run(suite, output=out)
    copy = out / "old.suite.toml"
    copy.write_text(without_harm(SUITE))
    with pytest.raises(UsageError, match=f"old.suite.toml {SENTENCE}"):
        api.results(out).board()
    copy.write_text(without_harm(SUITE).replace("version = 3", "version = 2"))
    assert api.results(out).board().frame().shape[0] > 0


def test_a_control_that_cannot_run_is_named_when_a_suite_is_calibrated(tmp_path):
    """A data generator without a trivial teacher has no unit of harm."""
    (tmp_path / "plain.py").write_text(
        "from dataclasses import dataclass\n"
        "from collapse_bench import hookimpl\n"
        "from collapse_bench.plugins.generators.gaussian import Gaussian\n"
        "from collapse_bench import DataGenerator\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Plain(Gaussian):\n"
        '    """A gaussian without a trivial teacher."""\n\n'
        "    trivial = DataGenerator.trivial\n\n\n"
        "@hookimpl\n"
        "def collapse_generators():\n"
        '    return {"plain": Plain}\n'
    )
    suite = tmp_path / "plain.toml"
    suite.write_text(SUITE.split(MARK)[0].replace('"gaussian"', '"plain"'))
    ended = call("suite", "calibrate", "plain.toml", "--plugin", "plain.py", cwd=tmp_path)
    assert ended.code == 2, ended
    said = " ".join(ended.err.split())
    assert "plain | gaussian-fit | replace @ n=8 T=1 cannot be calibrated" in said
    assert "since the control trivial cannot run there" in said
