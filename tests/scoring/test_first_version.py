"""The first version of the score: its rules, and its intervals and tiers on simulated boards with fixed seeds."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, studentized_range
from scipy.stats import t as student

from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.scoring.first_version.chains import nothing_to_avert
from collapse_bench.scoring.first_version.score import compare, score
from collapse_bench.scoring.rules import LEAST_GAP, SAME
from collapse_bench.scoring.stats import holm, t_critical, tukey_p, welch
from collapse_bench.scoring.task import FloorAndGap, Task, floor_and_gap
from collapse_bench.status import FAILURES, Status

GAP, FLOOR = 2.0, 1e-3


def suite(
    *families: str, gap: float = GAP, floor: float = FLOOR, block: str | None = None
) -> dict[str, Task]:
    """One task per family named, t0, t1, ...; a block of its own each without one."""
    return {
        f"t{k}": Task(f"t{k}", f, floor, gap, 1.0, block=block or f"b{k}")
        for k, f in enumerate(families)
    }


def frame(
    scores: dict[str, np.ndarray], tasks: dict[str, Task], none: np.ndarray | float = 0.0
) -> pd.DataFrame:
    """Losses that earn these s (K, C) against a_none (K, C): E + r = exp(a_none - G s)."""
    shape = next(iter(scores.values())).shape
    a = np.stack([none - GAP * s for s in [np.zeros(shape), *scores.values()]])  # (N, K, C)
    index = pd.MultiIndex.from_product(
        [["none", *scores], tasks, range(shape[-1])], names=["entry", "task", "seed"]
    )
    return pd.DataFrame({"loss": np.exp(a).ravel() - FLOOR, "status": "done"}, index).reset_index()


def row(scores, entry: str) -> pd.Series:
    return scores.rows.set_index("entry").loc[entry]


def mark(
    losses: pd.DataFrame, status: str, entry: str, task: str | None = None, seeds=None
) -> pd.DataFrame:
    """The same losses with some chains of one entry in another status, and without their loss."""
    where = losses["entry"] == entry
    where &= True if task is None else losses["task"] == task
    where &= True if seeds is None else losses["seed"].isin(seeds)
    return losses.assign(
        status=losses["status"].mask(where, status), loss=losses["loss"].mask(where)
    )


def some(*names: str, tasks: int = 3, chains: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.3, 0.5, (tasks, chains)) for name in names}


THREE = suite("gaussian", "gaussian", "text", block="all")

# -- one chain -------------------------------------------------------------------------------------


def test_none_scores_0_and_what_is_planted_is_found():
    planted = some("mild", "nature")
    scores = score(
        frame(planted, THREE, none=np.random.default_rng(1).normal(0, 1, (3, 12))), THREE
    )
    none = row(scores, "none")
    assert (none["S"], none["low"], none["high"]) == (0, 0, 0)
    for name, s in planted.items():
        assert row(scores, name)["S"] == pytest.approx(s[:2].mean() / 2 + s[2].mean() / 2, abs=1e-9)
    weight = scores.per_task.groupby("task")["weight"].first()
    assert weight.tolist() == [0.25, 0.25, 0.5]


def test_calibrated_on_one_set_of_chains_nature_is_near_1_on_another():
    rng = np.random.default_rng(2)
    none, nature = (rng.gamma(5, size=(2, 512)) * scale for scale in (1.0, 0.05))
    task = Task("t0", "gaussian", *floor_and_gap(none[0], nature[0], 1e-6))
    losses = frame({"nature": np.zeros((1, 512))}, {"t0": task}).assign(
        loss=np.r_[none[1], nature[1]]
    )
    nature = row(score(losses, {"t0": task}), "nature")
    assert nature["low"] < 1 < nature["high"]
    assert nature["high"] - nature["low"] < 0.1
    assert nature["risk"] == pytest.approx(1)


def test_a_chain_is_clipped_below_at_minus_3_and_not_above():
    s = np.zeros((3, 12))
    s[:, 0], s[:, 1] = -1e2, 2.0
    scores = score(frame({"wild": s}, THREE), THREE)
    h = scores.chains.loc["wild", "all"]
    assert h[:3].tolist() == pytest.approx([-3, 2, 0], abs=1e-9)
    assert row(scores, "wild")["S"] == pytest.approx(-1 / 12)


def test_an_estimate_below_0_counts_as_0():
    losses = frame({"lucky": np.zeros((3, 12)), "exact": np.zeros((3, 12))}, THREE)
    exact = losses["entry"] != "none"
    scores = score(
        losses.assign(loss=losses["loss"].mask(exact, 0.0).mask(losses["entry"] == "lucky", -5.0)),
        THREE,
    )
    assert (
        row(scores, "lucky")["S"]
        == row(scores, "exact")["S"]
        == pytest.approx(-math.log(FLOOR) / GAP)
    )


def test_a_loss_in_nats_is_its_own_logarithm():
    task = {"t0": Task("t0", "text", 0.0, 0.5, 0.1, log_loss=True)}
    losses = frame({"half": np.zeros((1, 12))}, task).assign(
        loss=np.r_[np.full(12, 3.0), np.full(12, 2.75)]
    )
    scores = score(losses, task)
    assert row(scores, "half")["S"] == pytest.approx(0.5)


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_chain_is_minus_3_and_counted(status):
    losses = frame(some("frail"), THREE)
    scores = score(mark(losses, status, "frail", "t2", [3, 4]), THREE)
    assert row(scores, "frail")["failed"] == pytest.approx(2 / 36)
    assert scores.per_task.query("entry == 'frail' and task == 't2'")["failed"].item() == 2
    s = some("frail")["frail"][2].copy()
    s[[3, 4]] = -3
    assert scores.per_task.query("entry == 'frail' and task == 't2'")[
        "S_k"
    ].item() == pytest.approx(s.mean())


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_a_failure(loss):
    losses = frame(some("frail"), THREE)
    where = (losses["entry"] == "frail") & (losses["seed"] == 5)
    assert row(score(losses.assign(loss=losses["loss"].mask(where, loss)), THREE), "frail")[
        "failed"
    ] == pytest.approx(1 / 12)


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=1),
    st.integers(0, 99),
    st.floats(0, 3),
)
def test_crashing_never_pays(crashes, seed, spread):
    """Rule 3: whatever chains of an entry are replaced by failures, S does not rise."""
    rng = np.random.default_rng(seed)
    losses = frame({"entry": rng.standard_t(2, (3, 12)) * spread}, THREE)
    crashed = losses
    for k, c in crashes:
        crashed = mark(crashed, "failed", "entry", f"t{k}", [c])
    assert (
        row(score(crashed, THREE), "entry")["S"] <= row(score(losses, THREE), "entry")["S"] + 1e-12
    )


# -- one task --------------------------------------------------------------------------------------


def test_what_does_not_fit_counts_0():
    planted = some("picky")
    losses = mark(frame(planted, THREE), "skipped", "picky", "t2")
    scores = score(losses, THREE)
    picky = row(scores, "picky")
    assert picky["S"] == pytest.approx(planted["picky"][:2].mean() / 2)
    assert picky["fits"] == "2 of 3"
    assert picky["ranked"]
    one = losses[(losses["status"] != "skipped") | (losses["seed"] == 0)]
    whole = one.assign(seed=one["seed"].astype("Int64").mask(one["status"] == "skipped"))
    for fewer in (one, whole):  # a cell that is skipped has no chains to speak of
        pd.testing.assert_frame_equal(score(fewer, THREE).rows, scores.rows)


def test_who_fits_nothing_is_shown_without_a_rank():
    scores = score(mark(frame(some("picky", "plain"), THREE), "skipped", "picky"), THREE)
    picky = row(scores, "picky")
    assert (picky["S"], picky["low"], picky["high"], picky["chains"], picky["fits"]) == (
        0,
        0,
        0,
        0,
        "0 of 3",
    )
    assert not picky["ranked"]
    assert "fits no task" in picky["reason"]


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
    scores = score(mark(frame(some("slow", "plain"), THREE), status, "slow", "t1", [7]), THREE)
    slow = row(scores, "slow")
    assert not slow["ranked"]
    assert np.isnan(slow["S"])
    assert says in slow["reason"]
    assert "t1" in slow["reason"]
    assert row(scores, "plain")["rank"] == 1
    with pytest.raises(UsageError, match="chains are missing"):
        compare(scores, "slow", "none")


@pytest.mark.parametrize("gone", ["a task", "a chain"])
def test_what_is_missing_is_not_averaged_over(gone):
    losses = frame(some("partial"), THREE)
    which = (losses["entry"] == "partial") & (losses["task"] == "t0")
    if gone == "a chain":
        which &= losses["seed"] == 3
    scores = score(losses[~which], THREE)
    partial = row(scores, "partial")
    assert np.isnan(partial["S"])
    assert pd.isna(partial["rank"])
    assert "chains are missing" in partial["reason"]
    assert np.isnan(
        scores.per_family.query("entry == 'partial' and family == 'gaussian'")["S"].item()
    )
    assert np.isfinite(
        scores.per_family.query("entry == 'partial' and family == 'text'")["S"].item()
    )


def test_chains_that_doing_nothing_lost_take_no_part():
    planted = some("entry")
    scores = score(mark(frame(planted, THREE), "failed", "none", "t0", [4]), THREE)
    s = planted["entry"]
    expected = (np.delete(s[0], 4).mean() + s[1].mean()) / 4 + s[2].mean() / 2
    assert row(scores, "entry")["S"] == pytest.approx(expected)
    assert scores.notes[0].startswith("t0: 1 of 12 chains")


def test_a_task_takes_part_by_its_calibration():
    tasks = {
        **THREE,
        "flat": Task("flat", "text", FLOOR, 0.9 * LEAST_GAP, 0.0),
        "noisy": Task("noisy", "text", FLOOR, 1.0, 1.0),
        "idle": Task("idle", "text", FLOOR, 1.0, 0.1),
    }
    losses = frame(
        some("entry", tasks=6),
        {**{k: tasks[k] for k in ("t0", "t1", "t2", "flat", "noisy")}, "new": None},
    )
    scores = score(losses, tasks)
    assert set(scores.excluded) == {"flat", "noisy", "idle", "new"}
    assert "collapse-bench suite calibrate" in scores.excluded["new"]
    assert "0.0488" in scores.excluded["flat"]
    assert "3.46 standard errors" in scores.excluded["noisy"]
    assert "noisy" not in score(losses, tasks, planned=32).excluded
    assert row(scores, "entry")["fits"] == "3 of 3"


def test_nothing_to_avert_says_the_figures():
    assert nothing_to_avert(Task("t", "f", 1.0, 0.1, 0.1), 32) is None
    assert "2.83 standard errors" in nothing_to_avert(Task("t", "f", 1.0, 0.1, 0.1), 8)
    assert "-0.2 nats" in nothing_to_avert(Task("t", "f", 1.0, -0.2, 0.0), 8)
    assert nothing_to_avert(Task("t", "f", 1.0, math.nan, 0.0), 8)


def test_calibration_is_a_mean_of_paired_logarithms():
    rng = np.random.default_rng(3)
    none, nature = rng.gamma(3, size=300), rng.gamma(3, size=300) / 10
    floor, gap, gap_sd = floor_and_gap(none, nature, 1e-3)[:3]
    difference = np.log(none + floor) - np.log(nature + floor)
    assert floor == pytest.approx(nature.mean() / 10)
    assert (gap, gap_sd) == pytest.approx((difference.mean(), difference.std(ddof=1)))
    assert floor_and_gap(none, nature, 7.0).floor == 7.0
    assert floor_and_gap(none, nature, 7.0, log_loss=True)[:2] == pytest.approx(
        (0, (none - nature).mean())
    )
    starved = np.r_[none, np.nan]
    assert floor_and_gap(starved, np.r_[nature, 1.0], 9.0) == FloorAndGap(
        *floor_and_gap(none, nature, 9.0)
    )
    for wrong, says in [
        ((none[:200], nature[:200], 1e-3), "256"),
        ((none, np.zeros(300), 0.0), "resolution"),
        ((nature[:-1], nature, 1e-3), "one loss per chain"),
        ((nature, starved[1:], 1e-3), "nature has no finite loss in 1 of 300"),
    ]:
        with pytest.raises(UsageError, match=says):
            floor_and_gap(*wrong)
    with pytest.raises(UsageError, match="floor"):
        Task("t", "f", 0.0, 1.0, 1.0)


# -- invariances -----------------------------------------------------------------------------------


def test_the_order_of_rows_is_nothing():
    losses = mark(frame(some(*"abcd"), THREE), "failed", "b", "t0", [1])
    one, two = (score(x, THREE, focus="a") for x in (losses, losses.sample(frac=1, random_state=4)))
    for table in ("rows", "per_task", "per_family", "chains"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table))
    names = one.rows["S"][~one.rows["control"]]
    assert names.is_monotonic_decreasing


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-6, 1e6))
def test_the_unit_of_a_loss_is_nothing(c):
    losses = frame(some("a", "nature"), THREE)
    scaled = {
        name: Task(name, t.family, t.floor * c, t.gap, t.gap_sd, block=t.block)
        for name, t in THREE.items()
    }
    one, two = score(losses, THREE), score(losses.assign(loss=losses["loss"] * c), scaled)
    pd.testing.assert_frame_equal(one.rows, two.rows, rtol=1e-6)


def test_h_adds_up_to_rule_5():
    """On common seeds: V = sum over blocks of var(h_b) / R_b, with Welch's df."""
    tasks = suite("a", "a", "b", block="x") | {"t3": Task("t3", "c", FLOOR, GAP, 1.0, block="y")}
    scores = score(frame(some("entry", tasks=4), tasks), tasks)
    h = scores.chains.loc["entry"]
    parts = np.array([h["x"].var() / 12, h["y"].var() / 12])
    entry = row(scores, "entry")
    assert entry["S"] == pytest.approx(h["x"].mean() + h["y"].mean())
    assert entry["se"] == pytest.approx(math.sqrt(parts.sum()))
    assert entry["df"] == pytest.approx(parts.sum() ** 2 / (parts**2 / 11).sum())
    assert entry["high"] - entry["S"] == pytest.approx(
        student.ppf(0.975, entry["df"]) * entry["se"]
    )


