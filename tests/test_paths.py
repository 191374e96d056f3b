"""Paths as users name them."""

from __future__ import annotations

import os

import pytest
from forked import call

import collapse_bench as cb
from collapse_bench.api import RunRequest
from collapse_bench.errors import UsageError
from collapse_bench.paths import named

SPEC = "gaussian | gaussian-fit | replace @ n=5 T=1"


@pytest.mark.parametrize("path", ["", " ", "a\0b", "~nobody-of-this-name/x"])
def test_a_path_that_names_nothing(path):
    with pytest.raises(UsageError, match="the path of the output folder"):
        RunRequest(SPEC, output=path)


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named("~/out", "x") == tmp_path / "out"
    cb.run(SPEC, seeds="0:2", output="~/out")
    assert cb.results("~/out").board().losses.seed.max() == 1
    assert not os.path.exists("~")


@pytest.mark.parametrize(
    "args",
    [
        ("run", SPEC, "-o", ""),
        ("board", ""),
        ("board", ".", "-o", ""),
        ("board", ".", "--curves", ""),
        ("list", "--plugin", ""),
        ("suite", "calibrate", "smoke", "-o", ""),
    ],
    ids=str,
)
def test_an_empty_path_is_refused(args):
    ended = call(*args)
    assert ended.code == 2
    assert "is empty or holds a null character, got ''" in ended.said


def test_a_link_to_nowhere(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    ended = call("run", SPEC, "--seeds", "0:2", "-o", tmp_path / "out")
    assert ended.code == 2
    assert f"is a link to {tmp_path / 'gone'}, which does not exist" in ended.said


def test_a_linked_suite_file_stays_a_link(tmp_path):
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text(
        'name = "tiny"\nn = 8\ngenerations = 1\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
    )
    link.symlink_to(real)
    cb.calibrate(link)
    assert link.is_symlink()
    assert "[[calibration]]" in real.read_text()


@pytest.mark.parametrize("option", ["-o", "--plugin", "--published"])
def test_names_that_are_not_utf8(option, tmp_path):
    """A file system may hold any bytes; records and manifests cannot."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/mine\xff.py")
    args = ["run", SPEC, "--seeds", "0:2", option, path]
    ended = call(code=f"from collapse_bench.cli import main\nmain({args!r})", cwd=tmp_path)
    assert ended.code == 2, ended
    assert "holds bytes that are not UTF-8" in ended.said
    assert r"mine\udcff.py" in ended.said


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udfff"'])
def test_half_a_surrogate_pair_in_a_spec(text):
    ended = call("plan", f"text(source={text}) | ngram @ n=5 T=1")
    assert ended.code == 2
    assert "holds half of a surrogate pair" in ended.said


def test_a_long_path(tmp_path):
    for args in (
        ("run", "x" * 300 + ".toml"),
        ("run", SPEC, "-o", "y" * 300),
        ("board", "z" * 300),
    ):
        ended = call(*args, cwd=tmp_path)
        assert ended.code in (1, 2), ended
        assert len(ended.err.splitlines()) == 1, ended
        assert "File name too long" in ended.err


def test_suite_files_and_published_records_are_named_like_other_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny.toml").write_text(
        'name = "tiny"\nn = 8\ngenerations = 1\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
    )
    ran = cb.run("~/tiny.toml", seeds="0:2", output="~/out")
    assert cb.results("~/out", published="~/none.parquet").archive.path == tmp_path / "none.parquet"
    (tmp_path / "link.parquet").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"is a link to .* path of the published records"):
        cb.results(ran.output, published=tmp_path / "link.parquet")
    with pytest.raises(UsageError, match="the path of the suite file: ~nobody-of-this-name"):
        cb.run("~nobody-of-this-name/x.toml")
