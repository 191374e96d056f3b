"""Numbers in the sentences of README.md: sizes of suites."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collapse_bench.registry.discovery import registry
from collapse_bench.suite.expand import expand
from collapse_bench.suite.model import find_suite, parse_seeds, read_suite

ROOT = Path(__file__).resolve().parents[2]
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ("smoke", r"suite `smoke` \((\d+) cells of (\d+) chains"),
        ("standard", r"tasks of eight families: (\d+) cells of (\d+) chains"),
    ],
)
def test_the_sizes_of_suites_are_right(suite, words):
    model = read_suite(find_suite(suite, registry()))
    cells = {entry.cell.id for entry in expand(model, registry()).entries if entry.skip is None}
    found = re.search(words, README)
    assert found, words
    assert tuple(map(int, found.groups())) == (len(cells), len(parse_seeds(model.seeds)))
