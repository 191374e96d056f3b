"""The risk score of the first version by the steps of docs/score.md, in plain Python."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from collapse_bench.scoring.first_version.score import score
from collapse_bench.scoring.task import Task

#: task -> (family, floor, gap, in nats)
TASKS = {
    "a": ("images", 0.01, 1.5, False),
    "b": ("images", 0.02, 0.7, False),
    "c": ("text", 0.0, 0.4, True),
    "few": ("text", 0.0, 0.4, True),  # planned for only some entries: enters no mean
}
#: task -> entry -> loss of six chains; None: a failed chain; "-": without a loss of `none`
LOSSES = {
    "a": {
        "none": [0.30, 0.41, 0.28, 0.35, None, 0.33],
        "nature": [0.06, 0.05, 0.08, 0.07, 0.05, 0.06],
        "wild": [0.10, 0.11, 9.00, 0.12, 0.10, None],
    },
    "b": {
        "none": [0.20, 0.22, 0.25, 0.21, 0.19, 0.24],
        "nature": [0.09, -0.01, 0.10, 0.08, 0.11, 0.09],
    },
    "c": {
        "none": [2.9, 3.1, 3.0, 2.8, 3.2, 3.0],
        "nature": [2.5, 2.6, 2.4, 2.5, 2.7, 2.6],
        "wild": [2.7, 2.7, 2.9, 2.6, 2.8, 5.0],
    },
    "few": {
        "none": [2.9, 3.1, 3.0, 2.8, 3.2, 3.0],
        "nature": [2.5, 2.6, 2.4, 2.5, 2.7, 2.6],
        "wild": [4.7, 4.7, 4.9, 4.6, 4.8, 4.0],
    },
}


def by_hand(task: str, entry: str) -> float:
    _, floor, gap, in_nats = TASKS[task]
    losses = LOSSES[task]
    if entry not in losses:
        return 0.0
    chains = [c for c, loss in enumerate(losses["none"]) if loss is not None]

    def base(who: str, c: int) -> float:
        loss = losses[who][c]
        if loss is None:
            return base("none", c) * math.exp(3 * gap)
        return math.exp(loss) if in_nats else max(loss, 0.0) + floor

    def mean(who: str) -> float:
        return sum(base(who, c) for c in chains) / len(chains)

    return math.log(mean("none") / mean(entry)) / math.log(mean("none") / mean("nature"))


@pytest.fixture(scope="module")
def scores():
    rows = [
        {
            "task": task,
            "entry": entry,
            "seed": seed,
            "loss": loss,
            "status": "done" if loss is not None else "failed",
        }
        for task, entries in LOSSES.items()
        for entry, losses in entries.items()
        for seed, loss in enumerate(losses)
    ]
    rows.append({"task": "b", "entry": "wild", "seed": None, "loss": None, "status": "skipped"})
    tasks = {
        name: Task(name, family, floor, gap, 0.1, log_loss=in_nats)
        for name, (family, floor, gap, in_nats) in TASKS.items()
    }
    return score(pd.DataFrame(rows), tasks, shown={"few"})


@pytest.mark.parametrize("entry", ["none", "nature", "wild"])
def test_the_risk_of_a_task_follows_from_the_page(scores, entry):
    found = scores.per_task.set_index(["entry", "task"]).risk
    for task in TASKS:
        assert found[entry, task] == pytest.approx(by_hand(task, entry), abs=1e-12), task


@pytest.mark.parametrize("entry", ["none", "nature", "wild"])
def test_the_risk_of_a_row_follows_from_the_page(scores, entry):
    a, b, c = (by_hand(task, entry) for task in "abc")
    found = scores.rows.set_index("entry").risk[entry]
    assert found == pytest.approx((a + b) / 2 / 2 + c / 2, abs=1e-12)


def test_a_task_that_does_not_fit_is_skipped_in_the_table_and_counts_0(scores):
    row = scores.per_task.set_index(["entry", "task"]).loc[("wild", "b")]
    assert (row.status, row.S_k, row.risk) == ("skipped", 0.0, 0.0)
