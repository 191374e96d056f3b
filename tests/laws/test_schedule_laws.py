"""A share of real rows that changes over rounds, as a protocol and as a method."""

from __future__ import annotations

import pytest
import torch
from holding import LEADING, follow, holds

from collapse_bench import cell_of, generations
from collapse_bench.errors import UsageError
from collapse_bench.registry.discovery import registry

#: how a schedule .5, .1, .1, .8, .8 of generations 1 .. 5 is written
WAYS = [
    "mix(schedule=[1, 0.5, 0.1, 0.1, 0.8])",
    "replace | share-schedule(shares=[0.5, 0.1, 0.1, 0.8])",
    "mix(real=0.3) | share-schedule(shares=[0.5, 0.1, 0.1, 0.8])",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_mean_follows_the_recursion_of_the_shares(way):
    spec = f"gaussian | gaussian-fit(sigma=1) | {way} @ n=20 T=5"
    due, law = [1 / 20], registry().predicted(cell_of(spec))
    for p in (0.5, 0.1, 0.1, 0.8, 0.8):
        due.append((1 - p) ** 2 * due[-1] + 1 / 20)
    assert law == pytest.approx(due)
    for k, _, scores, _ in follow(spec, 4000):
        holds(f"{spec} k={k}", scores["w2"], law[k - 1])


@pytest.mark.parametrize("way", WAYS[:2])
def test_least_squares_follow_the_recursion_of_the_shares(way):
    spec = f"linear(d=4) | ols | {way} @ n=200 T=5"
    law = registry().predicted(cell_of(spec))
    u = 4 / 196
    due = [u]
    for p in (0.5, 0.1, 0.1, 0.8, 0.8):
        due.append(u + ((1 - p) ** 2 + p * (1 - p) * u) * due[-1])
    assert law == pytest.approx(due)
    for k, _, scores, _ in follow(spec, 2000):
        holds(f"{spec} k={k}", scores["excess_risk"], law[k - 1], LEADING)


def test_a_schedule_pays_for_the_real_rows_that_it_adds_only():
    task = "gaussian | gaussian-fit | {} | share-schedule(shares=[0.5, 0.25]) @ n=20 T=3"
    *_, last = generations(cell_of(task.format("replace"), seeds=[1, 2]))
    assert last.ledger.counts["share-schedule", "real_rows"] == 10 + 5 + 5
    assert last.ledger.track() == "provenance+real"
    *_, last = generations(cell_of(task.format("mix(real=0.5)"), seeds=[1, 2]))
    assert ("share-schedule", "real_rows") not in last.ledger.counts  # it drops five and draws none
    assert last.ledger.counts["share-schedule", "generated_rows"] == 5 + 5
    assert last.ledger.track() == "provenance"
    assert (last.size == 20).all()


def test_a_share_that_is_met_changes_nothing():
    spec = "linear(d=3) | ridge | mix(real=0.5){} @ n=20 T=2"
    acted = generations(cell_of(spec.format(" | share-schedule(shares=[0.5])"), seeds=[1, 2]))
    for ours, plain in zip(acted, generations(cell_of(spec.format(""), seeds=[1, 2])), strict=True):
        assert torch.allclose(ours.scores["excess_risk"], plain.scores["excess_risk"])


def test_refusals_name_the_thing_and_the_remedy():
    with pytest.raises(UsageError, match=r"each item of shares must lie in \[0, 1\], got 1.5"):
        cell_of("gaussian | gaussian-fit | replace | share-schedule(shares=[0.5, 1.5]) @ n=20 T=1")
    with pytest.raises(UsageError, match="shares must have at least one item"):
        cell_of("gaussian | gaussian-fit | replace | share-schedule(shares=[]) @ n=20 T=1")
    for protocol, sampler, words in (
        ("accumulate-subsample", "explicit", "choose replace, mix or accumulate"),
        ("replace", "exact-law", "choose sampler=explicit"),
    ):
        cell = cell_of(
            f"gaussian(sampler={sampler}) | gaussian-fit | {protocol} | share-schedule @ n=20 T=1"
        )
        assert words in (cell.incompatibility() or "")