# -- besides S -------------------------------------------------------------------------------------


def test_risk_shows_what_means_of_logarithms_hide():
    s = np.full((3, 12), 0.3)
    s[:, 0] = -2.9
    scores = score(
        frame({"rare": s, "nature": np.ones((3, 12)), "plain": s * 0 + 0.3}, THREE), THREE
    )
    rare = row(scores, "rare")
    assert rare["S"] > 0 > rare["risk"]
    assert rare["risk_flag"]
    assert not row(scores, "plain")["risk_flag"]
    mean = (11 * math.exp(-GAP * 0.3) + math.exp(GAP * 2.9)) / 12
    assert rare["risk"] == pytest.approx(-math.log(mean) / GAP)
    assert (rare["worst_family"], row(scores, "none")["risk"], row(scores, "nature")["risk"]) == (
        "gaussian",
        0,
        1,
    )


def test_a_control_that_is_not_there_yet_says_so():
    scores = score(mark(frame(some("a", "nature"), THREE), "killed", "nature", "t1", [2]), THREE)
    assert (
        row(scores, "nature")["reason"]
        == "controls are not ranked; stopped by the machine on t1; run it again"
    )
    assert row(scores, "a")["ranked"]
    assert np.isnan(row(scores, "a")["risk"])


def test_without_nature_there_is_no_risk_score():
    scores = score(frame(some("a"), THREE), THREE)
    assert scores.rows["risk"].isna().all()
    assert "no risk score" in scores.notes[0]


