"""The bar of a run keeps its count and its times, however narrow the terminal is."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from collapse_bench.cli import progress
from collapse_bench.running.chains import ProgressEvent
from collapse_bench.running.jobs import Job, JobOutcome
from collapse_bench.status import Status
from collapse_bench.suite.plan import Estimate

LABEL = "zipf(K=1000) | counts | accumulate-subsample | [bold]real-anchor[/bold](k=5) @ n=1000 T=10"


def jobs(seconds: list[float]) -> tuple[list[Job], Estimate]:
    some = [Job(SimpleNamespace(id=str(i), label=LABEL), (0, 1)) for i in range(len(seconds))]
    known = {str(i): s for i, s in enumerate(seconds)}
    return some, Estimate(known, 2 * sum(seconds), 2 * len(seconds), 0)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_count_and_time_are_shown(width, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    reporter = progress.Reporter()
    reporter.console = Console(file=io.StringIO(), width=width, force_terminal=True)
    reporter.live = True
    some, estimate = jobs([30.0] * 99 + [1000.0])
    with reporter:
        reporter.planned([], some, estimate, n_jobs=2)

        def shown() -> str:
            page = Console(file=io.StringIO(), width=width)
            page.print(reporter.bar.get_renderable())
            [line] = page.file.getvalue().strip("\n").split("\n")
            assert len(line) <= width
            return line

        reporter.moved(ProgressEvent(LABEL, 3, 10, None, 1.0))
        now[0] = 60.0
        # 99 x 2 x 30 s and 2 x 1000 s on two workers are 3970 s
        assert "0/100" in shown()
        assert "1:00 elapsed, 1:05:10 left" in shown()
        reporter.ended(JobOutcome(some[0], {Status.DONE: 2}, None, 60.0))
        # a job of 60 s of 7940 s took a minute
        assert "1/100" in shown()
        assert "1:00 elapsed, 2:11:20 left" in shown()
        if width >= 80:
            assert re.search(r"…\S*.* T=10 *$", shown())


def test_without_timings_no_time_is_left():
    some, _ = jobs([0.0, 0.0])
    left = progress.TimeLeft(some, Estimate({}, 0.0, 4, 4), 1)
    assert str(left) == "0:00 elapsed"


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate({"a": 1.0}, 20.0, 20, 0), ""),
        (Estimate({"a": 1.0}, 90.0, 90, 0), ", about 90 s of CPU time, 45 s on 2 free cores, "),
        (Estimate({"a": 1.0}, 900.0, 950, 50), "(50 chains have no timing)"),
        (Estimate({}, 0.0, 50, 50), ", time unknown"),
        (Estimate({}, 0.0, 0, 0), ""),
    ],
)
def test_an_estimate_in_words(estimate, words):
    said = progress.took(estimate, 2)
    assert words in said
    assert bool(words) == bool(said)
