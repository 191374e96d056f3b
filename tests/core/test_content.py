"""Files are known by their content: what ids hash, what is cached, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from collapse_bench import files
from collapse_bench.core.components import DataGenerator, Model
from collapse_bench.core.content import cached_by_content, compare, contents, same_files, unchanged
from collapse_bench.core.identity import fingerprint
from collapse_bench.core.params import param
from collapse_bench.errors import DataChanged, UsageError
from collapse_bench.files import digest


@dataclass(frozen=True)
class Reads(DataGenerator):
    """Reads files, in itself and in another component."""

    path: Path | None = param(None, "a file or a folder")
    others: tuple[Path, ...] = param((), "more files")
    inner: DataGenerator | None = param(None, "another one")
    scale: float = param(1.0, "a number")


@dataclass(frozen=True)
class Picky(Reads):
    """Reads only the file a.txt of its folder."""

    def files_read(self, parameter, folder):
        return ["a.txt"]


@dataclass(frozen=True)
class Learns(Model):
    path: Path | None = param(None, "a file")
    lam: float = param(1.0, "a number")


def test_a_file_is_hashed_once_for_many_components(folder, monkeypatch):
    monkeypatch.setattr(files, "TICK", -1e9)  # as if the files were old
    before = files._hashed.cache_info().misses
    for scale in range(1, 6):
        fingerprint(Reads(path=folder, scale=scale))
    assert files._hashed.cache_info().misses == before + 1


def test_a_plugin_says_which_files_it_reads(folder):
    before = contents(Picky(path=folder))["path"].sha256
    (folder / "notes.md").write_text("stray")
    assert contents(Picky(path=folder))["path"].sha256 == before
    (folder / "a.txt").write_text("edited")
    assert contents(Picky(path=folder))["path"].sha256 != before


ANSWERS = {
    "an error": (lambda: 1 / 0, "Lost.files_read failed: ZeroDivisionError"),
    "a number": (lambda: 7, "Lost.files_read failed: TypeError"),
    "numbers": (lambda: [7], r"Lost.files_read returned \[7\]; it must return None or a list"),
    "one name": (lambda: "a.txt", "Lost.files_read returned 'a.txt'; it must return None or a li"),
}


@pytest.mark.parametrize(("answer", "words"), ANSWERS.values(), ids=list(ANSWERS))
def test_a_plugin_that_cannot_say_which_files_it_reads(answer, words, folder):
    @dataclass(frozen=True)
    class Lost(Reads):
        def files_read(self, parameter, folder):
            return answer()

    with pytest.raises(UsageError, match=words):
        contents(Lost(path=folder))


def test_an_error_while_files_change_is_the_change(folder):
    component = Reads(path=folder)
    contents(component)

    def read(change):
        with unchanged(component):
            if change:
                (folder / "a.txt").write_text("half")
            raise ValueError("not a number: half")

    with pytest.raises(ValueError, match="half"):
        read(change=False)
    with pytest.raises(DataChanged, match=r"changed during the run: a\.txt"):
        read(change=True)


def test_every_path_of_a_component_is_found(folder):
    inner = Reads(others=(folder / "a.txt", folder / "b"))
    found = contents(Reads(path=folder, inner=inner))
    assert list(found) == ["path", "inner.others[0]", "inner.others[1]"]
    assert found["inner.others[0]"].sha256 == digest(folder / "a.txt")
    params = fingerprint(inner)["params"]
    assert params["others"] == [{"sha256": digest(folder / name)} for name in ("a.txt", "b")]


def test_a_component_remembers_the_content_that_its_id_hashes(folder):
    data = Reads(path=folder, inner=Reads(path=folder / "a.txt"))
    before = fingerprint(data)
    (folder / "a.txt").write_text("edited")
    assert fingerprint(data) == before
    for twin in (pickle.loads(pickle.dumps(data)), same_files(data, scale=2.0), data.with_truth()):
        with pytest.raises(DataChanged) as refusal:
            compare(twin)
        assert str(refusal.value).startswith(f"data in {folder} changed during the run: a.txt; ")
    assert fingerprint(replace(data)) != before
    compare(replace(data, inner=None))


def test_a_model_with_other_parameters_has_the_same_files(folder):
    model = Learns(path=folder / "a.txt")
    fingerprint(model)
    (folder / "a.txt").write_text("edited")
    with pytest.raises(DataChanged, match=r"a\.txt changed during the run"):
        compare(model.with_parameters(lam=2.0))
    compare(model.with_parameters(path=folder / "b"))


def test_a_file_that_is_gone_is_a_change(folder):
    data = Reads(path=folder / "a.txt")
    fingerprint(data)
    (folder / "a.txt").unlink()
    with pytest.raises(DataChanged, match=r"data changed during the run: .* is missing or empty"):
        compare(data)


def test_a_cache_follows_the_content_and_not_the_path(folder, tmp_path):
    read = []

    @cached_by_content(maxsize=8)
    def text(data, more):
        read.append(more)
        return (data.path / "a.txt").read_text() + more

    data = Reads(path=folder)
    assert [text(data, "!"), text(replace(data), "!"), text(data, "?")] == ["one!", "one!", "one?"]
    assert read == ["!", "?"]
    (folder / "a.txt").write_text("two")
    assert text(data, "!") == "one!"  # what its id names
    assert text(Reads(path=folder), "!") == "two!"


def test_a_file_that_changes_while_it_is_read_is_refused(folder):
    with pytest.raises(DataChanged), unchanged(Reads(path=folder)):
        (folder / "a.txt").write_text("edited meanwhile")
