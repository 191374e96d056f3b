"""Ids of cells are forever: published records are found by them, so no change of the code may move one.

After a wanted change of a shipped suite, or of the version of a plugin, write the list again:
``python tests/suite/test_frozen_ids.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_bench.api import RunRequest, load_suite
from collapse_bench.registry.discovery import registry

FROZEN = Path(__file__).with_name("frozen_ids.txt")
SHIPPED = ("llm", "neural", "neural-smoke", "smoke", "standard")


def ids_of(suite: str) -> list[str]:
    """The id of every cell of a shipped suite, each once."""
    return sorted({entry.cell.id for entry in load_suite(RunRequest(suite)).entries})


def frozen() -> dict[str, list[str]]:
    """Suite -> the ids in the file."""
    found: dict[str, list[str]] = {}
    for line in FROZEN.read_text(encoding="utf-8").splitlines():
        suite, cell_id = line.split()
        found.setdefault(suite, []).append(cell_id)
    return found


@pytest.mark.parametrize("suite", SHIPPED)
def test_no_cell_of_a_shipped_suite_has_another_id(suite, monkeypatch):
    monkeypatch.delenv("COLLAPSE_BENCH_DATA", raising=False)
    assert ids_of(suite) == frozen()[suite]


def test_every_shipped_suite_is_frozen():
    assert set(frozen()) == set(SHIPPED) == {path.stem for path in registry().suites}


if __name__ == "__main__":
    lines = [f"{suite} {cell_id}" for suite in SHIPPED for cell_id in ids_of(suite)]
    FROZEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