def test_harm_is_counted_where_it_is_significant():
    s = np.random.default_rng(5).normal(0, 0.1, (3, 12))
    s[2] -= 0.5
    scores = score(frame({"bad": s}, THREE), THREE)
    assert row(scores, "bad")["harmed"] == pytest.approx(1 / 3)
    assert row(scores, "bad")["worst_family"] == "text"
    assert row(scores, "bad")["worst_score"] == pytest.approx(s[2].mean())


# -- ranks -----------------------------------------------------------------------------------------


def ladder(*levels: float, chains: int = 32, seed: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"m{i}": level + rng.normal(0, 0.02, (3, chains)) for i, level in enumerate(levels)}


def test_a_tier_starts_at_its_best_row():
    scores = score(frame(ladder(0.5, 0.5, 0.2, 0.2, -0.1), THREE), THREE)
    ranked = scores.rows[scores.rows["ranked"]]
    assert ranked["tier"].tolist() == [1, 1, 2, 2, 3]
    assert ranked["rank"].tolist() == [1, 1, 3, 3, 5]
    assert (ranked["p_above"].iloc[[2, 4]] < 0.05).all()
    assert (ranked["p_above"].iloc[[1, 3]] > 0.05).all()
    first = ranked.iloc[2]
    above = ranked.iloc[1]
    pair = compare(scores, above["entry"], first["entry"])
    expected = tukey_p(pair.t, 5, pair.df)
    assert first["p_above"] == pytest.approx(expected, abs=1e-9)


