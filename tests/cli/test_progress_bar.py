"""The live lines of a run keep their count and their times, however narrow the terminal is."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from collapse_bench.cli import progress, timing
from collapse_bench.core.progress import Step
from collapse_bench.running.chains import ProgressEvent
from collapse_bench.running.jobs import Job, JobOutcome
from collapse_bench.status import Status
from collapse_bench.suite.plan import CellPlan, Estimate

TASK = "zipf(K=1000) | counts | accumulate-subsample @ n=1000 T=10"
LABEL = "zipf(K=1000) | counts | accumulate-subsample | [bold]real-anchor[/bold](k=5) @ n=1000 T=10"


def jobs(seconds: list[float], tasks: list[str] | None = None) -> tuple[list[Job], Estimate]:
    some = [
        Job(SimpleNamespace(id=str(i), label=LABEL, task=tasks[i] if tasks else TASK), (0, 1))
        for i in range(len(seconds))
    ]
    known = {str(i): s for i, s in enumerate(seconds)}
    return some, Estimate(known, 2 * sum(seconds), 2 * len(seconds), 0)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "monotonic", lambda: now[0])
    return now


def live(width: int, **more) -> progress.Reporter:
    reporter = progress.Reporter(**more)
    reporter.console = Console(file=io.StringIO(), width=width, force_terminal=True)
    reporter.live = True
    return reporter


def shown(reporter: progress.Reporter, width: int) -> list[str]:
    page = Console(file=io.StringIO(), width=width)
    page.print(reporter)
    lines = page.file.getvalue().strip("\n").split("\n")
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_count_and_times_are_shown_in_full(width, clock):
    some, estimate = jobs([30.0] * 99 + [1000.0])
    with live(width) as reporter:
        reporter.planned([], some, estimate, n_jobs=2)
        reporter.moved(ProgressEvent(LABEL, 3, 10, None, 1.0))
        clock[0] = 60.0
        # 99 x 2 x 30 s and 2 x 1000 s on two workers are 3970 s
        assert "0/100  1:00 elapsed, 1:05:10 left" in shown(reporter, width)[0]
        reporter.ended(JobOutcome(some[0], {Status.DONE: 2}, None, 120.0))
        # it took twice its estimate: 98 x 120 s and 4000 s are left for two workers
        assert "1/100  1:00 elapsed, 2:11:20 left" in shown(reporter, width)[0]
        assert shown(reporter, width)[-1].endswith("T=10")


def test_the_longest_times_fit_80_columns(clock):
    some, estimate = jobs([3600.0] * 9999)
    with live(80) as reporter:
        reporter.planned([], some, estimate)
        clock[0] = 360000.0
        assert shown(reporter, 80)[0].endswith("0/9999  100:00:00 elapsed, 19898:00:00 left")


def test_what_a_task_costs_is_measured_on_its_own_cells(clock):
    cheap, dear = "cheap | a | replace @ n=1 T=1", "dear | a | replace @ n=1 T=1"
    some, estimate = jobs([10.0] * 4, [cheap, cheap, dear, dear])
    left = timing.TimeLeft(some, estimate, 1)
    assert left.left == 80
    left.ended(JobOutcome(some[0], {Status.DONE: 2}, None, 2.0))
    # all that was measured took a tenth of its estimate
    assert left.left == pytest.approx(6)
    left.ended(JobOutcome(some[2], {Status.DONE: 2}, None, 100.0))
    assert left.left == pytest.approx(2 + 100)


def test_a_cell_that_runs_says_how_long_it_takes(clock):
    some, estimate = jobs([1.0])
    left = timing.TimeLeft(some, estimate, 1)
    left.moved(ProgressEvent(LABEL, 1, 10, None, 30.0))
    assert left.left == pytest.approx(270)


def test_without_timings_no_time_is_left():
    some, _ = jobs([0.0, 0.0])
    left = timing.TimeLeft(some, Estimate({}, 0.0, 4, 4), 1)
    assert str(left) == "0:00 elapsed"


def test_failed_and_skipped_are_counted_and_the_score_so_far_is_shown(clock):
    some, estimate = jobs([1.0] * 3)
    skipped = CellPlan(SimpleNamespace(), "skip", "it does not fit")
    with live(80, skipped=2, standing=lambda outcome: "mine +0.31 after 1 of 2 tasks") as reporter:
        reporter.planned([skipped], some, estimate)
        reporter.ended(JobOutcome(some[0], {Status.DONE: 1, Status.FAILED: 1}, "boom", 1.0))
        reporter.ended(JobOutcome(some[1], {Status.SKIPPED: 2}, "no", 1.0))
        assert shown(reporter, 80)[1] == "1 failed, 4 skipped; mine +0.31 after 1 of 2 tasks"


def test_a_long_cell_shows_its_loss_by_generation(clock):
    some, estimate = jobs([100.0])
    losses = tuple(3 + 0.25 * t for t in range(40))
    with live(80) as reporter:
        reporter.planned([], some, estimate)
        step = Step("fit", 120, 400, "loss 3.21")
        reporter.moved(ProgressEvent(LABEL, 3, 41, step, 60.0, 0.0, losses[:3]))
        assert shown(reporter, 80)[-1] == "loss by generation: 3 3.25 3.5"
        assert "fit 120/400 loss 3.21" in shown(reporter, 80)[-2]
        reporter.moved(ProgressEvent(LABEL, 40, 41, None, 60.0, 0.0, losses))
        last = shown(reporter, 80)[-1]
        assert last.startswith("loss by generation: 3 … ")
        assert last.endswith(" 12.5 12.8")
        reporter.moved(ProgressEvent(LABEL, 2, 41, None, 0.1, 0.0, losses[:2]))
        assert "loss by" not in shown(reporter, 80)[-1], "a fast cell is gone before it is read"


def test_further_jobs_may_follow(clock):
    some, estimate = jobs([1.0])
    with live(80) as reporter:
        for _ in range(2):
            reporter.planned([], some, estimate)
            assert shown(reporter, 80)[0].split()[1].startswith("0/1")
            reporter.ended(JobOutcome(some[0], {Status.DONE: 2}, None, 1.0))


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
    said = timing.took(estimate, 2)
    assert words in said
    assert bool(words) == bool(said)
