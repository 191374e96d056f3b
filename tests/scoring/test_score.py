"""The rules of the score."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import FLOOR, GAP, HARM, frame, mark, on, row, suite
from scipy.stats import t as student

from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.scoring.rules import LEAST_GAP, REFUSED, SAME
from collapse_bench.scoring.score import compare, score
from collapse_bench.scoring.stats import holm, tukey_p
from collapse_bench.scoring.task import Task, floor_and_gap, harm_unit, unscored
from collapse_bench.scoring.weights import Weighting, capped
from collapse_bench.status import FAILURES, Status

THREE = suite("gaussian", "gaussian", "text")
#: so many that the limit of 5 % can hold: 3 families of 8, 12 and 5 tasks
MANY = suite(*("a",) * 8, *("b",) * 12, *("c",) * 5)


def some(*names: str, tasks: int = 3, chains: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    """Changes in nats that help on the average of every task."""
    rng = np.random.default_rng(seed)
    return {name: 0.6 + rng.uniform(-0.5, 0.5, (tasks, chains)) for name in names}


def ladder(*levels: float, chains: int = 32, tasks: int = 3, seed: int = 6):
    rng = np.random.default_rng(seed)
    return {f"m{i}": level + rng.normal(0, 0.04, (tasks, chains)) for i, level in enumerate(levels)}


# -- one chain -------------------------------------------------------------------------------------


def test_none_scores_0_nature_1_and_trivial_minus_1():
    same = np.random.default_rng(1).normal(0, 1, (3, 12))
    losses = frame({"nature": np.full((3, 12), GAP), **some("mild")}, THREE, none=same)
    scores = score(losses, THREE)
    for entry, expected in (("none", 0), ("nature", 1), ("trivial", -1)):
        found = row(scores, entry)
        assert (found["S"], found["low"], found["high"]) == pytest.approx((expected,) * 3)
        assert found["control"]
        for task in THREE:
            assert on(scores, entry, task)["S_k"] == pytest.approx(expected)
    d = some("mild")["mild"]
    assert row(scores, "mild")["S"] == pytest.approx(
        (d[:2].mean() / 2 + d[2].mean() / 2) / GAP, abs=1e-9
    )


def test_a_copy_of_none_is_0_in_every_table():
    zero = np.zeros((3, 12))
    none = np.random.default_rng(2).normal(0, 1, (3, 12))
    losses = frame({"twin": zero, "other": zero, "nature": zero + GAP, **some("real")}, THREE, none)
    scores = score(losses, THREE, focus="twin")
    twin = row(scores, "twin")
    assert (twin["S"], twin["low"], twin["high"], twin["p_none"], twin["risk"]) == (0, 0, 0, 1, 0)
    assert (scores.per_task.query("entry == 'twin'")[["S_k", "se", "risk"]] == 0).all(axis=None)
    assert (scores.per_family.query("entry == 'twin'")[["S", "low", "high"]] == 0).all(axis=None)
    assert (scores.chains.loc["twin"] == 0).all()
    pair = compare(scores, "twin", "other")
    assert (pair.difference, pair.low, pair.high, pair.p) == (0, 0, 0, 1)
    assert twin["tier"] == row(scores, "other")["tier"]


def test_calibrated_on_one_set_of_chains_the_controls_keep_their_scores_on_another():
    rng = np.random.default_rng(2)
    drawn = {
        name: rng.gamma(5, size=(2, 512)) * scale
        for name, scale in (("none", 1.0), ("nature", 0.05), ("trivial", 20.0))
    }
    task = Task("t", "f", *floor_and_gap(*(loss[0] for loss in drawn.values()), resolution=1e-6))
    losses = pd.concat(
        pd.DataFrame(
            {"entry": name, "task": "t", "seed": range(512), "loss": loss[1], "status": "done"}
        )
        for name, loss in drawn.items()
    )
    scores = score(losses, {"t": task})
    for name, expected in (("nature", 1), ("trivial", -1)):
        found = row(scores, name)
        assert found["low"] < expected < found["high"]
        assert found["high"] - found["low"] < 0.1
    assert row(scores, "nature")["risk"] == pytest.approx(1)


def test_an_estimate_below_0_counts_as_0():
    losses = frame({"lucky": np.zeros((3, 12)), "exact": np.zeros((3, 12))}, THREE)
    loss = losses.loss.mask(losses.entry == "exact", 0.0).mask(losses.entry == "lucky", -5.0)
    scores = score(losses.assign(loss=loss), THREE)
    assert row(scores, "lucky")["S"] == row(scores, "exact")["S"]
    assert row(scores, "exact")["S"] == pytest.approx(-math.log(FLOOR) / GAP)


def test_no_chain_counts_as_worse_than_trivial():
    change = np.zeros((3, 12))
    change[:, 0], change[:, 1] = -50.0, 2 * GAP
    scores = score(frame({"wild": change}, THREE), THREE)
    assert row(scores, "wild")["S"] == pytest.approx((-HARM + 2 * GAP) / 12 / GAP)
    change[:, 0] = -HARM
    assert (
        row(score(frame({"wild": change}, THREE), THREE), "wild")["S"] == row(scores, "wild")["S"]
    )


@pytest.mark.parametrize("status", [*FAILURES, "done"])
@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_chain_that_fails_counts_exactly_as_trivial(status, loss):
    change = some("frail")["frail"]
    losses = frame({"frail": change}, THREE)
    hit = (losses.entry == "frail") & (losses.task == "t02") & losses.seed.isin([3, 4])
    losses = losses.assign(status=losses.status.mask(hit, status), loss=losses.loss.mask(hit, loss))
    scores = score(losses, THREE)
    change[2, [3, 4]] = -HARM
    assert on(scores, "frail", "t02")["S_k"] == pytest.approx(change[2].mean() / GAP)
    assert on(scores, "frail", "t02")["failed"] == 2
    assert row(scores, "frail")["failed"] == pytest.approx(2 / 36)


def test_who_always_crashes_is_trivial():
    losses = mark(frame(some("dead", "alive"), THREE), "failed", "dead")
    scores = score(losses, THREE)
    dead = row(scores, "dead")
    assert (dead["S"], dead["low"], dead["high"], dead["failed"], dead["harmed"]) == pytest.approx(
        (-1, -1, -1, 1, 1)
    )
    assert dead["p_none"] == 0  # a difference without an error is sure
    # code that never works says nothing about a method
    assert not dead["ranked"]
    assert dead["reason"] == "all of its chains failed"
    assert row(scores, "alive")["rank"] == 1


def test_who_always_crashes_changes_no_other_row():
    """Neither ranks and p of others, nor who is a specialist: "narrow" fits one task of three."""
    losses = frame(some("dead", "narrow"), THREE)
    for task in ("t01", "t02"):
        losses = mark(losses, "skipped", "narrow", task)
    without = score(losses[losses.entry != "dead"], THREE)
    broken = score(mark(losses, "failed", "dead"), THREE)
    assert row(without, "narrow")["ranked"]
    for name in ("ranked", "specialist", "tier", "rank", "reason", "S"):
        assert row(broken, "narrow")[name] == row(without, "narrow")[name], name
    # one whole chain makes it a row like others, which covers more than "narrow"
    once = mark(losses, "failed", "dead", "t00", range(1, 12))
    assert row(score(once, THREE), "narrow")["specialist"]


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=1),
    st.integers(0, 99),
    st.floats(0, 3),
)
def test_crashing_never_pays(crashes, seed, spread):
    rng = np.random.default_rng(seed)
    losses = frame({"entry": rng.standard_t(2, (3, 12)) * spread}, THREE)
    crashed = losses
    for k, c in crashes:
        crashed = mark(crashed, "failed", "entry", f"t{k:02d}", [c])
    before, after = (row(score(x, THREE), "entry")["S"] for x in (losses, crashed))
    assert after <= before + 1e-12


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.floats(0.06, 5), st.floats(0.06, 5))
def test_the_score_lies_between_trivial_and_above(seed, gap, harm):
    """S_k >= -1 where A_k is the mean of these chains, whatever the losses are."""
    tasks = suite("a", gap=gap, harm=harm, sd=0.0)
    changes = np.random.default_rng(seed).standard_cauchy((1, 12))
    assert row(score(frame({"m": changes}, tasks), tasks), "m")["S"] >= -1 - SAME


def test_the_unit_follows_the_sign_of_the_mean_never_of_a_chain():
    change = np.tile([0.9, -0.5], (3, 6))
    mirrored = frame({"up": change, "down": -change}, THREE)
    scores = score(mirrored, THREE)
    assert row(scores, "up")["S"] == pytest.approx(0.2 / GAP)
    assert row(scores, "down")["S"] == pytest.approx(-0.2 / HARM)
    np.testing.assert_allclose(scores.chains.loc["up"].to_numpy(), change[0] / GAP, atol=1e-9)
    np.testing.assert_allclose(scores.chains.loc["down"].to_numpy(), -change[0] / HARM, atol=1e-9)


def test_where_trivial_is_hardly_worse_than_none_the_gap_is_the_unit():
    small = Task("t", "f", FLOOR, GAP, 1.0, 0.9 * LEAST_GAP, 0.0)
    noisy = Task("t", "f", FLOOR, GAP, 1.0, HARM, HARM * math.sqrt(32) / 4)
    assert harm_unit(small, 32) == harm_unit(noisy, 32) == GAP
    assert harm_unit(noisy, 64) == HARM
    tasks = {"t00": Task("t00", "f", FLOOR, GAP, 1.0, 0.9 * LEAST_GAP, 0.0)}
    scores = score(frame({"bad": np.full((1, 12), -0.02)}, tasks), tasks)
    assert row(scores, "bad")["S"] == pytest.approx(-0.02 / GAP)
    assert any("none is hardly better than trivial on 1 task" in note for note in scores.notes)


def test_a_loss_in_nats_is_its_own_logarithm():
    task = {"t0": Task("t0", "text", 0.0, 0.5, 0.1, 1.0, 0.1, log_loss=True)}
    losses = pd.DataFrame(
        [
            {"entry": entry, "task": "t0", "seed": c, "loss": loss, "status": "done"}
            for entry, loss in (("none", 3.0), ("half", 2.75), ("bad", 3.5), ("trivial", 4.0))
            for c in range(12)
        ]
    )
    scores = score(losses, task)
    assert (row(scores, "half")["S"], row(scores, "bad")["S"]) == pytest.approx((0.5, -0.5))


# -- tasks -----------------------------------------------------------------------------------------


def test_a_task_without_a_record_of_trivial_is_left_out():
    losses = frame(some("entry"), THREE)
    gone = losses[(losses.entry != "trivial") | (losses.task != "t01")]
    scores = score(gone, THREE)
    assert scores.excluded == {"t01": "t01 has no record of trivial: run it"}
    assert row(scores, "entry")["fits"] == "2 of 2"
    with pytest.raises(NothingMatched, match="no record of trivial"):
        score(losses[losses.entry != "trivial"], THREE)


def test_chains_without_none_or_trivial_take_no_part():
    change = some("entry")["entry"]
    losses = frame({"entry": change}, THREE)
    for stopped in ("none", "trivial"):
        scores = score(mark(losses, "killed", stopped, "t00", [4]), THREE)
        expected = (np.delete(change[0], 4).mean() + change[1].mean()) / 4 + change[2].mean() / 2
        assert row(scores, "entry")["S"] == pytest.approx(expected / GAP)
        assert scores.notes[0].startswith("t00: 1 of 12 chains are left out")


def test_a_chain_in_which_none_fails_counts_with_none_as_trivial():
    change = some("entry")["entry"]
    losses = mark(frame({"entry": change}, THREE), "failed", "none", "t02", [4])
    scores = score(losses, THREE)
    change[2, 4] += HARM
    assert on(scores, "entry", "t02")["S_k"] == pytest.approx(change[2].mean() / GAP)
    assert on(scores, "entry", "t02")["chains"] == 12


def test_noise_is_not_absence():
    heavy = Task("real table", "f", 1.0, 18.8, 14.0 * 16, 1.0, 0.1)
    assert unscored(heavy, 16).startswith("is too noisy at 16 chains; about 3550 are needed")
    assert unscored(heavy, 3550) is None
    assert unscored(heavy, 3549) is not None
    flat = Task("flat", "f", 1.0, 0.01, 0.05, 1.0, 0.1)
    assert unscored(flat, 32).startswith("has nothing to avert")
    unknown = Task("unknown", "f", 1.0, 0.01, 10.0, 1.0, 0.1)
    assert "to tell whether there is anything to avert" in unscored(unknown, 32)
    assert "about 1050209 are needed" in unscored(unknown, 32)
    assert unscored(Task("none", "f", 1.0, -0.2, 0.0, 1.0, 0.1), 8).startswith("has nothing")
    assert unscored(Task("good", "f", 1.0, 0.1, 0.1, 1.0, 0.1), 32) is None


def test_a_task_takes_part_by_its_calibration():
    tasks = {
        **THREE,
        "flat": Task("flat", "text", FLOOR, 0.9 * LEAST_GAP, 0.0, HARM, 0.1),
        "noisy": Task("noisy", "text", FLOOR, 1.0, 1.0, HARM, 0.1),
        "idle": Task("idle", "text", FLOOR, 1.0, 0.1, HARM, 0.1),
    }
    named = {k: tasks[k] for k in (*THREE, "flat", "noisy")} | {"new": THREE["t00"]}
    losses = frame(some("entry", tasks=6), named)
    scores = score(losses, tasks)
    assert set(scores.excluded) == {"flat", "noisy", "idle", "new"}
    assert "suite calibrate" in scores.excluded["new"]
    assert "has nothing to avert" in scores.excluded["flat"]
    assert "too noisy at 12 chains; about 25 are needed" in scores.excluded["noisy"]
    assert "noisy" not in score(losses, tasks, planned=32).excluded


def test_calibration_is_a_mean_of_paired_logarithms_cut_at_trivial():
    rng = np.random.default_rng(3)
    none, nature = rng.gamma(3, size=300), rng.gamma(3, size=300) / 10
    trivial = rng.gamma(3, size=300) * 2
    none[:3] = np.nan, np.inf, 1e9
    found = floor_and_gap(none, nature, trivial, 1e-3)
    cut = np.minimum(np.nan_to_num(none, nan=np.inf), trivial)
    log = [np.log(x + found.floor) for x in (cut, np.minimum(nature, trivial), trivial)]
    assert found.floor == pytest.approx(np.minimum(nature, trivial).mean() / 10)
    assert (found.gap, found.gap_sd) == pytest.approx(
        ((log[0] - log[1]).mean(), (log[0] - log[1]).std(ddof=1))
    )
    assert (found.harm, found.harm_sd) == pytest.approx(
        ((log[2] - log[0]).mean(), (log[2] - log[0]).std(ddof=1))
    )
    assert floor_and_gap(none, nature, trivial, 7.0).floor == 7.0
    in_nats = floor_and_gap(none, nature, trivial, 7.0, log_loss=True)
    gap = cut - np.minimum(nature, trivial)
    assert in_nats[:4] == pytest.approx((0, gap.mean(), gap.std(ddof=1), (trivial - cut).mean()))
    no_floor = np.zeros(300)
    for (a, b, c, resolution), says in (
        ((none, nature, trivial[1:], 1e-3), "one loss per chain for none, nature and trivial"),
        ((none, nature[1:], trivial, 1e-3), "one loss per chain for none, nature and trivial"),
        ((none, nature, np.where(trivial > 3, np.inf, trivial), 1e-3), "no finite loss in "),
        ((none[:200], nature[:200], trivial[:200], 1e-3), "at least 256 chains, got 200"),
        ((none, no_floor, trivial, 0.0), "needs a resolution above 0"),
    ):
        with pytest.raises(UsageError, match=says):
            floor_and_gap(a, b, c, resolution)
    with pytest.raises(UsageError, match="it must be above 0"):
        Task("t", "f", 0.0, 1.0, 1.0, 1.0, 0.1)


# -- coverage and refusals -------------------------------------------------------------------------


def test_what_does_not_fit_lowers_coverage_and_not_the_score():
    change = some("picky", "plain")
    losses = mark(frame(change, THREE), "skipped", "picky", "t02")
    scores = score(losses, THREE)
    picky = row(scores, "picky")
    assert picky["S"] == pytest.approx(change["picky"][:2].mean() / GAP)
    assert (picky["coverage"], picky["fits"], picky["refused"]) == (0.5, "2 of 3", 0)
    assert (picky["specialist"], picky["ranked"]) == (True, False)
    assert "fits 50 % of the weight of the suite" in picky["reason"]
    assert row(scores, "plain")["coverage"] == 1
    one = losses[(losses["status"] != "skipped") | (losses["seed"] == 0)]
    whole = one.assign(seed=one["seed"].astype("Int64").mask(one["status"] == "skipped"))
    for fewer in (one, whole):  # a cell that is skipped has no chains to speak of
        pd.testing.assert_frame_equal(score(fewer, THREE).rows, scores.rows)


def test_what_is_refused_by_choice_counts_0_in_every_mean_and_pair():
    change = some("picky", "plain")
    losses = mark(frame(change, THREE), REFUSED, "picky", "t02")
    scores = score(losses, THREE)
    picky = row(scores, "picky")
    assert picky["S"] == pytest.approx(change["picky"][:2].mean() / GAP / 2)
    assert (picky["coverage"], picky["fits"], picky["refused"]) == (1, "3 of 3", 1)
    assert picky["ranked"]
    idle = {**change, "picky": change["picky"].copy()}
    idle["picky"][2] = 0
    as_idle = score(frame(idle, THREE), THREE)
    assert compare(scores, "picky", "plain") == compare(as_idle, "picky", "plain")
    assert on(scores, "picky", "t02")["S_k"] == 0
    whole = losses[(losses["status"] != REFUSED) | (losses["seed"] == 0)]
    whole = whole.assign(seed=whole["seed"].astype("Int64").mask(whole["status"] == REFUSED))
    pd.testing.assert_frame_equal(score(whole, THREE).rows, scores.rows)


def test_refusing_where_it_harms_gains_nothing_over_doing_nothing_there():
    change = {"honest": np.concatenate([np.full((2, 12), 1.0), np.full((1, 12), -0.5)])}
    change["idle"] = change["honest"].copy()
    change["idle"][2] = 0
    change["picky"] = change["honest"]
    scores = score(mark(frame(change, THREE), REFUSED, "picky", "t02"), THREE)
    assert row(scores, "picky")["S"] == row(scores, "idle")["S"]
    assert compare(scores, "picky", "idle").p == 1


def test_a_pair_is_compared_on_the_tasks_that_both_fit():
    change = some("all", "left", "right", tasks=25)
    losses = frame(change, MANY)
    for k in range(6):
        losses = mark(losses, "skipped", "left", f"t{k:02d}")
        losses = mark(losses, "skipped", "right", f"t{k + 4:02d}")
    scores = score(losses, MANY)
    common = np.array([k not in range(10) for k in range(25)])
    weight = Weighting([t.family for t in MANY.values()], range(25)).of(common)
    assert weight[common].min() > 0 == weight[~common].max()
    expected = (change["left"] - change["right"]).mean(-1) @ weight / GAP
    assert compare(scores, "left", "right").difference == pytest.approx(expected)
    for k in range(6, 25):
        losses = mark(losses, "skipped", "left", f"t{k:02d}")
    with pytest.raises(UsageError, match="fits no task"):
        compare(score(losses, MANY), "left", "right")


def test_two_rows_without_a_common_task_cannot_be_compared():
    losses = mark(frame(some("a", "b"), THREE), "skipped", "a", "t02")
    for task in ("t00", "t01"):
        losses = mark(losses, "skipped", "b", task)
    with pytest.raises(UsageError, match="no task in common"):
        compare(score(losses, THREE), "a", "b")


def test_two_thirds_of_the_weight_of_its_track_rank():
    """The track `real` works on family c only, so who fits it there is no specialist."""
    losses = frame(some("blind", "half", "real", "few", tasks=25), MANY)
    for k, task in enumerate(MANY):
        if k < 20:
            losses = mark(losses, "skipped", "real", task)
            losses = mark(losses, "skipped", "few", task) if k else losses
        if k < 12:
            losses = mark(losses, "skipped", "half", task)
    tracks = {"blind": "blind", "half": "blind", "real": "real", "few": "real"}
    scores = score(losses, MANY, tracks=tracks)
    assert row(scores, "blind")["ranked"]
    assert row(scores, "half")["specialist"]
    assert not row(scores, "few")["specialist"]
    weight_of_c = Weighting([t.family for t in MANY.values()], range(25)).suite[20:].sum()
    assert row(scores, "real")["coverage"] == pytest.approx(weight_of_c)
    only = row(scores, "real")["coverage"] / row(scores, "few")["coverage"]
    assert only > 2 / 3
    assert row(scores, "real")["ranked"]


def test_everyone_who_fits_a_family_is_ranked_in_its_table():
    change = {"wide": np.full((3, 12), 0.5), "narrow": np.full((3, 12), 1.0)}
    change = {k: v + np.random.default_rng(4).normal(0, 0.01, (3, 12)) for k, v in change.items()}
    losses = frame(change, THREE)
    for task in ("t00", "t02"):
        losses = mark(losses, "skipped", "narrow", task)
    scores = score(losses, THREE)
    assert row(scores, "narrow")["specialist"]
    family = scores.per_family.set_index(["entry", "family"])
    narrow = family.loc[("narrow", "gaussian")]
    assert (narrow["rank"], narrow["tier"], narrow["fits"], narrow["tasks"]) == (1, 1, 1, 2)
    assert (family.loc[("wide", "gaussian")]["rank"], family.loc[("wide", "text")]["rank"]) == (
        2,
        1,
    )
    assert np.isnan(family.loc[("narrow", "text")]["S"])
    assert pd.isna(family.loc[("narrow", "text")]["rank"])


def test_who_fits_nothing_is_shown_without_a_rank():
    losses = mark(frame(some("picky", "plain"), THREE), "skipped", "picky")
    picky = row(score(losses, THREE), "picky")
    assert (picky["chains"], picky["fits"], picky["coverage"]) == (0, "0 of 3", 0)
    assert np.isnan(picky["S"])
    assert "fits no task" in picky["reason"]


# -- weights ---------------------------------------------------------------------------------------


def test_no_task_weighs_more_than_5_percent():
    lone = suite(*("a",) * 30, "b", *("c",) * 9)
    weight = Weighting([t.family for t in lone.values()], range(40)).suite
    assert weight.max() == pytest.approx(0.05)
    assert weight.sum() == pytest.approx(1)
    assert weight[30] == pytest.approx(0.05)
    assert weight[31:].sum() / weight[:30].sum() == pytest.approx(
        1 if weight[31] < 0.05 - 1e-9 else 0.45 / 0.5, rel=0.02
    )


def test_a_suite_with_too_few_tasks_says_so():
    scores = score(frame(some("a"), THREE), THREE)
    assert any("largest weight of a task is 50 %" in note for note in scores.notes)
    assert scores.per_task.groupby("task")["weight"].first().tolist() == [0.25, 0.25, 0.5]
    many = score(frame(some("a", tasks=25), MANY), MANY)
    assert not any("largest weight" in note for note in many.notes)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from("abcdef"), min_size=20, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_weights_add_up_and_stay_below_their_limit(families, chosen):
    weighting = Weighting(families, range(len(families)))
    fits = np.array(chosen[: len(families)])
    weight = weighting.of(fits)
    assert weighting.suite.max() <= 0.05 + 1e-9
    assert (weight[~fits] == 0).all()
    if fits.any():
        assert weight.sum() == pytest.approx(1)
        assert weight.max() <= 0.05 / weighting.coverage(fits) + 1e-9
    assert weighting.of(np.ones(len(families), bool)) == pytest.approx(weighting.suite)


def test_a_limit_moves_weight_in_proportion():
    weight = capped(np.array([0.5, 0.3, 0.1, 0.1, 0.0]), 0.4)
    assert weight == pytest.approx([0.4, 0.36, 0.12, 0.12, 0])
    assert capped(np.array([0.5, 0.3, 0.1, 0.1]), 0.3) == pytest.approx([0.3, 0.3, 0.2, 0.2])
    assert capped(np.array([0.6, 0.4]), 0.4) == pytest.approx([0.6, 0.4])


# -- invariances -----------------------------------------------------------------------------------


def test_the_order_of_rows_is_nothing():
    losses = mark(frame(some(*"abcd"), THREE), "failed", "b", "t00", [1])
    losses = mark(losses, "skipped", "c", "t01")
    one, two = (score(x, THREE, focus="a") for x in (losses, losses.sample(frac=1, random_state=4)))
    for table in ("rows", "per_task", "per_family", "chains"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table))


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6))
def test_the_unit_of_a_loss_is_nothing(c):
    losses = frame(some("a", "nature"), THREE)
    scaled = {
        name: Task(name, t.family, t.floor * c, t.gap, t.gap_sd, t.harm, t.harm_sd, block=t.block)
        for name, t in THREE.items()
    }
    one, two = score(losses, THREE), score(losses.assign(loss=losses["loss"] * c), scaled)
    pd.testing.assert_frame_equal(one.rows, two.rows, rtol=1e-6)


def test_h_adds_up_to_rule_6():
    """On common seeds: V = sum over blocks of var(h_b) / R_b, with Welch's df."""
    tasks = suite("a", "a", "b", block="x") | {
        "t03": Task("t03", "c", FLOOR, GAP, 1.0, HARM, 0.1, block="y")
    }
    change = {"entry": np.random.default_rng(5).normal([[0.5], [0.5], [-0.4], [0.5]], 0.1, (4, 12))}
    scores = score(frame(change, tasks), tasks)
    h = scores.chains.loc["entry"]
    parts = np.array([h["x"].var() / 12, h["y"].var() / 12])
    entry = row(scores, "entry")
    assert entry["S"] == pytest.approx(h["x"].mean() + h["y"].mean())
    assert entry["se"] == pytest.approx(math.sqrt(parts.sum()))
    assert entry["df"] == pytest.approx(parts.sum() ** 2 / (parts**2 / 11).sum())
    assert entry["high"] - entry["S"] == pytest.approx(
        student.ppf(0.975, entry["df"]) * entry["se"]
    )