def test_overlaps_do_not_chain():
    """a ~ b and b ~ c, but c is worse than a: the tier ends before c (rule 7)."""
    noise = np.random.default_rng(7).normal(0, 1, (5, 3, 32))
    noise -= noise.mean(-1, keepdims=True)
    scores = score(
        frame({name: noise[i] - 0.3 * i for i, name in enumerate("abcde")}, THREE), THREE
    )
    assert scores.rows["tier"].dropna().tolist() == [1, 1, 2, 2, 3]


def test_controls_hold_no_rank_and_do_not_make_the_board_larger():
    planted = ladder(0.5, 0.45)
    alone = score(frame(planted, THREE), THREE)
    nature, frozen, real_only = ladder(1, 0.2, 0.45, seed=8).values()
    scores = score(
        frame({**planted, "nature": nature, "frozen": frozen, "real-only": real_only}, THREE), THREE
    )
    for name in planted:
        assert row(scores, name)[["tier", "rank", "p_above"]].equals(
            row(alone, name)[["tier", "rank", "p_above"]]
        )
    controls = scores.rows[scores.rows["control"]]
    assert controls["rank"].isna().all()
    assert controls["entry"].tolist() == ["nature", "real-only", "frozen", "none"]
    assert (row(scores, "m0")["beats_real_only"], row(scores, "none")["beats_real_only"]) == (
        "yes",
        "no",
    )
    assert (
        row(scores, "m1")["beats_real_only"]
        == compare(scores, "m1", "real-only").verdict
        == "cannot tell"
    )
    assert (alone.rows["beats_real_only"] == "").all()


