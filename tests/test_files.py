"""Digests of files and folders: what they cover, and what it costs."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest

from collapse_bench import files
from collapse_bench.errors import UsageError
from collapse_bench.files import content, digest


def test_digests_are_those_of_version_0_1(folder):
    """The ids of stored records depend on them."""
    whole = hashlib.sha256(b"a.txt\0one" + b"b/c.txt\0two").hexdigest()
    assert digest(folder) == whole
    assert digest(folder / "a.txt") == hashlib.sha256(b"\0one").hexdigest()


def test_what_no_reader_takes_changes_no_digest(folder):
    before = digest(folder)
    for stray in (".DS_Store", "Thumbs.db", "b/.cache", "desktop.ini"):
        (folder / stray).write_text("stray")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("stray")
    assert digest(folder) == before
    picky = content(folder, ["a.txt"]).sha256
    (folder / "notes.md").write_text("stray")
    assert digest(folder) != before
    assert content(folder, ["a.txt"]).sha256 == picky


def test_linked_folders_are_read_and_loops_end(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.txt").write_text("three")
    (folder / "link").symlink_to(elsewhere)
    (folder / "b" / "back").symlink_to(folder)
    assert sorted(content(folder).files) == ["a.txt", "b/c.txt", "link/d.txt"]
    before = digest(folder)
    (elsewhere / "d.txt").write_text("four")
    assert digest(folder) != before


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_nothing_is_refused(what, tmp_path):
    if what == "empty":
        (tmp_path / what).mkdir()
    with pytest.raises(UsageError, match="is missing or empty; give the path of a file"):
        digest(tmp_path / what)


def test_what_cannot_be_read_is_refused(folder, monkeypatch):
    def deny(file, mode):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(files, "open", deny, raising=False)  # root may read every file
    with pytest.raises(UsageError, match=r"a\.txt cannot be read \(Permission denied\)"):
        digest(folder)


def test_a_folder_in_it_that_cannot_be_read_is_refused(folder, monkeypatch):
    """Its files would be missing from the digest."""
    (folder / "closed").mkdir()
    listed = os.scandir

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match=r"closed cannot be read \(Permission denied\)"):
        content(folder)


def test_names_too_long_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(File name too long\)"):
        digest(tmp_path / ("x" * 300))


def test_a_name_that_is_not_utf8_is_hashed(tmp_path):
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.txt")).write_text("one")
    assert digest(tmp_path) == hashlib.sha256(b"\xff.txt\0one").hexdigest()


def test_a_large_file_is_not_held_in_memory(tmp_path):
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    digest(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_an_edit_within_one_tick_of_the_clock_is_seen(folder):
    """With its size and its time of modification kept."""
    file = folder / "a.txt"
    was, before = file.stat(), digest(folder)
    file.write_text("two")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert digest(folder) != before
