"""docs/their-numbers.md prints what its script measures."""

from __future__ import annotations

import importlib.util
import math

import pytest
from imports import REPOSITORY

SPEC = importlib.util.spec_from_file_location(
    "their_numbers", REPOSITORY / "docs" / "their_numbers.py"
)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

PAGE = script.PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", script.TABLES)
def test_a_table_is_what_its_script_measures(name):
    _, printed, _ = script.block(name, PAGE)
    assert printed == script.TABLES[name]()


def test_the_page_has_every_table_and_no_other():
    marks = [line.strip("<!-> ") for line in PAGE.splitlines() if line.startswith("<!-- ")]
    assert sorted(m for m in marks if not m.startswith("end of ")) == sorted(script.TABLES)
    for name in script.TABLES:
        assert script.block(name, PAGE)[1].startswith("| ")


def test_the_published_histories_agree_with_the_laws():
    """64 comparisons: none is far, and together they are as far as chance."""
    gaps = [
        (mean - script.exact(setting, n, k, quantity)) / error
        for setting, n, k, quantity, _, mean, error in script.HISTORIES
    ]
    assert len(gaps) == 64
    assert max(map(abs, gaps)) < 3
    assert 0.2 < math.fsum(gap**2 for gap in gaps) / len(gaps) < 2


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [(0.12345, 0.0021, "0.1235 ± 0.0021"), (58.84, 2.6, "58.8 ± 2.6"), (172.8, 16.0, "173 ± 16")],
)
def test_a_number_is_shown_with_two_digits_of_its_error(mean, error, text):
    assert script.shown(mean, error) == text
