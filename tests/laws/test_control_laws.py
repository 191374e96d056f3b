"""The controls follow closed forms, or equal what they stand for."""

from __future__ import annotations

import dataclasses
import math

import pytest
from holding import EQUIVALENT, follow, holds

from collapse_bench import Incompatible, Mitigation, cell_of, generations
from collapse_bench.theory import discrete, gaussian, regression, verification


def scores(spec, seeds=(3, 4, 5)):
    """The losses of each generation."""
    cell = cell_of(spec, seeds=seeds)
    assert cell.incompatibility() is None, cell.incompatibility()
    return [
        {name: value.tolist() for name, value in now.scores.items()} for now in generations(cell)
    ]


TASKS = [
    "gaussian(d=2) | gaussian-fit | {} | {} @ n=20 T=3",
    "linear(d=4) | ridge | {} | {} @ n=20 T=3",
    "zipf(K=20) | counts | {} | {} @ n=40 T=3",
    "linear(d=4) | ridge | {} | {} @ n=20 T=3 first=linear-surrogate",
]

# -- frozen, keep-first --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["replace", "mix(real=0.2)", "accumulate"])
@pytest.mark.parametrize("task", TASKS)
def test_frozen_stays_at_generation_0(task, protocol):
    kept = scores(task.format(protocol, "frozen"))
    assert kept == [scores(task.format(protocol, "none"))[0]] * 4


@pytest.mark.parametrize("task", TASKS)
def test_the_ends_of_keep_first_are_frozen_and_none(task):
    for a, end in ((1, "frozen"), (0, "none")):
        assert scores(task.format("replace", f"keep-first(a={a})")) == scores(
            task.format("replace", end)
        )


def test_keep_first_averages_like_weight_averaging():
    task = "linear(d=4) | ridge | replace | {} @ n=20 T=3"
    assert scores(task.format("keep-first(a=0.3)")) == scores(
        task.format("weight-averaging(a=0.3)")
    )


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_keep_first_needs_fits_that_can_be_averaged(a):
    cell = cell_of(f"digits | mlp(steps=2) | replace | keep-first(a={a}) @ n=20 T=1")
    assert "an average has no meaning" in cell.incompatibility()


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_keep_first_needs_teachers_that_can_be_averaged(a):
    task = f"gaussian-mixture | mixture-fit | replace | keep-first(a={a}) @ n=40 T=1"
    with pytest.raises(Incompatible, match="cannot be averaged with another teacher"):
        list(generations(cell_of(task, seeds=(1, 2))))


# -- real rows -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Handed(Mitigation):
    """Notes how many real rows the protocol handed out."""

    seen: list = dataclasses.field(default_factory=list)

    def curate(self, corpus, access):
        self.seen.append(access.handed)
        return corpus


@pytest.mark.parametrize(
    ("protocol", "handed"),
    [
        ("replace", [0, 0, 0]),
        ("accumulate", [0, 0, 0]),
        ("accumulate(real=0.1)", [4, 6, 8]),
        ("mix(real=0.25)", [10, 15, 20]),
        ("mix(real=0.25, fresh=false)", [0, 0, 0]),
        ("mix(schedule=[0.5, 0.25, 0])", [10, 0, 0]),
        ("iterative-mix(real=0.25, fresh=true)", [10, 15, 20]),
        ("verify-filter", [0, 0, 0]),
    ],
)
def test_what_a_protocol_hands_out(protocol, handed):
    act = Handed()
    cell = cell_of(f"linear(d=2) | ols | {protocol} @ n=20 T=3 growth=1", seeds=(1, 2))
    *_, last = generations(dataclasses.replace(cell, mitigations=(act,)))
    assert act.seen == handed
    assert last.ledger.track() == "blind"


@pytest.mark.parametrize(
    "protocol", ["mix(real=0.2)", "accumulate(real=0.2)", "mix(schedule=[1, 0.2])"]
)
@pytest.mark.parametrize(
    ("control", "batches"), [("real-now", [1, 1, 1]), ("real-only", [1, 2, 3])]
)
def test_fits_to_real_rows_obey_the_law_of_their_number(protocol, control, batches):
    spec = f"linear(d=3) | ols | {protocol} | {control} @ n=100 T=3"
    curve = list(follow(spec, 4000))
    for (k, _, losses, _), many in zip(curve[1:], batches, strict=True):
        law = regression.ols_replace(3, 20 * many, 1)
        holds(f"{control}, {protocol}, generation {k - 1}", losses["excess_risk"], law)


def test_real_only_pools_growing_generations():
    spec = "gaussian(sampler=exact-law) | gaussian-fit | mix(real=0.1) | real-only @ n=100 T=3 growth=1"
    for k, _, losses, _ in list(follow(spec, 4000))[1:]:
        rows = sum(10 * i for i in range(2, k + 1))  # generation t hands out 10 (t + 1) rows
        holds(f"real-only, generation {k - 1}", losses["w2"], gaussian.w2_mean(rows, 1))