# -- next to S -------------------------------------------------------------------------------------


def test_risk_shows_what_means_of_logarithms_hide():
    tasks = suite("gaussian", "gaussian", "text", harm=6.0)
    rare = np.full((3, 12), 0.6)
    plain = rare.copy()
    rare[:, 0] = -5.8
    scores = score(frame({"rare": rare, "plain": plain, "nature": 0 * rare + GAP}, tasks), tasks)
    found = row(scores, "rare")
    assert found["S"] > 0 > found["risk"]
    assert found["risk_flag"]
    assert not row(scores, "plain")["risk_flag"]
    mean = (11 * math.exp(-0.6) + math.exp(5.8)) / 12
    assert found["risk"] == pytest.approx(-math.log(mean) / GAP)
    assert (row(scores, "none")["risk"], row(scores, "nature")["risk"]) == (0, 1)


def test_without_nature_there_is_no_risk_score():
    scores = score(frame(some("a"), THREE), THREE)
    assert scores.rows["risk"].isna().all()
    assert any(note.startswith("no risk score") for note in scores.notes)


def test_harm_is_counted_where_it_is_significant():
    change = np.random.default_rng(5).normal(0, 0.1, (3, 12))
    change[2] -= 0.5
    bad = row(score(frame({"bad": change}, THREE), THREE), "bad")
    assert bad["harmed"] == pytest.approx(1 / 3)
    assert bad["worst_family"] == "text"
    assert bad["worst_score"] == pytest.approx(change[2].mean() / HARM)


