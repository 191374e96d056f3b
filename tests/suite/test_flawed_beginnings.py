"""Suites whose tasks begin with a flawed source, or with few rows."""

from __future__ import annotations

import dataclasses
import math

import pytest

from collapse_bench import generations
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.expand import expand
from collapse_bench.suite.model import read_suite

SUITE = """
name = "flawed"
seeds = "0:{chains}"
protocols = ["replace"]
mitigations = [
    "frozen", "real-anchor(share=0.1)", "noisy-verify(refill=1)", "oracle-verify(refill=1)",
    "boosted-labels",
]
generations = 8

[[tasks]]
data = "{data}"
model = "{model}"
n = {n}
first = "{first}"
"""
#: (data, model, n, source, chains, error rate of generation 8 by entry), from an independent run
KNOWN = [
    (
        "digits",
        "logistic",
        300,
        "weak-labeller(rows=20)",
        24,
        {
            "none": 0.388,
            "frozen": 0.385,
            "real-anchor(share=0.1)": 0.285,
            "noisy-verify(refill=1)": 0.257,
            "oracle-verify(refill=1)": 0.218,
            "boosted-labels": 0.061,
            "nature": 0.061,
        },
    ),
    (
        "half-space(d=30, mu2=2)",
        "logistic",
        250,
        "noisy-labels(p=0.55)",
        64,
        {
            "none": 0.600,
            "frozen": 0.582,
            "real-anchor(share=0.1)": 0.265,
            "noisy-verify(refill=1)": 0.110,
            "oracle-verify(refill=1)": 0.093,
            "boosted-labels": 0.113,
            "nature": 0.111,
        },
    ),
    # below the threshold of averaging, iteration repairs the labels by itself
    (
        "half-space(d=30, mu2=2)",
        "averaging",
        250,
        "noisy-labels(p=0.4)",
        64,
        {"none": 0.085, "frozen": 0.200},
    ),
]


def entries_of(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return {entry.name: entry for entry in expand(read_suite(path), registry()).entries}


@pytest.mark.parametrize(("data", "model", "n", "first", "chains", "known"), KNOWN)
def test_a_flawed_source_teaches_the_tasks_of_a_suite(
    data, model, n, first, chains, known, tmp_path
):
    text = SUITE.format(data=data, model=model, n=n, first=first, chains=chains)
    entries = entries_of(tmp_path, text)
    for name, number in known.items():
        cell = dataclasses.replace(entries[name].cell, seeds=tuple(range(chains)))
        assert cell.first_teacher.title() == first.split("(")[0]
        *_, last = generations(cell)
        loss = last.scores["error_rate"].double()
        # the other run had a standard error of its own, which is taken to be of this size
        error = float(loss.std()) / chains**0.5
        assert abs(loss.mean() - number) <= 4 * math.sqrt(2) * error + 5e-4, (name, loss.mean())
        assert error < 0.02


N0 = """
name = "small-start"
seeds = "0:4"
protocols = ["replace", "accumulate"]
mitigations = ["growing"]
n = 50
generations = 6

[[tasks]]
data = "gaussian(sampler=exact-law)"
model = "gaussian-fit(sigma=1)"
n0 = 10
"""


def test_a_small_generation_0_costs_what_the_law_says(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(N0)
    suite = expand(read_suite(path), registry())
    law = {
        "replace": [1 / 10 + t / 50 for t in range(7)],
        # the pool has 10 + 50 t rows, of which 50 are new: the rest moves the mean by nothing
        "accumulate": [
            1 / 10 + sum(50 / (10 + 50 * s) ** 2 for s in range(1, t + 1)) for t in range(7)
        ],
    }
    for entry in suite.entries:
        if entry.name != "none":
            continue
        cell = dataclasses.replace(entry.cell, seeds=tuple(range(4000)))
        assert (cell.size(0), cell.size(1)) == (10, 50)
        for now in generations(cell):
            loss, due = now.scores["w2"].double(), law[cell.protocol.title()][now.t]
            assert abs(loss.mean() - due) < 4 * loss.std() / 4000**0.5 < 0.15 * due
