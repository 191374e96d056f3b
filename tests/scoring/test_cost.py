"""Scores against what they cost, what a method adds to what it reads, and ceilings."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import FLOOR, GAP, frame, mark, row, suite

from collapse_bench.scoring.ceilings import ceilings
from collapse_bench.scoring.frontier import at_budgets, at_equal_cost, pareto, relative_cost
from collapse_bench.scoring.score import compare, score
from collapse_bench.scoring.task import Task
from collapse_bench.scoring.value import controls_of, values

POINTS = pd.DataFrame(
    [
        ("none", "none", 0.0, 0.0, 1.0),
        ("anchor(.05)", "anchor", 0.3, 0.05, 1.0),
        ("anchor(.1)", "anchor", 0.5, 0.10, 1.0),
        ("anchor(.2)", "anchor", 0.4, 0.20, 1.0),
        ("filter", "filter", 0.2, 0.0, 4.0),
        ("twin", "twin", 0.2, 0.0, 1.2),
        ("heavy", "heavy", 0.9, 0.5, 9.0),
        ("broken", "broken", np.nan, 0.0, 1.0),
    ],
    columns=["entry", "method", "S", "real", "cost"],
)


def test_a_larger_budget_is_never_worse():
    table = at_budgets(POINTS)
    assert table.loc["anchor"].tolist()[1:] == [0.3, 0.5, 0.5]
    assert np.isnan(table.loc["anchor", 0.0])
    assert np.isnan(table.loc["heavy"]).all()
    assert table.loc["best"].tolist() == [0.2, 0.3, 0.5, 0.5]
    assert (table.diff(axis=1).iloc[:, 1:].fillna(0) >= 0).all(axis=None)


def test_rows_compete_within_a_class_of_cost():
    table = at_equal_cost(POINTS)
    assert table.entry.tolist() == [
        "anchor(.1)",
        "anchor(.2)",
        "anchor(.05)",
        "twin",
        "none",
        "filter",
        "heavy",
    ]
    assert table.cost_class.tolist() == [1.25] * 5 + [5.0, np.inf]


def test_what_no_other_row_beats_in_score_and_real_rows():
    assert pareto(POINTS).entry.tolist() == ["filter", "twin", "anchor(.05)", "anchor(.1)", "heavy"]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.2]), st.integers(-2, 2)), min_size=1, max_size=9
    )
)
def test_the_frontier_is_what_nothing_dominates(pairs):
    points = pd.DataFrame(
        [(f"e{i}", f"e{i}", float(s), real, 1.0) for i, (real, s) in enumerate(pairs)],
        columns=POINTS.columns,
    )
    kept = set(pareto(points).entry)
    for a in points.itertuples():
        dominated = any(
            b.S >= a.S and b.real <= a.real and (b.S > a.S or b.real < a.real)
            for b in points.itertuples()
        )
        assert (a.entry in kept) != dominated


def test_the_cost_is_counted_not_timed():
    usage = pd.DataFrame(
        {"fits": [11, 22, 11], "generated_rows": [1000, 1000, 5000]}, ["none", "fits", "rows"]
    )
    assert relative_cost(usage).tolist() == [1, 2, 5]
    assert relative_cost(usage.drop("none")).isna().all()
    usage.loc["none", "generated_rows"] = 0  # a task whose protocol generates nothing
    assert relative_cost(usage).tolist() == [1, 2, 1]


THREE = suite("a", "b", "c")


def level(value: float, seed: int) -> np.ndarray:
    return value + np.random.default_rng(seed).normal(0, 0.05, (3, 16))


def test_a_value_is_a_score_minus_that_of_the_same_knowledge():
    losses = frame(
        {
            "frozen": level(0.8, 0),
            "real-now": level(0.5, 1),
            "real-only": level(1.0, 2),
            "keeps": level(0.9, 3),
            "mixes": level(0.7, 4),
            "blind": level(0.3, 5),
            "both": level(1.2, 6),
        },
        THREE,
    )
    controls = ("none", "nature", "trivial", "frozen", "real-now", "real-only")
    tracks = {"keeps": "first", "mixes": "real", "blind": "blind", "both": "first+real"}
    scores = score(losses, THREE, controls=controls, tracks=tracks)
    found = values(scores, tracks).set_index("entry")
    assert found.control.to_dict() == {
        "keeps": "frozen",
        "mixes": "real-only",
        "blind": "none",
        "both": "real-only",
    }
    pair = compare(scores, "mixes", "real-only")
    assert found.loc["mixes", ["value", "low", "high"]].tolist() == [
        pair.difference,
        pair.low,
        pair.high,
    ]
    assert found.verdict.to_dict() == {"keeps": "yes", "mixes": "no", "blind": "yes", "both": "yes"}
    gone = score(mark(losses, "killed", "real-only", "t00", [1]), THREE, controls=controls)
    assert values(gone, tracks).set_index("entry").control["mixes"] == "real-now"


def test_controls_by_what_a_track_knows():
    entries = [
        "none",
        "real-now",
        "thinned(keep=0.5)",
        "verifier-only",
        "a",
        "frozen",
        "real-nowish",
    ]
    assert controls_of("blind", entries) == ["none"]
    assert controls_of("blind", entries, thins=True) == ["thinned(keep=0.5)"]
    assert controls_of("provenance+verifier", entries) == ["real-now", "verifier-only"]
    assert controls_of("external", entries) == ["none"]


def test_a_ceiling_is_where_a_law_puts_it():
    """`none` at loss 1, nature at .01, the law allows .1: half way on the scale of logarithms."""
    tasks = {"t00": Task("t00", "a", FLOOR, GAP, 0.1, 1.0, 0.1)}
    base = {"none": 1.0, "nature": 0.01, "trivial": 3.0, "good": 0.2, "better": 0.15, "real": 0.05}
    rng = np.random.default_rng(0)
    rows = [
        {"entry": e, "task": "t00", "seed": c, "loss": loss * w - FLOOR, "status": "done"}
        for c, w in enumerate(rng.uniform(0.5, 1.5, 12))
        for e, loss in base.items()
    ]
    frame_ = pd.DataFrame(rows)
    tracks = dict.fromkeys(base, "blind") | {"real": "real"}
    scores = score(frame_, tasks, tracks=tracks)
    mean = frame_[frame_.entry == "none"].loss.mean() + FLOOR
    known = {("t00", "blind"): 0.1 * mean - FLOOR, ("gone", "blind"): 0.1, ("t00", "real"): 0.0}
    found = ceilings(scores, known).set_index("track")
    assert found.loc["blind", "ceiling"] == pytest.approx(0.5)
    assert found.loc["blind", "entry"] == "better"
    assert found.loc["blind", "reached"] == pytest.approx(-math.log(0.15) / -math.log(0.01))
    assert found.loc["real", "reached"] == pytest.approx(math.log(0.05) / math.log(0.01))
    assert ceilings(score(frame_[frame_.entry != "nature"], tasks), known).empty


def test_a_ceiling_in_nats():
    tasks = {"t00": Task("t00", "a", 0.0, 1.0, 0.1, 1.0, 0.1, log_loss=True)}
    base = {"none": 3.0, "nature": 2.0, "trivial": 5.0, "good": 2.6}
    noise = np.random.default_rng(1).normal(0, 0.3, 12)
    rows = [
        {"entry": e, "task": "t00", "seed": c, "loss": loss + w, "status": "done"}
        for c, w in enumerate(noise)
        for e, loss in base.items()
    ]
    scores = score(pd.DataFrame(rows), tasks, tracks=dict.fromkeys(base, "blind"))
    found = ceilings(scores, {("t00", "blind"): 2.5 + noise.mean()}).iloc[0]
    assert (found.ceiling, found.reached) == pytest.approx((0.5, 0.4))
    assert row(scores, "good")["S"] == pytest.approx(0.4)