# -- ranks -----------------------------------------------------------------------------------------


def test_a_tier_starts_at_its_best_row():
    scores = score(frame(ladder(1.0, 1.0, 0.4, 0.4, -0.1), THREE), THREE)
    ranked = scores.rows[scores.rows["ranked"]]
    assert ranked["tier"].tolist() == [1, 1, 2, 2, 3]
    assert ranked["rank"].tolist() == [1, 1, 3, 3, 5]
    assert (ranked["p_above"].iloc[[2, 4]] < 0.05).all()
    pair = compare(scores, ranked.iloc[1]["entry"], ranked.iloc[2]["entry"])
    assert ranked.iloc[2]["p_above"] == pytest.approx(tukey_p(pair.t, 5, pair.df), abs=1e-9)


def test_a_row_that_is_ahead_on_the_common_tasks_is_not_in_a_worse_tier():
    """`hard` is better wherever both run, and has a lower score, since it also fits a hard task."""
    change = ladder(0.5, 0.7, tasks=25)
    change["m1"][20:] -= 2
    losses = frame(change, suite(*("a",) * 20, *("b",) * 5))
    tasks = suite(*("a",) * 20, *("b",) * 5)
    for k in range(20, 25):
        losses = mark(losses, "skipped", "m0", f"t{k:02d}")
    scores = score(losses, tasks)
    assert row(scores, "m0")["S"] > row(scores, "m1")["S"]
    assert compare(scores, "m1", "m0").verdict == "yes"
    assert row(scores, "m1")["tier"] == row(scores, "m0")["tier"] == 1


