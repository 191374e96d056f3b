"""What the PATH of a command names."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from collapse_bench import api
from collapse_bench.board.source import source_of
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.archive import shipped
from collapse_bench.registry.discovery import registry


def test_a_folder_a_file_and_a_published_suite_are_told_apart(tmp_path, monkeypatch):
    file = shipped("standard")
    assert source_of(tmp_path).archive is None
    assert source_of(file).suite == source_of("standard").suite == "standard"
    assert source_of(file).path == source_of("standard").path == file
    assert source_of("standard").archive.expected, "only the file that ships is accepted by name"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "standard").mkdir()
    assert source_of("standard").archive is None, "a folder of that name comes first"


def test_the_suite_of_a_file_is_the_suite_file_next_to_it_or_its_name(tmp_path):
    file = tmp_path / "mine.parquet"
    file.touch()
    assert source_of(file).suite == "mine"
    assert source_of(file, "other").suite == "other"
    (tmp_path / "mine.toml").touch()
    assert source_of(file).suite == str(tmp_path / "mine.toml")


def test_a_published_file_has_the_board_of_its_run_without_its_plugins(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "own.toml").write_text(SUITE)
    plugin = tmp_path / "mine.py"
    ran = api.run(tmp_path / "own.toml", plugins=plugin, output=tmp_path / "out")
    assert not ran.failed
    api.publish_run(ran.output, tmp_path / "there", force=True)
    registry()._unload(next(one for one in registry().plugins if one.file == plugin))
    published = api.results(tmp_path / "there" / "own.parquet")
    assert str(tmp_path) not in str(published.manifest.files)
    board = published.board().frame()
    pd.testing.assert_frame_equal(board, ran.board().frame())
    assert "one-more" in set(board.entry)
    again = shutil.copy(tmp_path / "there" / "own.parquet", tmp_path / "other.parquet")
    assert api.results(again).suite == "own", "a file keeps its suite under another name"


PLUGIN = """
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Mine(Mitigation):
    def curate(self, corpus, access):
        return corpus + access.synthetic(1)

@hookimpl
def collapse_mitigations():
    return {"one-more": Mine}
"""
SUITE = """
name = "own"
seeds = "0:6"
generations = 2
n = 10
mitigations = ["one-more"]
[[tasks]]
data = "gaussian"
model = "gaussian-fit"
"""


def test_what_holds_no_records_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes.txt is no folder of records .* \(standard\)$"):
        source_of(tmp_path / "notes.txt")
    with pytest.raises(NothingMatched, match="did you mean 'standard'"):
        source_of("standrad")
    assert source_of("absent").archive is None, "the folder of a run that is still to come"
