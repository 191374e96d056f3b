"""What a long run tells while it is at work."""

from __future__ import annotations

import pytest

import collapse_bench as cb
from collapse_bench.cli import progress
from collapse_bench.core.progress import Step, listening, report_step
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery
from collapse_bench.running.chains import ProgressEvent, run_chains

SLOW = '''
"""A model that takes its time."""
from dataclasses import dataclass
import time
import torch
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench import Model, Teacher
from collapse_bench.core.progress import report_step

class Constant(Teacher):
    account = {"steps": 2, "units": 10.0, "seconds": 0.5}
    def answer(self, x, rng):
        return rng.normal(x.shape[0], 1).double()
    def mean_and_factor(self):
        return torch.zeros(1).double(), torch.eye(1).double()

@dataclass(frozen=True)
class Slow(Model):
    one_chain_per_job = True
    def fit(self, corpus, rng, before=None):
        for step in (1, 2):
            time.sleep(0.4)
            report_step("fit", step, 2, "loss 1.5")
        return Constant()

@hookimpl
def collapse_models():
    return {"slow": Slow}
'''


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_steps_are_heard_from_here_and_from_workers(n_jobs, tmp_path, monkeypatch):
    monkeypatch.setattr("collapse_bench.registry.discovery._REGISTRY", None)
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW)
    heard = []
    results = cb.run(
        "gaussian | slow @ n=5 T=1", seeds="0:2", output=tmp_path / "out", n_jobs=n_jobs, plugins=plugin,
        settings={"mitigations": []}, on_progress=heard.append,
    )  # fmt: skip
    steps = [moment.step for moment in heard if moment.step is not None]
    assert steps
    assert set(steps) <= {Step("fit", 1, 2, "loss 1.5"), Step("fit", 2, 2, "loss 1.5")}
    assert any(moment.label == "gaussian | slow | replace @ n=5 T=1" for moment in heard)
    jobs = [outcome.job for outcome in results.outcomes if outcome.job.cell.generations == 1]
    assert {job.seeds for job in jobs} == {(0,), (1,)}  # a chain of long work is a job of its own
    (record,) = [
        r
        for _, r in Store(tmp_path / "out").records()
        if r.facts.entry == "none" and r.facts.generations
    ]
    assert record.seeds == [0, 1]
    for run in record.runs:
        assert run["training"] == {
            "steps": 4,
            "units": 20.0,
            "seconds": 1.0,
            "units_per_second": 20.0,
        }
        assert run["seconds_by_part"]["fit"] > 1.5


def told(moments, monkeypatch, capsys, every: float) -> list[str]:
    """What is written where there is no terminal, when a moment comes every so many seconds."""
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: every * next(clock))
    reporter = progress.Reporter()
    for moment in moments:
        reporter.moved(moment)
    return capsys.readouterr().err.splitlines()


def test_a_line_for_each_generation_of_a_long_run(monkeypatch, capsys):
    moments = [ProgressEvent("cell", done, 4, None, 10.0 * done) for done in range(5)]
    assert told(moments, monkeypatch, capsys, every=10.0) == [
        "generation 1/4, 0:30 left  cell",
        "generation 2/4, 0:20 left  cell",
        "generation 3/4, 0:10 left  cell",
        "generation 4/4  cell",
    ]
    assert told(moments, monkeypatch, capsys, every=1.0) == []


def test_a_sign_of_life_of_a_long_training(monkeypatch, capsys):
    moments = [
        ProgressEvent("cell", 1, 2, Step("fit", step, 20, "loss 3.2"), 100.0 + 10 * step, 0.5)
        for step in range(14)
    ]
    assert told(moments, monkeypatch, capsys, every=10.0) == [
        "generation 1/2, fit 6/20 loss 3.2, 6:13 left  cell",
        "generation 1/2, fit 12/20 loss 3.2, 2:27 left  cell",
    ]


def test_nobody_listens():
    report_step("fit", 1, 2)
    heard = []
    with listening(heard.append):
        report_step("fit", 1, 2)
        with listening(None):
            report_step("fit", 2, 2)
    assert heard == [Step("fit", 1, 2)]


def test_the_chain_that_runs_by_itself_first_gives_signs_of_progress(tmp_path, monkeypatch):
    """Otherwise a slow method is ended, since it makes no progress."""
    monkeypatch.setattr("collapse_bench.registry.discovery._REGISTRY", None)
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW.replace("one_chain_per_job = True", "vectorized = True"))
    reg = discovery.registry([plugin])
    heard = []
    run_chains(reg.cell("gaussian | slow @ n=5 T=0"), [0, 1], progress=heard.append)
    works = [moment.step.work for moment in heard if moment.step is not None]
    assert works[:3] == ["fit of one chain", "fit of one chain", "generation of one chain"]
    assert "fit" in works
    assert all(moment.share == 0 for moment in heard[:3])
