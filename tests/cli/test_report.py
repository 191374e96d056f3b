"""The command `report`: files, standard output and refusals."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from collapse_bench.cli import cli
from collapse_bench.errors import NothingMatched, UsageError


def call(*words):
    return CliRunner().invoke(cli, ["report", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("results", "--format", "htm"), "unknown format 'htm' of a report; did you mean 'html'?"),
        (("results", "-o", "x.doc"), "x.doc does not say which format a report has"),
        (("results", "--format", "parquet"), "parquet is no text; name a file with -o"),
        (("results", "-o", "x.csv", "--columns", "tier"), "csv has every column"),
        (("results", "-o", "no/x.html"), "the folder no does not exist"),
        (("results", "-o", "x.html", "--figure", "x.bmp"), "must end in .png, .svg, .pdf or .pgf"),
    ],
)
def test_what_is_wrong_is_said_before_the_work(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    ended = call(*words)
    assert isinstance(ended.exception, UsageError)
    assert sentence in str(ended.exception)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_records_is_refused(tmp_path):
    ended = call(tmp_path, "-o", tmp_path / "x.html")
    assert isinstance(ended.exception, NothingMatched)
    assert not (tmp_path / "x.html").exists()


def test_json_on_standard_output_and_a_page_in_a_file(small, tmp_path):
    ended = call(small, "--format", "json")
    assert ended.exit_code == 0, ended.exception
    assert json.loads(ended.stdout)["suite"] == "two v1"
    ended = call(small, "-o", tmp_path / "x.html", "--figure", tmp_path / "x.svg")
    assert ended.exit_code == 0, ended.exception
    assert f"written: {tmp_path / 'x.html'} (0." in ended.stderr
    assert f"written: {tmp_path / 'x.svg'}" in ended.stderr
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")


def test_a_suite_without_scores_has_a_page_and_says_what_others_need(tmp_path):
    from collapse_bench import api

    results = api.run("gaussian | gaussian-fit | replace @ n=10 T=1", seeds="0:2", output=tmp_path)
    page = tmp_path / "x.html"
    assert call(tmp_path, "-o", page).exit_code == 0
    assert "losses and no ranks" in page.read_text()
    ended = call(tmp_path, "--format", "json")
    assert isinstance(ended.exception, UsageError)
    assert "suite calibrate" in str(ended.exception)
    assert results.suite in str(ended.exception)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a small calibrated run."""
    from collapse_bench import api

    path = tmp_path_factory.mktemp("two") / "two.toml"
    path.write_text(
        'name = "two"\nseeds = "0:16"\nn = 20\ngenerations = 20\nmitigations = ["real-anchor"]\n'
        '[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\nprotocols = ["replace"]\n'
    )
    api.calibrate(path)
    return api.run(path, output=path.parent / "out").output
