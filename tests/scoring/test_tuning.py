"""Configurations are picked per family on calibration chains, and ranked on those of the exam."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted import GAP, frame, mark, row, suite

from collapse_bench.errors import UsageError
from collapse_bench.scoring.score import score
from collapse_bench.scoring.tuning import complete, in_hindsight, picks, tuned, tuning_fits

TASKS = suite("a", "a", "b", "c")
TUNINGS = {"m": ["m", "m(x=1)", "m(x=2)"], "plain": ["plain"]}


def changes(*levels, seed=0, noise=0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array(levels)[:, None] + rng.normal(0, noise, (4, 12))


def losses(seed: int = 0, **more) -> pd.DataFrame:
    return frame(
        {
            "m": changes(0.1, 0.1, 0.9, -0.5, seed=seed),
            "m(x=1)": changes(0.8, 0.8, 0.2, -0.5, seed=seed + 1),
            "m(x=2)": changes(1.2, 0.1, 0.3, -0.1, seed=seed + 2),
            "plain": changes(0.4, 0.4, 0.4, 0.4, seed=seed + 3),
            **more,
        },
        TASKS,
    )


def test_each_family_gets_its_best_configuration():
    chosen = picks(losses(), TASKS, TUNINGS).set_index(["method", "family"]).entry
    assert chosen.to_dict() == {
        ("m", "a"): "m(x=1)",
        ("m", "b"): "m",
        ("m", "c"): "m(x=2)",
        ("plain", "a"): "plain",
        ("plain", "b"): "plain",
        ("plain", "c"): "plain",
    }


def test_the_tuned_row_is_what_was_picked_on_other_chains():
    exam = losses(seed=10)
    chosen = picks(losses(), TASKS, TUNINGS)
    scores = score(pd.concat([exam, tuned(exam, TASKS, TUNINGS, chosen)]), TASKS)
    s = scores.per_task.pivot(index="entry", columns="task", values="S_k")
    expected = [
        s.at["m(x=1)", "t00"],
        s.at["m(x=1)", "t01"],
        s.at["m", "t02"],
        s.at["m(x=2)", "t03"],
    ]
    assert s.loc["m (tuned)"].tolist() == expected
    assert s.loc["plain (tuned)"].tolist() == s.loc["plain"].tolist()
    assert row(scores, "m (tuned)")["S"] > row(scores, "m")["S"]


def test_a_choice_on_noise_gains_nothing_and_hindsight_does():
    """Four equal configurations: the one that is picked elsewhere is no better than another."""
    tunings = {"m": [f"m{i}" for i in range(4)]}
    gains, hindsight = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = {f"m{i}": 0.5 + rng.normal(0, 0.3, (4, 24)) for i in range(4)}
        both = frame(noise, TASKS)
        first, second = both[both.seed < 12], both[both.seed >= 12]
        rows = [second, tuned(second, TASKS, tunings, picks(first, TASKS, tunings))]
        scores = score(pd.concat([*rows, in_hindsight(second, TASKS, tunings)]), TASKS)
        mean = np.mean([row(scores, name)["S"] for name in tunings["m"]])
        gains.append(row(scores, "m (tuned)")["S"] - mean)
        hindsight.append(row(scores, "m (best in hindsight)")["S"] - mean)
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert abs(np.mean(gains)) < 3 * error
    assert np.mean(hindsight) > 10 * error


def test_ties_stay_with_the_default_and_what_does_not_fit_is_not_picked():
    same = changes(0.5, 0.5, 0.5, 0.5)
    tie = frame({"m": same, "m(x=1)": same, "m(x=2)": same, "plain": same}, TASKS)
    assert set(picks(tie, TASKS, TUNINGS).query("method == 'm'").entry) == {"m"}
    lost = mark(losses(), "skipped", "m(x=2)", "t03")
    assert picks(lost, TASKS, TUNINGS).set_index(["method", "family"]).entry["m", "c"] in (
        "m",
        "m(x=1)",
    )
    gone = losses()
    for entry in TUNINGS["m"]:
        gone = mark(gone, "skipped", entry, "t03")
    chosen = picks(gone, TASKS, TUNINGS)
    assert ("m", "c") not in set(zip(chosen.method, chosen.family, strict=True))
    whole = tuned(gone, TASKS, TUNINGS, chosen)
    assert set(whole[(whole.entry == "m (tuned)") & (whole.task == "t03")].status) == {"skipped"}


def test_refusing_does_not_win_over_helping_and_wins_over_harming():
    refused = mark(losses(), "refused", "m", "t03")
    chosen = picks(refused, TASKS, TUNINGS).set_index(["method", "family"])
    assert chosen.entry["m", "c"] == "m"
    assert chosen.S["m", "c"] == 0


def test_the_fits_of_a_choice_are_charged():
    usage = pd.DataFrame(
        {"entry": ["m", "m(x=1)", "m(x=2)", "plain"] * 2, "fits": [3, 4, 5, 6] * 2}
    )
    assert tuning_fits(usage, TUNINGS) == {"m": 24, "plain": 0}


def test_at_most_four_configurations_on_the_same_chains():
    with pytest.raises(UsageError, match="m has 5 tunings; a method may have 1 to 4"):
        picks(losses(), TASKS, {"m": ["m"] * 5})
    with pytest.raises(UsageError, match="0 tunings"):
        picks(losses(), TASKS, {"m": []})
    assert complete(losses(), TUNINGS) == []
    assert complete(mark(losses(), "skipped", "m", "t00"), TUNINGS) == []
    assert complete(mark(losses(), "killed", "m(x=1)", "t01", [3]), TUNINGS) == [
        "m(x=1) has 11 of 12 chains on t01, so that it cannot be chosen there fairly; run it again"
    ]
    assert GAP > 0