def test_rows_rank_within_their_track():
    planted = ladder(0.9, 0.5, 0.5, 0.1)
    tracks = {"m0": "real", "m1": "blind", "m2": "blind", "m3": "real"}
    scores = score(frame(planted, THREE), THREE, tracks=tracks)
    ranked = scores.rows[scores.rows["ranked"]].set_index("entry")
    assert ranked.loc[["m0", "m1", "m2", "m3"], "rank"].tolist() == [1, 1, 1, 2]
    assert ranked.loc[["m0", "m3"], "track"].tolist() == ["real", "real"]


def test_a_focus_row_goes_by_holm():
    scores = score(frame(ladder(0.5, 0.49, 0.48, 0.3), THREE), THREE, focus="m0")
    p = [compare(scores, "m0", other).p for other in ("m1", "m2", "m3")]
    assert [row(scores, other)["p_focus"] for other in ("m1", "m2", "m3")] == pytest.approx(
        holm(p).tolist()
    )
    assert np.isnan(row(scores, "m0")["p_focus"])
    with pytest.raises(UsageError, match="did you mean 'm0'"):
        score(frame(ladder(0.5), THREE), THREE, focus="m")


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
    planted = some("entry", chains=12)
    losses = frame(planted, THREE)
    short = losses[(losses["task"] != "t2") | (losses["seed"] < 6)]
    scores = score(short, THREE, planned=32)
    entry = row(scores, "entry")
    assert entry["S"] == pytest.approx(planted["entry"][:2].mean())
    assert (entry["fits"], entry["ranked"]) == ("2 of 2", True)
    text = scores.per_family.query("entry == 'entry' and family == 'text'").iloc[0]
    assert text["S"] == pytest.approx(planted["entry"][2, :6].mean())
    assert np.isfinite(text["low"])
    assert not text["aggregated"]
    assert any("family text is shown" in note for note in scores.notes)


