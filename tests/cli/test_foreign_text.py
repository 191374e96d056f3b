"""Text that others wrote, through every door and in every output."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from forked import Ended, call
from markdown_it import MarkdownIt

from collapse_bench.forms import FORMS

#: moves the cursor, forges lines, hides and reorders; markup, a link that runs code, a formula
HOSTILE = (
    "\x1b[2J\x1b]0;t\x07\rfake: 0 failed\nforged row | \u202egnp\u202c \u200b\u2066\x9b31m\x7f "
    "<script>alert(1)</script> ![i](http://x/y) [a](javascript:alert(1)) [b\\](javascript:b) $\\frac$"
)
TEXT = "=HYPERLINK(1)" + HOSTILE

PLUGIN = """
from dataclasses import dataclass
from collapse_bench import DataGenerator, Incompatible, Mitigation, hookimpl, param
from collapse_bench.papers.figure import Figure
HOSTILE = {text!r}

@dataclass(frozen=True)
class Mine(Mitigation):
    word: str = param("x", HOSTILE)
    def curate(self, corpus, access):
        return corpus

@dataclass(frozen=True)
class Fails(Mitigation):
    def curate(self, corpus, access):
        raise RuntimeError(HOSTILE)

@dataclass(frozen=True)
class Refuses(Mitigation):
    def incompatibility(self, cell):
        return HOSTILE
    def curate(self, corpus, access):
        return corpus

@dataclass(frozen=True)
class Late(Mitigation):
    def curate(self, corpus, access):
        raise Incompatible(HOSTILE)

@dataclass(frozen=True)
class Silent(Mitigation):
    def curate(self, corpus, access):
        class Mute(Exception):
            def __str__(self):
                return HOSTILE
        raise Mute()

for cls in (Mine, Fails, Refuses, Late, Silent):
    cls.__doc__ = HOSTILE

def figure(scale, data):
    raise RuntimeError(HOSTILE)
figure.__doc__ = HOSTILE

@hookimpl
def collapse_mitigations():
    return {{"mine": Mine, "fails": Fails, "refuses": Refuses, "late": Late, "silent": Silent}}

@hookimpl
def collapse_figures():
    return {{HOSTILE: figure}}
