"""What a notebook shows: escaped text, and a bar."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from collapse_bench import Corpus, run
from collapse_bench.display import html, html_table
from collapse_bench.running import bar

SPEC = "gaussian | gaussian-fit | replace @ n=9 T=1"


def test_markup_of_others_is_shown_and_not_obeyed():
    evil = '<img src=x onerror="alert(1)">\x1b[2J\u202e&amp;'
    page = html(evil)
    assert not set('<>"\x1b\u202e') & set(page)
    assert page.startswith("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;")
    table = html_table([evil], [[evil]], ())
    assert "<img" not in table
    assert table.count("<td") == table.count("<th style") == 1


@pytest.mark.parametrize("width", [0, 2])
def test_a_corpus_shows_its_first_rows_and_not_their_origin(width):
    y = torch.arange(14.0).reshape(2, 7)
    x = torch.ones(2, 7, width) if width else None
    page = Corpus.of(x, y, (2,), origin=torch.full((2, 7), 42))._repr_html_()
    assert page.count("<tr>") == 6
    assert "and 2 more rows" in page
    assert "42" not in page
    assert ("1, 1" in page) == bool(width)
    empty = Corpus.of(None, torch.zeros(0, 3), (0,))._repr_html_()
    assert "<table>" not in empty


def test_a_bar_follows_a_run(tmp_path, capsys):
    seen = []
    run(SPEC, seeds="0:3", output=tmp_path, progress=True, on_outcome=seen.append)
    shown = capsys.readouterr().err
    chains = sum(len(outcome.job.seeds) for outcome in seen)  # the caller watches too
    assert chains >= 9, "of none, nature and trivial at least"
    assert f"{chains}/{chains}" in shown
    run(SPEC, seeds="0:3", output=tmp_path)
    assert "chain" not in capsys.readouterr().err, "no bar outside a notebook"


def test_a_notebook_is_told_by_its_kernel(monkeypatch):
    assert not bar.in_notebook()
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    assert bar.in_notebook()
    shell = SimpleNamespace(config={})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not bar.in_notebook(), "IPython in a terminal"