def test_a_task_for_some_entries_alone_is_shown_not_aggregated():
    losses = frame(some("all", "few"), THREE)
    losses = losses[(losses["entry"] != "few") | (losses["task"] != "t1")]
    assert row(score(losses, THREE), "few")["reason"] == "chains are missing on t1"
    scores, without = (
        score(losses, THREE, shown={"t1"}),
        score(losses[losses["task"] != "t1"], THREE),
    )
    pd.testing.assert_frame_equal(scores.rows, without.rows)
    family = scores.per_family.set_index(["entry", "family"]).S
    pd.testing.assert_series_equal(family, without.per_family.set_index(["entry", "family"]).S)
    task = scores.per_task.set_index(["entry", "task"])
    assert task.loc[("all", "t1"), "weight"] == 0
    assert np.isfinite(task.loc[("all", "t1"), "S_k"])
    assert any("1 task(s) planned for only some entries" in note for note in scores.notes)
    alone = score(
        losses, THREE, shown=set(THREE)
    )  # with no other tasks there is nothing else to go by
    pd.testing.assert_frame_equal(alone.rows, score(losses, THREE).rows)


# -- degenerate boards -----------------------------------------------------------------------------


def test_a_twin_of_none_is_none():
    zero = np.zeros((3, 12))
    scores = score(frame({"twin": zero, "other": zero, **some("real")}, THREE), THREE, focus="twin")
    twin = row(scores, "twin")
    assert (twin["S"], twin["low"], twin["high"], twin["p_none"]) == (0, 0, 0, 1)
    pair = compare(scores, "twin", "other")
    assert (pair.difference, pair.low, pair.high, pair.p, pair.verdict) == (
        0,
        0,
        0,
        1,
        "cannot tell",
    )
    assert twin["tier"] == row(scores, "other")["tier"]


def test_a_sure_difference_is_significant():
    scores = score(
        mark(
            frame({"dead": np.zeros((3, 12)), "twin": np.zeros((3, 12))}, THREE), "failed", "dead"
        ),
        THREE,
    )
    dead = row(scores, "dead")
    assert (
        dead["S"],
        dead["low"],
        dead["high"],
        dead["p_none"],
        dead["failed"],
        dead["harmed"],
    ) == (
        -3,
        -3,
        -3,
        0,
        1,
        1,
    )
    assert (row(scores, "twin")["rank"], dead["rank"], dead["tier"]) == (1, 2, 2)


def test_one_row_is_a_board():
    entry = row(score(frame(some("only"), THREE), THREE), "only")
    assert (entry["tier"], entry["rank"]) == (1, 1)
    assert np.isnan(entry["p_above"])
    assert len(score(frame(some("only"), THREE)[lambda x: x["entry"] == "none"], THREE).rows) == 1