@pytest.mark.parametrize("control", ["real-now", "real-only"])
def test_a_control_of_real_rows_pays_for_each_once(control):
    cell = cell_of(f"gaussian | gaussian-fit | mix(real=0.2) | {control} @ n=50 T=3", seeds=(1, 2))
    *_, last = generations(cell)
    assert last.ledger.track() == "real"
    assert last.ledger.counts[control, "real_unique"] == 30


def test_where_a_flawed_source_teaches_generation_0_its_real_rows_are_handed_out():
    task = "linear(d=3) | ols | {} | {} @ n=50 T=2 first=linear-surrogate"
    for control, sizes in (("real-now", [10, 10, 10]), ("real-only", [10, 20, 30])):
        cell = cell_of(task.format("mix(real=0.2)", control), seeds=(1, 2))
        assert [now.size.tolist() for now in generations(cell)] == [[n, n] for n in sizes]
        later = cell_of(task.format("mix(schedule=[0, 0.2])", control))
        assert "hands out none in generation 0 of this cell" in later.incompatibility()


@pytest.mark.parametrize("control", ["real-now", "real-only"])
@pytest.mark.parametrize(
    ("protocol", "t"),
    [
        ("replace", 1),
        ("accumulate", 1),
        ("mix(real=0.2, fresh=false)", 1),
        ("mix(real=0.01)", 1),
        ("mix(schedule=[0.5, 0.2, 0])", 2),
        ("verify-filter", 1),
    ],
)
def test_real_rows_must_be_handed_out(control, protocol, t):
    reason = cell_of(f"linear | ols | {protocol} | {control} @ n=20 T=3").incompatibility()
    assert reason.startswith(f"{control} reads the new real rows that a protocol hands out, and ")
    assert f"hands out none in generation {t} of this cell; choose a protocol" in reason


# -- thinned -------------------------------------------------------------------------------------------


def test_half_the_rows_of_a_gaussian():
    """W2^2 of fits to 100, 50, 50, ... rows."""
    spec = "gaussian | gaussian-fit | replace | thinned(keep=0.5) @ n=100 T=3"
    for k, _, losses, _ in follow(spec, 4000):
        t = k - 1
        kept = gaussian.sigma_mean(100, 1) * (gaussian.sigma_mean(50, t) if t else 1.0)
        law = 1 / 100 + t / 50 + 2 * (1 - kept)
        holds(f"thinned, generation {t}", losses["w2"], law)


def test_half_the_rows_behind_counts():
    """The heterozygosity of symbols falls by 1 - 1/M per fit to M rows."""
    spec = "zipf(K=30, sampler=exact-law) | counts | replace | thinned(keep=0.4) @ n=50 T=3"
    for k, teacher, _, data in follow(spec, 2000):
        law = discrete.heterozygosity(30, 1.5, 50, 1) * (1 - 1 / 20) ** (k - 1)
        holds(f"thinned counts, fit {k}", data.diagnostics(teacher)["heterozygosity"], law)


def test_refilled_rows_are_as_good_as_those_that_were_dropped():
    spec = "gaussian | gaussian-fit | replace | thinned(keep=0.3, refill=true) @ n=40 T=3"
    for k, _, losses, _ in follow(spec, 4000):
        holds(f"thinned and refilled, fit {k}", losses["w2"], gaussian.w2_mean(40, k))


@pytest.mark.parametrize(
    ("act", "sizes"),
    [("thinned(keep=0.3)", [40, 24, 36]), ("thinned(keep=0.3, refill=true)", [40, 80, 120])],
)
def test_a_pool_is_thinned_as_a_whole(act, sizes):
    cell = cell_of(f"linear(d=3) | ols | accumulate | {act} @ n=40 T=2", seeds=(1, 2))
    assert [now.size.tolist() for now in generations(cell)] == [[n, n] for n in sizes]


def test_thinned_at_1_is_none():
    task = "linear(d=4) | ridge | mix | {} @ n=20 T=3"
    assert scores(task.format("thinned(keep=1, refill=true)")) == scores(task.format("none"))


def test_sums_cannot_be_thinned():
    cell = cell_of("gaussian(sampler=exact-law) | gaussian-fit | replace | thinned @ n=20 T=1")
    assert "thinned drops rows, and sampler=exact-law draws only" in cell.incompatibility()


# -- verifier-only -------------------------------------------------------------------------------------


