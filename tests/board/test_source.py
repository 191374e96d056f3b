"""What the PATH of a command names."""

from __future__ import annotations

import pytest

from collapse_bench.board.source import source_of
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.archive import shipped


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


def test_what_holds_no_records_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes.txt is no folder of records .* \(standard\)$"):
        source_of(tmp_path / "notes.txt")
    with pytest.raises(NothingMatched, match="did you mean 'standard'"):
        source_of("standrad")
    assert source_of("absent").archive is None, "the folder of a run that is still to come"