def test_refusals_are_sentences():
    losses = frame(some("a"), THREE)
    with pytest.raises(NothingMatched, match="no losses"):
        score(losses.iloc[:0], THREE)
    with pytest.raises(NothingMatched, match="suite calibrate"):
        score(losses, {})
    with pytest.raises(NothingMatched, match="'none'"):
        score(losses[losses["entry"] != "none"], THREE)
    with pytest.raises(NothingMatched, match="finite loss"):
        score(mark(losses, "oom", "none"), THREE)
    with pytest.raises(UsageError, match="column"):
        score(losses.drop(columns="status"), THREE)
    with pytest.raises(UsageError, match="two rows"):
        score(pd.concat([losses, losses.iloc[:1]]), THREE)
    with pytest.raises(UsageError, match="status 'odd'"):
        score(losses.assign(status="odd"), THREE)
    with pytest.raises(UsageError, match="has no seed"):
        score(losses.assign(seed=losses["seed"].mask(losses["seed"] == 3)), THREE)
    with pytest.raises(UsageError, match="did you mean"):
        compare(score(losses, THREE), "non", "a")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_mess_of_statuses_is_scored_without_a_warning(data):
    losses = frame(some("a", "b", "nature", chains=10), THREE)
    for entry in ("a", "b", "nature", "none"):
        for task in THREE:
            status = data.draw(st.sampled_from(list(Status)))
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
    assert (rows["S"].dropna() >= -3 - SAME).all()


def test_a_large_board_is_quick():
    """50 rows x 100 tasks x 64 chains, in about a second; the mark is generous."""
    tasks = suite(*(f"family {k % 8}" for k in range(100)), block="all")
    rng = np.random.default_rng(9)
    losses = frame(
        {f"m{i}": 0.3 + 0.02 * i + rng.normal(0, 0.3, (100, 64)) for i in range(50)}, tasks
    )
    start = time.perf_counter()
    assert len(score(losses, tasks).rows) == 51
    assert time.perf_counter() - start < 8


# -- statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 3, 6, 50])
def test_tukey_agrees_with_its_plain_twin(rows):
    t, df = (x.ravel() for x in np.meshgrid([0.0, 1.0, 3.0, 5.0], [9.0, 31.0, 61.7, 1e3]))
    z = norm.isf(student.sf(t, df))
    expected = studentized_range.sf(z * math.sqrt(2), rows, np.inf)
    np.testing.assert_allclose(tukey_p(t, rows, df), expected, atol=1e-7)
    assert tukey_p(3.0, rows, np.inf) == pytest.approx(
        studentized_range.sf(3 * math.sqrt(2), rows, np.inf), abs=1e-7
    )


