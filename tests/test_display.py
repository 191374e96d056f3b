"""Foreign text in one line, for each kind of output."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_bench import display
from collapse_bench.board.render import csv, markdown, terminal
from collapse_bench.errors import UserError

PACKAGE = Path(display.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 日本, $x$", "plain, é, 日本, $x$"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x07\x7f\x9b", r"\x1b[31m\x07\x7f\x9b"),
        ("\u202eabc\u2066\u200b\u200d\ufeff\u2028", r"\u202eabc\u2066\u200b\u200d\ufeff\u2028"),
        ("\ufe0f\u3164\U000e0041", r"\ufe0f\u3164\U000e0041"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_cannot_be_seen_is_an_escape(text, shown):
    assert display.visible(text) == shown


def test_long_text_keeps_its_ends():
    text = "a" * 5000 + "b" * 5000
    shown = display.visible(text, 100)
    assert len(shown) <= 110
    assert (shown[0], shown[-1]) == ("a", "b")
    assert "more" in shown
    assert len(str(UserError(text))) < 2100


def test_an_object_without_a_text():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    assert "Mute" in display.visible(Mute())
    assert "Mute" in str(UserError(Mute()))


@given(st.text())
def test_no_text_has_a_second_line_or_moves_the_cursor(text):
    for shown in (display.visible(text), display.markdown(text), display.spreadsheet(text)):
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@given(st.text(alphabet="\\[]()!<>:|&#;x htps/javcri\n", max_size=40))
def test_markdown_holds_no_html_no_picture_and_only_links_to_pages(text):
    shown = display.markdown(text)
    assert "<" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*\](\((?!\s*https?://)|:|\[)", shown)
    assert not re.search(r"(?<!\\)(\\\\)*!\[", shown)
    assert not re.search(r"&(?!lt;|amp;)[#\w]", shown)


def test_markdown_keeps_links_to_pages():
    text = "see [the paper](https://example.org/a)"
    assert display.markdown(text) == text
    assert display.markdown("[a](javascript:b)") == r"[a\](javascript:b)"
    assert display.markdown(r"[a\](javascript:b)") == r"[a\](javascript:b)"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\uff1d1"])
def test_a_formula_is_quoted_in_csv(text):
    frame = pd.DataFrame({"=name": [text], "value": [-1.5]})
    written = csv(frame)
    back = pd.read_csv(io.StringIO(written))
    assert back.columns[0] == "'=name"
    assert back.iloc[0, 0].startswith("'")
    assert back.value[0] == -1.5


def test_a_table_has_one_line_per_row():
    cells = pd.DataFrame({"entry\n": ["a\nb", "[bold]c[/bold] :smile:"]})
    text = terminal("title\nforged", cells, ["note\r\nforged"])
    assert [line.split()[0] for line in text.splitlines() if line.strip()] == [
        r"title\nforged",
        r"entry\n",
        r"a\nb",
        "[bold]c[/bold]",
        "-",
    ]
    assert ":smile:" in text
    assert len(markdown("title\nforged", cells, ["note\nforged"]).splitlines()) == 8


def test_a_command_can_be_typed():
    assert display.shell(["run", "a b"]) == "run 'a b'"
    assert display.shell(["a\x1b\udcff'"]) == r"$'a\x1b\xff\x27'"


@pytest.mark.parametrize(
    ("pattern", "where", "only"),
    [
        (r"click\.(echo|secho|style)\(|\bprint\(", "cli", "output.py"),
        (r"\.to_csv\(|\.to_markdown\(|\.to_html\(", ".", "render.py"),
    ],
)
def test_text_leaves_through_one_place(pattern, where, only):
    for path in (PACKAGE / where).rglob("*.py"):
        if path.name != only and "plugins" not in path.parts and "checks" not in path.parts:
            assert not re.search(pattern, path.read_text()), path
