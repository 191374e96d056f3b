"""A path where there is one, a hub id where there is none, and one sentence where it is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_bench.core.identity import fingerprint
from collapse_bench.errors import Unreachable, UsageError
from collapse_bench.lib.sources import fetched, located
from collapse_bench.registry.discovery import registry


def test_what_is_here_is_a_path(tmp_path):
    file = tmp_path / "some.txt"
    file.write_text("words")
    for value in (str(file), file):
        assert located(value, "text: source") == file
    assert located(tmp_path, "text: source") == tmp_path
    assert located(located(file, "text: source"), "text: source") == file
    assert located(None, "text: source") is None


def test_the_home_folder_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "some.txt").write_text("words")
    assert located("~/some.txt", "text: source") == tmp_path / "some.txt"


@pytest.mark.parametrize(
    "value", ["gpt2", "owner/name", "owner/name-1.5_b", "Salesforce/wikitext", Path("owner/name")]
)
def test_what_is_not_here_may_be_a_hub_id(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located(value, "text: source") == str(value)
    Path(value).mkdir(parents=True)  # a folder of that name goes before
    assert located(value, "text: source") == Path(value)


@pytest.mark.parametrize(
    "value",
    ["/nowhere/at/all", "a/b/c", "missing.txt", "owner/missing.jsonl", "./x", "two words", ""],
)
def test_what_is_neither_is_refused(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"^text: source: .* does not exist; give the local path of a text"
    ) as refusal:
        located(value, "text: source", "a text")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * 300, "cannot be read (File name too long); make it readable, or give another path"),
        ("~nobody-of-this-name/x", "begins with the home folder of a user who is not known here"),
    ],
)
@pytest.mark.parametrize(
    "spec",
    [
        'text(source="{}")',
        'text(source=".", tokenizer="{}")',
        'text(source=".", exam="{}")',
        'idx-images(path="{}")',
        'pictures(path="{}")',
    ],
)
def test_what_cannot_be_looked_up_is_refused(spec, value, words):
    with pytest.raises(UsageError) as refusal:
        fingerprint(registry().build("generator", spec.format(value)))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "problem", [ConnectionError("no\n way."), OSError("x"), ValueError("no such config")]
)
def test_what_a_hub_says_becomes_one_sentence(problem):
    def load():
        raise problem

    with pytest.raises(Unreachable) as refusal:
        fetched("owner/name", "text: source", load, "text", revision="v1")
    said = str(refusal.value)
    assert "\n" not in said
    assert said.startswith('text: source: text "owner/name" at revision v1 is not a local path')
    assert "path of a local copy" in said
    assert refusal.value.__cause__ is problem


def test_what_a_hub_gives_is_handed_on():
    assert fetched("owner/name", "x", lambda: 7) == 7


def test_mistakes_of_our_own_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        fetched("owner/name", "x", lambda: 1 / 0)