def test_numbers_that_a_verifier_accepts_are_rows_with_uniform_noise():
    """A label within 2 noise of the truth, uniformly: its variance is 4/3 that of the noise."""
    spec = "linear(d=3, noise=0.5, signal=0.5) | ols | replace | verifier-only(reach=4) @ n=30 T=3"
    for k, _, losses, _ in list(follow(spec, 2000))[1:]:
        law = regression.ols_replace(3, 30 * (k - 1), 1, 0.5 * math.sqrt(4 / 3))
        holds(f"verifier-only, generation {k - 1}", losses["excess_risk"], law)


def test_a_verifier_with_a_center_teaches_its_center():
    act = "verifier-only(shift=0.5, radius=0, slack=0.6)"
    spec = f"linear(d=3, noise=0.5, signal=0.5) | ols | replace | {act} @ n=30 T=3"
    for k, _, losses, _ in list(follow(spec, 2000))[1:]:
        law = 0.5**2 + regression.ols_replace(3, 30 * (k - 1), 1, 0.6 / math.sqrt(3))
        holds(f"verifier-only, center, generation {k - 1}", losses["excess_risk"], law)


def test_accepted_labels_are_true_labels():
    """So the fit is as good as one to as many real rows."""
    spec = "half-space(d=80) | least-squares | replace | verifier-only @ n=400 T=2"
    for k, _, losses, _ in list(follow(spec, 100))[1:]:
        law = 1 - verification.acc_ols(0.0, 1.0, 1.0, 1.0, 80, 400 * (k - 1))
        holds(f"verifier-only, labels {k}", losses["error_rate"], law, slack=EQUIVALENT)


def test_a_noisy_verifier_teaches_noisy_labels():
    """Accepted labels are wrong with probability psi/(phi + psi)."""
    act = "verifier-only(phi=0.9, psi=0.3)"
    spec = f"half-space(d=80) | least-squares | replace | {act} @ n=400 T=1"
    *_, (_, _, losses, _) = follow(spec, 100)
    law = 1 - verification.acc_ols(0.25, 1.0, 1.0, 1.0, 80, 400)
    holds("verifier-only, noisy", losses["error_rate"], law, slack=EQUIVALENT)


def test_a_verifier_that_does_not_read_teaches_nothing():
    spec = "half-space(d=20) | least-squares | replace | verifier-only(phi=0.5, psi=0.5) @ n=60 T=1"
    *_, (_, _, losses, _) = follow(spec, 400)
    holds("verifier-only, blind", losses["error_rate"], 0.5)


def test_enough_answers_of_a_perfect_verifier_are_as_good_as_nature():
    task = "gcd(max=30, test=200, each=5) | gcd-sieve | replace | {} @ n=200 T=6"
    mine, nature = (scores(task.format(act), range(16)) for act in ("verifier-only", "nature"))
    assert mine[-1]["error"] == nature[-1]["error"]
    half = "half-space(d=4) | least-squares | replace | verifier-only @ n=200 T=6"
    *_, (_, _, losses, _) = follow(half, 100)
    best = 0.5 * math.erfc(1 / math.sqrt(2))  # the error of the truth's own direction
    assert best < float(losses["error_rate"].mean()) < 1.01 * best


def test_a_chain_without_an_accepted_guess_reads_the_trivial_rows():
    spec = "zipf-memory(K=20) | memory | replace | verifier-only(phi=0, psi=0) @ n=30 T=1"
    cell = cell_of(spec, seeds=range(400))
    *_, last = generations(cell)
    assert last.starved is None
    assert last.size.tolist() == [30] * 400
    holds("verifier-only, nothing accepted", last.scores["error"], 1 - 1 / 20, sees=0.2)


def test_it_pays_for_its_calls_and_reads_no_row_of_the_chain():
    task = "half-space(d=4) | least-squares | {} | verifier-only(calls=3) @ n=20 T=2{}"
    runs = []
    for protocol, first in (("replace", ""), ("mix(real=0.5)", " first=noisy-labels(p=0.5)")):
        *_, last = generations(cell_of(task.format(protocol, first), seeds=(1, 2)))
        runs.append(last.scores["error_rate"].tolist())
        assert last.ledger.track() == "verifier"
        assert last.ledger.counts["verifier-only", "verifier_calls"] == (180 if first else 120)
        assert not any(
            what == "real_rows" and user != "protocol" for user, what in last.ledger.counts
        )
    assert all(map(math.isfinite, runs[0]))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("zipf | counts | replace | verifier-only", "zipf has no verifier"),
        ("zipf | counts | replace | verifier-only(shift=0.2)", "zipf has none; leave out shift"),
        (
            "linear(sampler=exact-law) | ols | replace | verifier-only",
            "verifies rows one by one, and sampler=exact-law draws none",
        ),
    ],
)
def test_where_nothing_can_be_verified(cell, sentence):
    assert sentence in cell_of(f"{cell} @ n=20 T=1").incompatibility()