def test_overlaps_do_not_chain():
    """a ~ b and b ~ c, but c is worse than a: the tier ends before c (rule 8)."""
    noise = np.random.default_rng(7).normal(0, 0.2, (5, 3, 32))
    noise -= noise.mean(-1, keepdims=True)
    change = {name: 1 + noise[i] - 0.06 * i for i, name in enumerate("abcde")}
    scores = score(frame(change, THREE), THREE)
    assert scores.rows["tier"].dropna().tolist() == [1, 1, 2, 2, 3]


def test_controls_hold_no_rank_and_do_not_make_the_board_larger():
    planted = ladder(1.0, 0.9)
    alone = score(frame(planted, THREE), THREE)
    names = ("nature", "frozen", "real-only")
    controls = dict(zip(names, ladder(2.0, 0.4, 0.9, seed=8).values(), strict=True))
    scores = score(frame({**planted, **controls}, THREE), THREE)
    for name in planted:
        assert row(scores, name)[["tier", "rank", "p_above"]].equals(
            row(alone, name)[["tier", "rank", "p_above"]]
        )
    last = scores.rows[scores.rows["control"]]
    assert last["rank"].isna().all()
    assert last["entry"].tolist() == ["nature", "real-only", "frozen", "none", "trivial"]
    # whether a row beats the control real-only is what the pair says
    for name, verdict in (("m0", "yes"), ("m1", "cannot tell"), ("none", "no")):
        assert row(scores, name)["beats_real_only"] == verdict
        assert compare(scores, name, "real-only").verdict == verdict
    assert (alone.rows["beats_real_only"] == "").all()