"""
SUITE = """\
name = "odd"
title = {text}
seeds = "0:12"
generations = 4
n = 60
mitigations = ['mine(word={quoted})', "fails", "refuses", "late", "silent"]
[[tasks]]
data = "zipf(K=50)"
model = "counts"
"""


class House:
    """A suite and a plugin of hostile texts, run and calibrated."""

    def __init__(self, folder: Path):
        self.plugin, self.suite, self.output = (
            folder / "odd\x1b[31m\u202e.py",
            folder / "odd.toml",
            folder / "out",
        )
        self.plugin.write_text(PLUGIN.format(text=TEXT))
        quoted = json.dumps(TEXT)
        self.suite.write_text(SUITE.format(text=quoted, quoted=quoted), encoding="utf-8")
        self.broken = folder / "broken.py"
        self.broken.write_text(f"raise RuntimeError({TEXT!r})")
        self.args = (self.suite, "--plugin", self.plugin, "-o", self.output)
        self.losses = call("run", *self.args)
        self.losses_as = {form: self._board(form) for form in FORMS}
        call("suite", "calibrate", self.suite, "--plugin", self.plugin, "-q")
        self.scores = call("run", *self.args)
        self.plan = call("plan", *self.args, "-v")

    def _board(self, form: str, *more) -> Ended:
        return call("board", self.output, "--format", form, *more)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("odd"))


def hidden(text: str) -> set[str]:
    """Characters that a terminal obeys or does not show."""
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")}
    return found - {"\n"}


def shown_safely(ended: Ended, *words: str) -> None:
    for text in (ended.out, ended.err):
        assert not hidden(text), ended
        assert not re.search(r"^(fake|forged)", text, re.M), text
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.out + ended.err, ended


def test_on_a_terminal(house):
    whole = r"=HYPERLINK(1)\x1b[2J\x1b]0;t\x07\rfake: 0 failed\nforged row"
    first = whole.partition(r"\r")[0]
    assert (house.losses.code, house.plan.code) == (1, 0)  # `fails` and `silent` fail
    shown_safely(house.losses, whole, "odd v1: ", "RuntimeError")
    shown_safely(house.scores, whole)
    shown_safely(house.plan, whole, "unfit", "skip")
    for form in ("table", "markdown"):
        for more in ([], ["--tasks"], ["--across"]):
            shown_safely(house._board(form, *more))
    plugin = ("--plugin", house.plugin)
    shown_safely(call("list", *plugin), first)
    shown = call("show", "mine", *plugin)  # documentation keeps its lines
    assert not hidden(shown.out)
    assert first in shown.out
    shown_safely(call("plugins", *plugin), "collapse_plugin_odd")
    shown_safely(call("reproduce", "--list", *plugin), first)
    shown_safely(
        call("check", "fails", *plugin, "--only", "mitigation.returns-what-it-was-given"),
        "RuntimeError",
    )
    shown_safely(call("predict", "gaussian | gaussian-fit | replace | refuses", *plugin), whole)
    broken = ("--plugin", house.broken)
    shown_safely(call("plugins", *broken), "BROKEN")
    trace = call("plugins", *broken, "--trace", "broken")
    assert not hidden(trace.out)
    shown_safely(call("list", *broken))
    for args in (
        ["run", TEXT],
        ["show", TEXT],
        ["law", TEXT],
        ["reproduce", TEXT],
        [TEXT],
        ["list", f"--{TEXT}"],
    ):
        ended = call(*args)
        assert ended.code == 2
        shown_safely(ended, "Error: ")


def test_as_json_is_exact(house):
    plugin = ("--plugin", house.plugin)
    documents = {}
    for name, args in {
        "board": ("board", house.output, "--format", "json"),
        "tasks": ("board", house.output, "--format", "json", "--tasks"),
        "plan": ("plan", *house.args, "--json"),
        "list": ("list", *plugin, "--json"),
        "show": ("show", "mine", *plugin, "--json"),
        "plugins": ("plugins", *plugin, "--json"),
    }.items():
        ended = call(*args)
        assert not hidden(ended.out)
        assert ended.out.isascii()
        documents[name] = json.loads(ended.out)
    assert TEXT in [row["why"] for row in documents["plan"]]
    [mine] = documents["show"]
    assert mine["parameters"][0]["doc"] == TEXT
    label = f"mine(word={json.dumps(TEXT, ensure_ascii=False)})"
    for name in ("board", "tasks"):
        rows = documents[name] if name == "list" else documents[name]["rows"]
        assert label in [row["entry"] for row in rows]


@pytest.mark.parametrize("more", [[], ["--tasks"], ["--across"]], ids=str)
def test_as_markdown(house, more):
    published = house._board("markdown", *more)
    for text in (published.out, house.losses_as["markdown"].out):
        assert not hidden(text)
        assert "<script" not in text
        assert not re.search(r"(?<!\\)(\\\\)*\]\((?!https?:)", text)
        assert not re.search(r"(?<!\\)(\\\\)*!\[", text)
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1


@pytest.mark.parametrize("more", [[], ["--tasks"], ["--across"]], ids=str)
def test_as_csv(house, more):
    for text in (house._board("csv", *more).out, house.losses_as["csv"].out):
        assert not hidden(text)
        frame = pd.read_csv(io.StringIO(text))
        for name in frame.columns:
            words = [v for v in (name, *frame[name]) if isinstance(v, str)]
            assert not [word for word in words if word[:1] in "=+-@\t\r"]


def test_a_published_report(house, tmp_path):
    """The file that a leaderboard shows, and a picture of curves."""
    ended = call("publish", house.output, "-o", tmp_path / "to", "--force")
    shown_safely(ended)
    text = (tmp_path / "to" / "odd.md").read_text()
    assert not hidden(text)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "alert(1)" in page
    for tag in ("<script", "<img", 'href="javascript', 'href="data'):
        assert tag not in page
    pytest.importorskip("matplotlib")
    drawn = call("board", house.output, "--curves", tmp_path / "c.png")
    assert drawn.code == 0, drawn
