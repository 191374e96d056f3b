"""Methods for worlds that move: tracking and replay-buffer at their limits, their refusals and their tracks."""

from __future__ import annotations

import math

import pytest
import torch

from collapse_bench import Incompatible, cell_of, generations
from collapse_bench.core.loop import nature
from collapse_bench.running.chains import run_chains

DRIFTS = "gaussian(drift=0.1) | gaussian-fit(sigma=1) | {} @ n=20 T={}"


def walk(spec, chains=4):
    return list(generations(cell_of(spec, seeds=range(chains))))


# -- tracking ------------------------------------------------------------------------------------------------------


def test_tracking_without_new_real_rows_keeps_the_last_teacher():
    first, *later = walk(DRIFTS.format("mix(real=0.01) | tracking", 3))
    for now in later:
        torch.testing.assert_close(now.teacher.mean, first.teacher.mean, rtol=0, atol=0)


def test_tracking_of_a_fast_truth_is_a_fit_of_the_new_real_rows():
    """The gain is then 1, whatever came before."""
    spec = "linear(d=3, drift=0.1) | ols | mix(real=0.5) | {} @ n=20 T=2"
    fast, only = (
        walk(spec.format(act)) for act in ("tracking(drift=1e6)", "mix-weights(synthetic=0)")
    )
    for one, other in zip(fast[1:], only[1:], strict=True):
        torch.testing.assert_close(one.teacher.w, other.teacher.w, rtol=1e-5, atol=1e-5)


def test_the_gain_of_tracking_follows_from_the_age_of_what_is_known():
    gains = [
        now.kept["tracking"]["gain"]
        for now in walk(DRIFTS.format("mix(real=0.25) | tracking(drift=0.02)", 60))[1:]
    ]
    P, expected = 1 / 20, []
    for _ in gains:
        ahead = P + 0.02
        expected.append(ahead / (ahead + 1 / 5))
        P = ahead * (1 - expected[-1])
    assert gains == pytest.approx(expected)
    assert pytest.approx((-0.02 + math.sqrt(0.02**2 + 4 * 0.02 / 5)) / 2) == P


def test_tracking_does_not_trust_a_flawed_source():
    """It reads only the real rows of generation 0."""
    both = (
        walk(f"gaussian | gaussian-fit | {how} @ n=40 T=0 first=gaussian(sigma=30, truth_is=fixed)")
        for how in ("mix(real=0.5) | tracking", "mix(real=0.5) | mix-weights(synthetic=0)")
    )
    one, other = (walked[-1].teacher for walked in both)
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.factor, other.factor)


def test_tracking_beats_all_weights_where_the_truth_drifts():
    """On a model with many parameters, not only on the mean that it was derived for."""
    spec = "zipf(K=50, novel=0.1, blocks=12) | counts | mix(real=0.2) | {} @ n=100 T=12"
    tracked, plain, frozen = (
        walk(spec.format(act), 64)[-1].scores["total_variation"].mean()
        for act in ("tracking(drift=0.1)", "none", "frozen")
    )
    assert tracked < plain < frozen


@pytest.mark.parametrize(
    ("how", "track"),
    [("mix(real=0.5) | tracking", "provenance"), ("replace | tracking(k=5)", "real")],
)
def test_the_track_of_tracking(how, track):
    assert run_chains(cell_of(DRIFTS.format(how, 2)), [0, 1]).facts.track == track


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (DRIFTS.format("replace | tracking", 1), "or set k"),
        (DRIFTS.format("accumulate(real=0.5) | tracking", 1), "apart from older ones"),
        (DRIFTS.format("mix(fresh=false) | tracking", 1), "fresh=true"),
        (
            "gaussian(sampler=exact-law) | gaussian-fit | mix | tracking @ n=9 T=1",
            "choose sampler=explicit",
        ),
        ("digits | mlp | mix | tracking @ n=9 T=1", "averages weights"),
        (DRIFTS.format("accumulate | replay-buffer", 1), "reads all of them already"),
        (
            "zipf(sampler=exact-law) | counts | mix | replay-buffer @ n=9 T=1",
            "choose sampler=explicit",
        ),
    ],
)
def test_what_has_nothing_to_follow_or_to_keep_is_refused(spec, words):
    assert words in cell_of(spec).incompatibility()


def test_tracking_refuses_chains_with_different_numbers_of_real_rows():
    spec = (
        "half-space(d=3) | averaging | mix(real=0.5) | oracle-verify(phi=0.5) + tracking @ n=20 T=1"
    )
    with pytest.raises(Incompatible, match="equally many real rows"):
        walk(spec, 16)


# -- replay-buffer -------------------------------------------------------------------------------------------------


def test_a_buffer_is_a_fair_sample_of_all_that_was_read():
    """Rows of generations 1 .. 4 are told apart by the mean of their teacher: real rows of a wide drift."""
    cell = cell_of(
        "gaussian(sigma=0.01, drift=1e10) | gaussian-fit | mix(real=1) | replay-buffer @ n=30 T=4",
        seeds=range(400),
    )
    *_, now = generations(cell)
    data, rows = nature(cell), now.kept["replay-buffer"]["rows"]
    means = torch.stack([data.at(t).truth.teacher.mean for t in range(5)], -1)
    age = (rows.y - means).abs().argmin(-1)
    assert rows.n == 30
    assert (age > 0).all()  # a method never gets the rows of generation 0
    share = torch.stack([(age == t).double().mean(-1) for t in range(1, 5)], -1)
    z = (share.mean(0) - 0.25) / (share.std(0) / 400**0.5)
    assert z.abs().max() < 4


def test_a_buffer_has_its_capacity_and_no_row_twice():
    for capacity, room in ((0.5, 10), (2.0, 40), (100.0, 60)):
        act = f"replace | replay-buffer(capacity={capacity})"
        *_, now = walk(f"gaussian | gaussian-fit | {act} @ n=20 T=3")
        rows = now.kept["replay-buffer"]["rows"].y[..., 0]
        assert rows.shape == (4, room)
        assert all(len(set(chain)) == room for chain in rows.tolist())


def test_a_row_that_was_removed_is_not_kept():
    act = "oracle-verify + replay-buffer(capacity=100)"
    spec = f"linear(d=2, noise=1) | ols | replace | {act} @ n=30 T=3"
    *_, now = walk(spec)
    kept = now.kept["replay-buffer"]["rows"]
    data = nature(cell_of(spec, seeds=range(4)))
    right = data.verify(kept.x, kept.y)
    assert bool(right[kept.weight > 0].all())


def test_a_larger_buffer_loses_less():
    """Between replace and a pool of all rows."""
    spec = "gaussian(sampler=explicit) | gaussian-fit(sigma=1) | replace{} @ n=10 T=8"
    acts = ["", *(f" | replay-buffer(capacity={c})" for c in (0.5, 2, 100))]
    risks = [walk(spec.format(act), 3000)[-1].scores["w2"].mean() for act in acts]
    assert risks == sorted(risks, reverse=True)
    assert risks[-1] < 0.5 * risks[0]


@pytest.mark.parametrize(("protocol", "track"), [("replace", "blind"), ("mix", "real")])
def test_the_track_of_a_buffer_is_what_it_keeps(protocol, track):
    record = run_chains(cell_of(DRIFTS.format(f"{protocol} | replay-buffer", 3)), [0, 1])
    assert record.facts.track == track