def test_a_focus_row_goes_by_holm():
    scores = score(frame(ladder(1, 0.98, 0.96, 0.6), THREE), THREE, focus="m0")
    p = [compare(scores, "m0", other).p for other in ("m1", "m2", "m3")]
    assert [row(scores, other)["p_focus"] for other in ("m1", "m2", "m3")] == pytest.approx(
        holm(p).tolist()
    )
    with pytest.raises(UsageError, match="did you mean 'm0'"):
        score(frame(ladder(0.5), THREE), THREE, focus="m")


def test_rows_rank_within_their_track():
    tracks = {"m0": "real", "m1": "blind", "m2": "blind", "m3": "real"}
    scores = score(frame(ladder(0.9, 0.5, 0.5, 0.1), THREE), THREE, tracks=tracks)
    ranked = scores.rows[scores.rows["ranked"]].set_index("entry")
    assert ranked.loc[["m0", "m1", "m2", "m3"], "rank"].tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("oom", "run it again"),
        ("timeout", "run it again"),
        ("killed", "run it again"),
        ("over-budget", "budget"),
    ],
)
def test_what_was_broken_off_has_no_rank(status, says):
    scores = score(mark(frame(some("slow", "plain"), THREE), status, "slow", "t01", [7]), THREE)
    slow = row(scores, "slow")
    assert not slow["ranked"]
    assert np.isnan(slow["S"])
    assert says in slow["reason"]
    assert "t01" in slow["reason"]
    with pytest.raises(UsageError, match="chains are missing"):
        compare(scores, "slow", "none")


