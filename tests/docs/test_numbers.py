"""Numbers on the pages are those that the commands of the pages give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _names() -> list[str]:
    sources = sorted((ROOT / "docs" / "quoted").glob("*.py"))
    pattern = re.compile(r"^@computed\(\s*[^,]+,\s*\"([\w-]+)\"(.*?)\)\n(?:@|def)", re.M | re.S)
    found = [hit for path in sources for hit in pattern.findall(path.read_text(encoding="utf-8"))]
    return [name for name, options in found if "long=True" not in options]


def test_every_mark_has_a_function_and_every_function_a_mark(quoted):
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    marks = {
        (str(page.relative_to(ROOT)), found["name"])
        for page in pages
        for found in quoted.MARK.finditer(page.read_text(encoding="utf-8"))
    }
    assert marks == {(part.page, part.name) for part in quoted.PARTS.values()}
    assert sorted(_names()) == sorted(n for n, part in quoted.PARTS.items() if not part.long)


def test_a_changed_number_is_found(quoted, tmp_path, monkeypatch):
    monkeypatch.setattr(quoted, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("words\n<!-- computed: one -->\n<!-- /computed -->\nmore words\n")
    rows = [["a", "b"], ["c", quoted.Number(0.5, "0.50", 0.01)]]
    part = quoted.Part("page.md", "one", lambda: quoted.Table(rows))
    assert part.write(str(part.make()))
    assert page.read_text() == (
        "words\n<!-- computed: one -->\n| a | b |\n|---|---|\n| c | 0.50 |\n"
        "<!-- /computed -->\nmore words\n"
    )
    assert quoted.differences(part, part.make()) == []
    page.write_text(page.read_text().replace("0.50", "0.53"))
    assert quoted.differences(part, part.make()) == ["page: | c | 0.53 |\nnow:  | c | 0.50 |"]
    loose = quoted.Part("page.md", "one", part.make, rounding=True)
    assert quoted.differences(loose, part.make()) == []
    page.write_text(page.read_text().replace("0.53", "0.57"))
    assert quoted.differences(loose, part.make()) == ["page: 0.57, now: 0.50"]


TIME = re.compile(
    r"\d (?:s|ms|min)\b|\b(?:microseconds|milliseconds)\b|CPU time"
    r"|\b(?:\d+|a|about|half) (?:seconds?|minutes?)\b"
)
#: pages whose times are goals or settings
GOALS = {"architecture.md", "laws.md", "CHANGELOG.md", "CONTRIBUTING.md"}


def test_a_page_that_states_a_time_says_on_which_machine():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("leaderboard/README.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if page.name not in GOALS and TIME.search(text):
            assert "benchmarks/README.md#the-machine" in text, page.name
    assert "## The machine" in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", _names())
def test_the_page_says_what_is_computed(quoted, name):
    part = quoted.PARTS[name]
    assert quoted.differences(part, part.make()) == [], f"run: python docs/refresh.py {name}"


def test_a_bar_within_a_cell_does_not_end_it(quoted, tmp_path, monkeypatch):
    monkeypatch.setattr(quoted, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- computed: one -->\n<!-- /computed -->\n")
    rows = [["data", "`a | b`"], ["x | y", quoted.Number(0.5, "0.50", 0.01)]]
    part = quoted.Part("page.md", "one", lambda: quoted.Table(rows), rounding=True)
    assert str(part.make()) == "| data | `a \\| b` |\n|---|---|\n| x \\| y | 0.50 |\n"
    part.write(str(part.make()))
    page.write_text(page.read_text().replace("0.50", "0.51"))  # within its error
    assert quoted.differences(part, part.make()) == []
