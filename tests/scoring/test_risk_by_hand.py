"""S and the risk score by the steps of docs/score.md, in plain Python without their code."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from collapse_bench.scoring.score import score
from collapse_bench.scoring.task import Task

#: task -> (family, floor, gap, A_k, in nats)
TASKS = {
    "a": ("images", 0.01, 1.5, 0.9, False),
    "b": ("images", 0.02, 0.7, 1.2, False),
    "c": ("text", 0.0, 0.4, 1.4, True),
}
#: task -> entry -> loss of six chains; None: a failed chain; an entry is absent: it does not fit
LOSSES = {
    "a": {
        "none": [0.30, 0.41, 0.28, 0.35, None, 0.33],
        "nature": [0.06, 0.05, 0.08, 0.07, 0.05, 0.06],
        "trivial": [0.9, 0.8, 1.0, 0.9, 0.7, 0.9],
        "wild": [0.50, 0.71, 9.00, 0.62, 0.60, None],
        "good": [0.10, 0.11, 0.12, 0.12, 0.10, 0.09],
    },
    "b": {
        "none": [0.20, 0.22, 0.25, 0.21, 0.19, 0.24],
        "nature": [0.09, -0.01, 0.10, 0.08, 0.11, 0.09],
        "trivial": [0.8, 0.7, 0.9, 0.8, 0.8, 0.7],
        "good": [0.15, 0.16, 0.17, 0.12, 0.13, 0.16],
    },
    "c": {
        "none": [2.9, 3.1, 3.0, 2.8, 3.2, 3.0],
        "nature": [2.5, 2.6, 2.4, 2.5, 2.7, 2.6],
        "trivial": [4.4, 4.4, 4.5, 4.4, 4.4, 4.4],
        "wild": [2.7, 2.7, 2.9, 2.6, 2.8, 5.0],
        "good": [2.7, 2.7, 2.9, 2.6, 2.8, 2.8],
    },
}


def cut(task: str, who: str, c: int) -> float:
    loss, worst = LOSSES[task][who][c], LOSSES[task]["trivial"][c]
    return worst if loss is None else min(loss, worst)


def base(task: str, who: str, c: int) -> float:
    _, floor, _, _, in_nats = TASKS[task]
    loss = cut(task, who, c)
    return math.exp(loss) if in_nats else max(loss, 0.0) + floor


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def risk(task: str, entry: str) -> float:
    none, own, nature = (
        mean(base(task, who, c) for c in range(6)) for who in ("none", entry, "nature")
    )
    return math.log(none / own) / math.log(none / nature)


def s(task: str, entry: str) -> float:
    """One task: a mean of differences of logarithms, in the unit of its sign."""
    _, _, gap, harm, _ = TASKS[task]
    d = mean(math.log(base(task, "none", c) / base(task, entry, c)) for c in range(6))
    return d / gap if d >= 0 else d / harm


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
    rows += [
        {"task": task, "entry": "shy", "seed": None, "loss": None, "status": "refused"}
        for task in ("a", "b")
    ]
    rows += [
        {"task": "c", "entry": "shy", "seed": seed, "loss": loss, "status": "done"}
        for seed, loss in enumerate(LOSSES["c"]["good"])
    ]
    tasks = {
        name: Task(name, family, floor, gap, 0.1, harm, 0.1, log_loss=in_nats)
        for name, (family, floor, gap, harm, in_nats) in TASKS.items()
    }
    return score(pd.DataFrame(rows), tasks)


@pytest.mark.parametrize("entry", ["none", "nature", "trivial", "wild", "good"])
def test_a_task_follows_from_the_page(scores, entry):
    found = scores.per_task.set_index(["entry", "task"])
    for task in TASKS:
        if entry in LOSSES[task]:
            assert found.S_k[entry, task] == pytest.approx(s(task, entry), abs=1e-12), task
            assert found.risk[entry, task] == pytest.approx(risk(task, entry), abs=1e-12), task


def test_a_row_follows_from_the_page(scores):
    rows = scores.rows.set_index("entry")
    for what, of in (("S", s), ("risk", risk)):
        a, b, c = (of(task, "good") for task in "abc")
        assert rows[what]["good"] == pytest.approx((a + b) / 4 + c / 2, abs=1e-12)
        wild = of("a", "wild") / 2 + of("c", "wild") / 2
        assert rows[what]["wild"] == pytest.approx(wild, abs=1e-12)
        assert rows[what]["shy"] == pytest.approx(of("c", "good") / 2, abs=1e-12)
    assert rows.coverage["wild"] == pytest.approx(0.75)
    assert (rows.coverage["shy"], rows.refused["shy"]) == (1, 2)