@pytest.mark.parametrize("gone", ["a task", "a chain"])
def test_what_is_missing_is_not_averaged_over(gone):
    losses = frame(some("partial"), THREE)
    which = (losses["entry"] == "partial") & (losses["task"] == "t00")
    if gone == "a chain":
        which &= losses["seed"] == 3
    scores = score(losses[~which], THREE)
    partial = row(scores, "partial")
    assert np.isnan(partial["S"])
    assert pd.isna(partial["rank"])
    assert "chains are missing" in partial["reason"]
    family = scores.per_family.set_index(["entry", "family"]).S
    assert np.isnan(family["partial", "gaussian"])
    assert np.isfinite(family["partial", "text"])


def test_a_control_that_is_not_there_yet_says_so():
    change = {**some("a"), "nature": np.full((3, 12), GAP)}
    scores = score(mark(frame(change, THREE), "killed", "nature", "t01", [2]), THREE)
    reason = "controls are not ranked; stopped by the machine on t01; run it again"
    assert row(scores, "nature")["reason"] == reason
    assert row(scores, "a")["ranked"]
    assert np.isnan(row(scores, "a")["risk"])


@pytest.mark.parametrize(
    ("chains", "interval", "tier"),
    [(1, False, False), (4, False, False), (5, True, False), (9, True, False), (10, True, True)],
)
def test_few_chains_promise_little(chains, interval, tier):
    entry = row(score(frame(some("entry", chains=chains), THREE), THREE, planned=32), "entry")
    assert np.isfinite(entry["S"])
    assert np.isfinite(entry["low"]) == np.isfinite(entry["p_none"]) == interval
    assert entry["ranked"] == tier
    assert tier or f"{chains} chain(s)" in entry["reason"]


