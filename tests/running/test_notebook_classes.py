"""Classes that are written in a notebook, which no other process can import, run in workers."""

from __future__ import annotations

import linecache
import sys

import pandas as pd
import pytest

from collapse_bench import offer, run

SPEC = "gaussian | gaussian-fit | replace | mine @ n=20 T=2"
CELL = """
from dataclasses import dataclass
from collapse_bench import Mitigation

FACTOR = {factor}

def rows(k):
    return k * FACTOR

@dataclass(frozen=True)
class Mine(Mitigation):
    k: int = 3

    def curate(self, corpus, access):
        return corpus + access.real(rows(self.k))
"""


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def write(factor: int) -> type:
    """What a notebook does with a cell: its source is in ``linecache``, and in no file."""
    text, file, space = CELL.format(factor=factor), f"<ipython-input-{factor}>", {}
    space["__name__"] = "__main__"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    exec(compile(text, file, "exec"), space)
    return space["Mine"]


def test_workers_run_it_with_the_numbers_of_this_process(tmp_path):
    offer("mine", write(2))
    found = [run(SPEC, seeds="0:4", output=tmp_path / str(n), n_jobs=n) for n in (1, 2)]
    assert not [outcome.reason for one in found for outcome in one.failed]
    here, there = (
        one.frame().sort_values(["entry", "seed", "generation", "metric"], ignore_index=True)
        for one in found
    )
    assert "mine" in set(there.entry)
    pd.testing.assert_frame_equal(here, there)
    # a constant of the notebook is part of the code that made a record
    verdicts = []
    for factor in (2, 5):
        offer("mine", write(factor))
        again = run(SPEC, seeds="0:4", output=tmp_path / "2", n_jobs=2)
        verdicts += [step.verdict for step in again.steps if step.entry.name == "mine"]
        assert not again.failed
    assert verdicts == ["reuse", "stale"]
    used = again.store.read(again.manifest.entries[-1].id, 0)
    assert used is not None


def test_a_class_of_a_function_runs_in_workers(tmp_path):
    from dataclasses import dataclass

    from collapse_bench import Mitigation

    @dataclass(frozen=True)
    class Local(Mitigation):
        def curate(self, corpus, access):
            return corpus + access.real(2)

    offer("local", Local)
    done = run(SPEC.replace("mine", "local"), seeds="0:2", output=tmp_path, n_jobs=2)
    assert not [outcome.reason for outcome in done.failed]