def test_small_statistics():
    assert np.isnan(tukey_p(np.nan, 5, 9))
    assert tukey_p(np.inf, 5, 9) == 0
    assert tukey_p([], 5, []).shape == (0,)
    assert t_critical(31) == pytest.approx(student.ppf(0.975, 31))
    assert holm([0.01, 0.04, np.nan, 0.03]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06], nan_ok=True
    )
    variance, df = welch([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [9, 31])
    assert variance.tolist() == [2, 2, 0]
    assert df == pytest.approx([9, 4 / (1 / 9 + 1 / 31), 40])


# -- simulated boards ------------------------------------------------------------------------------
#
# One call scores thousands of boards: `none` never varies, so that each entry is a board by itself, and a board of
# several rows is a track.

BOARDS = 2000


def correlated(rng, rows: int, tasks: int = 4, chains: int = 32, common: float = 0.6) -> np.ndarray:
    """Noise (rows, tasks, chains) of sd 0.5; a part of each chain's noise is common to all tasks."""
    own = rng.normal(size=(rows, tasks, chains)) * math.sqrt(1 - common)
    return 0.5 * (own + rng.normal(size=(rows, 1, chains)) * math.sqrt(common))


def named(s: np.ndarray) -> dict[str, np.ndarray]:
    return {f"m{i:05d}": x for i, x in enumerate(s)}


def many_boards(s: np.ndarray, tasks: dict[str, Task], size: int):
    """Boards of ``size`` rows each: rows of one board share a track."""
    planted = named(s)
    return score(
        frame(planted, tasks),
        tasks,
        tracks={name: f"{i // size:05d}" for i, name in enumerate(planted)},
    )


def covered(scores, truth: float) -> float:
    rows = scores.rows[scores.rows["ranked"]]
    return ((rows["low"] <= truth) & (truth <= rows["high"])).mean()


def test_95_percent_of_intervals_cover():
    tasks = suite("a", "a", "b", "c", block="all")
    scores = many_boards(0.3 + correlated(np.random.default_rng(10), BOARDS), tasks, 1)
    assert 0.93 <= covered(scores, 0.3) <= 0.97


@pytest.mark.slow  # by default, many boards at once stand for 400 calls
def test_intervals_cover_where_none_varies_too():
    """Each board a call of its own, with noise of `none` that all its tasks share."""
    tasks, hits = suite("a", "b", block="all"), []
    rng = np.random.default_rng(11)
    for _ in range(400):
        none = correlated(rng, 1, 2, 12)[0]
        s = 0.3 + correlated(rng, 1, 2, 12)[0] + none / GAP
        entry = row(score(frame({"entry": s}, tasks, none), tasks), "entry")
        hits.append(entry["low"] <= 0.3 <= entry["high"])
    assert 0.92 <= np.mean(hits) <= 0.98


def test_intervals_that_forget_the_block_do_not_cover():
    """Tasks that share seeds, treated as independent: each task is put in its own block."""
    s = 0.3 + correlated(np.random.default_rng(10), BOARDS)
    forgetful = many_boards(s, suite("a", "a", "b", "c"), 1)
    assert covered(forgetful, 0.3) < 0.85


def test_intervals_cover_where_blocks_and_seeds_differ():
    """12 and 40 chains in two blocks, and a task of the second that ran for 20 of its 40 seeds."""
    tasks = {
        k: Task(k, k, FLOOR, GAP, 1.0, block=b) for k, b in (("t0", "x"), ("t1", "y"), ("t2", "y"))
    }
    s = np.concatenate(
        [correlated(np.random.default_rng(i), BOARDS, k, 40) for i, k in ((12, 1), (13, 2))], 1
    )
    losses = frame(named(0.3 + s), tasks)
    limit = losses["task"].map({"t0": 12, "t1": 40, "t2": 20})
    losses = losses[losses["seed"] < limit]
    scores = score(losses, tasks, tracks={name: name for name in losses["entry"].unique()})
    assert 0.93 <= covered(scores, 0.3) <= 0.97


def test_a_pair_of_equals_is_called_different_in_5_percent():
    tasks = suite("a", "b", block="all")
    private = correlated(np.random.default_rng(14), 2 * BOARDS, 2)
    common = np.repeat(correlated(np.random.default_rng(15), BOARDS, 2), 2, 0)
    scores = many_boards(0.3 + private + common, tasks, 2)
    assert scores.rows.query("ranked").groupby("track")["tier"].max().gt(1).mean() <= 0.06


@pytest.mark.parametrize(
    ("size", "chains", "boards"), [(6, 32, BOARDS), (28, 32, 700), (30, 10, 700)]
)
def test_a_board_of_equals_splits_in_5_percent(size, chains, boards):
    """5.1, 4.6 and 3.5 % in 12,000 boards.

    Tukey's studentized range, with one variance for all, would give 5.7, 6.4 and 11 %.
    """
    s = 0.3 + correlated(np.random.default_rng(20), size * boards, 1, chains)
    rows = many_boards(s, suite("a"), size).rows.query("ranked")
    assert rows.groupby("track")["tier"].max().gt(1).mean() <= 0.06


@pytest.mark.parametrize(("size", "sd"), [(2, 1.0), (6, math.sqrt(2))])
def test_an_improvement_of_one_sd_is_found(size, sd):
    """One row is better by one sd: of its h in a pair, of a pair's difference in a board of six.

    With 32 chains it is the only row of the first tier in four boards of five.
    """
    s = correlated(np.random.default_rng(17), size * 400, 1)
    s[::size] += sd * s.std()
    rows = many_boards(s, suite("a"), size).rows.query("ranked")
    first = rows[rows["tier"] == 1].groupby("track")["entry"].agg(list)
    found = [len(names) == 1 and int(names[0][1:]) % size == 0 for names in first]
    assert len(found) == 400
    assert np.mean(found) >= 0.8