def test_a_family_with_few_chains_is_shown_not_aggregated():
    change = some("entry")["entry"]
    losses = frame({"entry": change}, THREE)
    short = losses[(losses["task"] != "t02") | (losses["seed"] < 6)]
    scores = score(short, THREE, planned=32)
    entry = row(scores, "entry")
    assert entry["S"] == pytest.approx(change[:2].mean() / GAP)
    assert (entry["fits"], entry["ranked"]) == ("2 of 2", True)
    text = scores.per_family.set_index(["entry", "family"]).loc[("entry", "text")]
    assert text["S"] == pytest.approx(change[2, :6].mean() / GAP)
    assert np.isfinite(text["low"])
    assert not text["aggregated"]
    assert any("family text is shown" in note for note in scores.notes)


def test_one_row_is_a_board():
    losses = frame(some("only"), THREE)
    entry = row(score(losses, THREE), "only")
    assert (entry["tier"], entry["rank"]) == (1, 1)
    assert np.isnan(entry["p_above"])
    assert set(score(losses[losses.entry != "only"], THREE).rows.entry) == {"none", "trivial"}


def test_a_task_for_some_entries_is_shown_not_aggregated():
    losses = frame(some("all", "few"), THREE)
    losses = losses[(losses["entry"] != "few") | (losses["task"] != "t01")]
    assert "chains are missing on t01" in row(score(losses, THREE), "few")["reason"]
    scores, without = (
        score(losses, THREE, shown={"t01"}),
        score(losses[losses["task"] != "t01"], THREE),
    )
    pd.testing.assert_frame_equal(scores.rows, without.rows)
    assert on(scores, "all", "t01")["weight"] == 0
    assert np.isfinite(on(scores, "all", "t01")["S_k"])
    assert any("1 task(s) planned for only some entries" in note for note in scores.notes)
    # with no other tasks there is nothing else to go by
    alone = score(losses, THREE, shown=set(THREE))
    pd.testing.assert_frame_equal(alone.rows, score(losses, THREE).rows)


