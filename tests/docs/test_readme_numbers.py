"""Numbers in the sentences of README.md: sizes of suites, and the published scores."""

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
        ("standard", r"arithmetic and stories: (\d+) cells of (\d+) chains"),
    ],
)
def test_the_sizes_of_suites_are_right(suite, words):
    model = read_suite(find_suite(suite, registry()))
    cells = {entry.cell.id for entry in expand(model, registry()).entries if entry.skip is None}
    found = re.search(words, README)
    assert found, words
    assert tuple(map(int, found.groups())) == (len(cells), len(parse_seeds(model.seeds)))


def test_the_scores_of_the_readme_are_published():
    board = (ROOT / "leaderboard" / "standard.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"`([\w-]+)`,? (\+\d\.\d\d)", README.split("In short:")[1][:900]))
    assert set(said) == {"frozen", "weight-averaging", "anchor"}
    for name, score in said.items():
        assert re.search(rf"^\| \S+ \| \S+ \| {name} \| {re.escape(score)} \|", board, re.M), name
    ranked = re.findall(r"^\| (\w[\w+]*) \| (\d+) \| (\S+) \| (.*)\|$", board, re.M)
    blind = [row for row in ranked if row[0] == "blind" and "|" in row[3]]
    assert [row[2] for row in blind[:2]] == ["weight-averaging", "anchor"]
    columns = next(line for line in board.splitlines() if line.startswith("| track |")).split(" | ")
    for _, _, name, rest in ranked:
        cells = rest.split("|")
        if len(cells) == len(columns) - 3:  # the table of the board, not that by task
            place = columns.index("beats real-only") - 3
            assert cells[place].strip() in ("no", "cannot tell", ""), name
            assert cells[place + 1].strip() in ("no", "cannot tell", ""), name