def test_refusals_are_sentences():
    losses = frame(some("a"), THREE)
    with pytest.raises(NothingMatched, match="no losses"):
        score(losses.iloc[:0], THREE)
    with pytest.raises(NothingMatched, match="suite calibrate"):
        score(losses, {})
    with pytest.raises(NothingMatched, match="'none'"):
        score(losses[losses["entry"] != "none"], THREE)
    with pytest.raises(NothingMatched, match="has no finished chain of none"):
        score(mark(losses, "oom", "none"), THREE)
    with pytest.raises(UsageError, match="no column status"):
        score(losses.drop(columns="status"), THREE)
    with pytest.raises(UsageError, match="two rows"):
        score(pd.concat([losses, losses.iloc[:1]]), THREE)
    with pytest.raises(UsageError, match="has no seed"):
        score(losses.assign(seed=losses["seed"].mask(losses["seed"] == 3)), THREE)
    with pytest.raises(UsageError, match="status 'odd'"):
        score(losses.assign(status="odd"), THREE)
    with pytest.raises(UsageError, match="did you mean"):
        compare(score(losses, THREE), "non", "a")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_mess_of_statuses_is_scored_without_a_warning(data):
    losses = frame(some("a", "b", "nature", chains=10), THREE)
    for entry in ("a", "b", "nature", "none", "trivial"):
        for task in THREE:
            status = data.draw(st.sampled_from([*Status, REFUSED]))
            seeds = data.draw(st.sampled_from([[0], range(6), range(10)]))
            losses = mark(losses, status, entry, task, seeds) if status != "done" else losses
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            scores = score(losses, THREE, focus="a", planned=32)
        except NothingMatched:
            return
    rows = scores.rows
    assert (rows["ranked"] == rows["rank"].notna()).all()
    assert (rows["ranked"] == (rows["reason"] == "")).all()
    assert rows.loc[rows["ranked"], "S"].notna().all()
    assert (rows["S"].dropna() >= -1 - SAME).all()


def test_a_large_board_is_quick():
    """50 rows x 100 tasks x 64 chains, 40 sets of tasks, in CPU seconds; the mark is generous."""
    tasks = suite(*(f"family {k % 8}" for k in range(100)))
    rng = np.random.default_rng(9)
    losses = frame(
        {f"m{i}": 0.3 + 0.02 * i + rng.normal(0, 0.3, (100, 64)) for i in range(50)}, tasks
    )
    for i in range(40):
        losses = mark(losses, "skipped", f"m{i}", f"t{i:02d}")
    start = time.process_time()  # other work on the machine does not count
    assert len(score(losses, tasks).rows) == 52
    assert time.process_time() - start < 20
