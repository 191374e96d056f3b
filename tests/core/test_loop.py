"""The loop: who acts when, what is remembered, what happens to a chain that starves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

from collapse_bench import Incompatible, Mitigation, Teacher, UsageError, cell_of, generations
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import ContractError
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.plugins.controls.nature import Nature
from collapse_bench.plugins.generators.linear import Linear

SEEDS = range(2000)


def last(cell):
    *_, now = generations(cell)
    return now


def z(values, expected):
    return float((values.mean() - expected) / (values.std() / len(values) ** 0.5))


@dataclass(frozen=True)
class Log(Mitigation):
    """Writes down when it is asked what."""

    seen: tuple = ()
    calls: list = None

    def steer(self, teacher, access):
        self.calls.append((access.t, "steer"))
        return teacher

    def curate(self, corpus, access):
        self.calls.append((access.t, "curate"))
        return corpus

    def adapt(self, model, access):
        self.calls.append((access.t, "adapt"))
        return model

    def size(self, n, t):
        self.calls.append((t, "size"))
        return n


def test_a_mitigation_acts_once_per_moment_and_not_on_nature():
    calls = []
    cell = replace(
        cell_of("gaussian | gaussian-fit @ n=20 T=2", seeds="0"), mitigations=(Log(calls=calls),)
    )
    last(cell)
    assert calls == [(t, moment) for t in (1, 2) for moment in ("size", "steer", "curate", "adapt")]


def test_under_a_flawed_first_teacher_it_acts_from_the_start():
    calls = []
    cell = cell_of("gaussian | gaussian-fit @ n=20 T=0 first=gaussian(sigma=2)", seeds="0")
    last(replace(cell, mitigations=(Log(calls=calls),)))
    assert {t for t, _ in calls} == {0}


def test_nature_is_not_combined_with_a_mitigation():
    cell = cell_of("gaussian | gaussian-fit @ n=20 T=0", seeds="0")
    with pytest.raises(UsageError, match="cannot be combined with a mitigation"):
        replace(cell, mitigations=(Nature(), Log(calls=[])))


def test_a_flawed_first_teacher_costs_its_own_error():
    """OLS on labels of another w: E = tr(Sigma Delta) + sigma^2 d / (n - d - 1), Delta the covariance of w2 - w1."""
    d, n = 5, 60
    cell = cell_of(f"linear(d={d}) | ols @ n={n} T=0 first=linear(d={d}, signal=4)", seeds=SEEDS)
    now = last(cell)
    assert now.ledger.total("real_rows") == 0
    assert abs(z(now.scores["excess_risk"], (1 + 4) + d / (n - d - 1))) < 4


@pytest.mark.parametrize(
    "protocol", ["replace", "accumulate", "mix(real=0.5)", "mix(real=0.5, fresh=false)"]
)
def test_age_counts_generations_from_nature(protocol):
    ages = []

    @dataclass(frozen=True)
    class Ages(Mitigation):
        def curate(self, corpus, access):
            ages.append(set(access.provenance(corpus).unique().tolist()))
            return corpus

    cell = cell_of(f"gaussian | gaussian-fit | {protocol} @ n=20 T=3", seeds="0:3")
    last(replace(cell, mitigations=(Ages(),)))
    expected = {
        "replace": [{1}, {2}, {3}],
        "accumulate": [{0, 1}, {0, 1, 2}, {0, 1, 2, 3}],
    }.get(protocol, [{0, 1}, {0, 2}, {0, 3}])
    assert ages == expected


def test_under_a_flawed_first_teacher_its_rows_are_one_generation_old():
    ages = []

    @dataclass(frozen=True)
    class Ages(Mitigation):
        def curate(self, corpus, access):
            ages.append(access.provenance(corpus).unique().tolist())
            return corpus

    cell = cell_of("gaussian | gaussian-fit @ n=20 T=1 first=gaussian(sigma=2)", seeds="0")
    last(replace(cell, mitigations=(Ages(),)))
    assert ages == [[1], [2]]


@dataclass(frozen=True)
class Shift(Mitigation):
    """Adds one to every row it curates."""

    def curate(self, corpus, access):
        return corpus.edited(y=corpus.y + 1)


@dataclass(frozen=True)
class LastingShift(Shift):
    applies_to_memory = True


def test_curation_feeds_the_lesson_and_only_a_method_that_remembers_the_memory():
    cell = cell_of("gaussian(truth_is=fixed) | gaussian-fit | accumulate @ n=400 T=2", seeds="0:50")

    def pool_mean(act):
        *_, now = generations(replace(cell, mitigations=(act,)))
        return now.memory.y.mean().item()

    # means of the three batches: 0, m0, m1, where m_t is what the model of generation t says
    # for the lesson only: m0 = 0, lesson of t=1 is shifted by 1, so m1 = 1: pool mean (0 + 0 + 1) / 3
    assert pool_mean(Shift()) == pytest.approx(1 / 3, abs=0.03)
    # remembered: batches are 0, 0 + 1, and the mean of both 1/2 + 1: pool mean (0 + 1 + 1.5) / 3
    assert pool_mean(LastingShift()) == pytest.approx(2.5 / 3, abs=0.03)


def test_sizes_follow_the_schedule_and_the_mitigation():
    @dataclass(frozen=True)
    class Double(Mitigation):
        def size(self, n, t):
            return 2 * n

    cell = cell_of("gaussian | gaussian-fit @ n=10 T=3 growth=1", seeds="0")
    assert [int(now.size) for now in generations(cell)] == [10, 20, 30, 40]
    assert [int(now.size) for now in generations(replace(cell, mitigations=(Double(),)))] == [
        10,
        40,
        60,
        80,
    ]


def test_a_biased_decoder_reaches_every_entry_but_nature():
    biased = "zipf(K=200) | counts | replace(decode=temperature(t=0.5)){} @ n=500 T=3"
    plain = "zipf(K=200) | counts | replace{} @ n=500 T=3"

    def loss(text, entry=""):
        return last(cell_of(text.format(entry), seeds="0:20")).scores["total_variation"]

    assert (loss(biased) > loss(plain) + 0.1).all()
    assert torch.equal(loss(biased, " | nature"), loss(plain, " | nature"))
    # the last setting wins: a method that reads out without bias undoes the world's
    assert torch.equal(loss(biased, " | temperature(t=1)"), loss(plain))


@dataclass(frozen=True)
class Starve(Mitigation):
    """From generation 2 on gives the first chain nothing to read."""

    def curate(self, corpus, access):
        weight = corpus.weight.clone()
        if access.t == 2:
            weight[0] = 0
        return corpus.weighted(weight)


def test_a_starved_chain_is_nan_from_then_on_and_the_others_go_on():
    cell = cell_of("linear(d=3) | ridge @ n=30 T=4", seeds="0:5")
    runs = list(generations(replace(cell, mitigations=(Starve(),))))
    plain = list(generations(cell))
    for t, (now, as_usual) in enumerate(zip(runs, plain, strict=True)):
        losses = now.scores["excess_risk"]
        assert bool(losses[0].isnan()) is (t >= 2)
        assert torch.allclose(losses[1:], as_usual.scores["excess_risk"][1:], rtol=1e-9)
    assert runs[-1].starved.tolist() == [True, False, False, False, False]


def test_the_exam_judges_the_teacher_as_fitted():
    @dataclass(frozen=True)
    class Wild(Mitigation):
        def steer(self, teacher, access):
            return GaussianTeacher(teacher.mean + 1000, teacher.factor)

    cell = cell_of("gaussian | gaussian-fit @ n=50 T=1", seeds="0:10")
    first, second = generations(replace(cell, mitigations=(Wild(),)))
    assert first.scores["w2"].max() < 10
    assert second.scores["w2"].min() > 900_000


@pytest.mark.parametrize(
    ("moment", "value"),
    [("steer", None), ("curate", 3), ("adapt", "model"), ("curate", "another chain_shape")],
)
def test_another_noun_is_refused_by_name(moment, value):
    @dataclass(frozen=True)
    class Wrong(Mitigation):
        pass

    def answer(self, noun, access):
        return noun[0] if value == "another chain_shape" else value

    setattr(Wrong, moment, answer)
    Wrong.name = "wrong"
    with pytest.raises(ContractError, match=rf"wrong\.{moment} returned"):
        last(
            replace(
                cell_of("gaussian | gaussian-fit @ n=10 T=1", seeds="0:2"), mitigations=(Wrong(),)
            )
        )


@pytest.mark.parametrize("whose", ["the rows as shown", "the part behind them"])
def test_a_mitigation_that_touches_what_it_was_lent_is_named(whose):
    @dataclass(frozen=True)
    class Vandal(Mitigation):
        name = "vandal"

        def curate(self, corpus, access):
            (corpus.y if whose == "the rows as shown" else corpus._parts[0].y).mul_(2)
            return corpus

    cell = cell_of("gaussian | gaussian-fit @ n=10 T=1", seeds="0:2")
    with pytest.raises(ContractError, match=r"vandal\.curate changed its input in place"):
        last(replace(cell, mitigations=(Vandal(),)))


def test_going_on_from_any_generation_gives_the_same_numbers():
    cell = cell_of(
        "linear(d=4) | ridge | accumulate-subsample | real-anchor(k=2) @ n=20 T=4", seeds="0:6"
    )
    whole = list(generations(cell))
    for start in whole[:-1]:
        for a, b in zip(generations(cell, start), whole[start.t + 1 :], strict=True):
            assert torch.equal(a.scores["excess_risk"], b.scores["excess_risk"])
            assert a.ledger.counts == b.ledger.counts


def test_the_truth_is_drawn_per_seed_and_can_be_fixed():
    drawn = nature(cell_of("linear(d=4) | ols", seeds="0:50")).truth.w
    assert len({tuple(row) for row in drawn.tolist()}) == 50
    fixed = nature(cell_of("linear(d=4, truth_is=fixed) | ols", seeds="0:50")).truth.w
    assert (fixed == fixed[0]).all()
    assert fixed[0].pow(2).sum().item() == pytest.approx(1)


def test_exact_law_of_regression_sums_agrees_with_rows():
    """The joint law of X^T X, X^T y and y^T y: means and variances of all of them, drawn both ways."""
    d, n = 3, 12
    for exact in ("explicit", "exact-law"):
        data = Linear(d=d, noise=0.7, beta=1.0, truth_is="fixed", sampler=exact)
        cell = replace(cell_of("linear | ols", seeds=range(20000)), data=data)
        world = nature(cell)
        root = Stream(cell.seeds)
        sums = Desk(world, world, 0, n, root, Ledger()).access("law").real(n).products()
        stats = torch.cat([sums.xx.flatten(1), sums.xy, sums.yy[:, None]], 1)
        if exact == "explicit":
            rows = stats
        else:
            law = stats
    for moment in (lambda v: v, lambda v: (v - v.mean(0)) ** 2, lambda v: v[:, :1] * v):
        a, b = moment(rows), moment(law)
        error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() / error).max() < 4.5  # 39 comparisons


def test_one_row_shows_no_spread():
    now = last(cell_of("gaussian(d=2) | gaussian-fit @ n=1 T=1", seeds="0:3"))
    mean, factor = now.teacher.mean_and_factor()
    assert isinstance(now.teacher, Teacher)
    assert torch.equal(factor, torch.zeros_like(factor))
    assert mean.isfinite().all()


def test_thin_directions_keep_their_precision():
    """Log-determinants far below what a covariance in float64 could hold, by exact law: E = k sum psi + ln 2 / nu."""
    from scipy.special import digamma

    d, M, T = 3, 6, 79
    cell = cell_of(
        f"gaussian(d={d}, sampler=exact-law) | gaussian-fit @ n={M} T={T}", seeds=range(400)
    )
    world, now = nature(cell), last(cell)
    log_det = d * world.diagnostics(now.teacher)["log_variance"]
    nu = M - 1
    expected = (T + 1) * sum(digamma((nu - i) / 2) + math.log(2 / nu) for i in range(d))
    assert expected < -100
    assert abs(z(log_det, expected)) < 4


def test_a_corpus_known_by_its_sums_refuses_rows():
    cell = cell_of(
        "gaussian(sampler=exact-law) | gaussian-fit | accumulate-subsample @ n=10 T=1", seeds="0"
    )
    with pytest.raises(Incompatible, match="sampler=explicit"):
        last(cell)


def test_a_subsample_passes_over_rows_of_weight_zero():
    @dataclass(frozen=True)
    class Halve(Mitigation):
        """Half of every chain_shape is thrown out for good."""

        applies_to_memory = True

        def curate(self, corpus, access):
            keep = torch.arange(corpus.n) % 2 == 0
            return corpus.weighted(corpus.weight * keep)

    cell = cell_of("gaussian | gaussian-fit | accumulate-subsample @ n=20 T=3", seeds="0:4")
    sizes = [now.size for now in generations(replace(cell, mitigations=(Halve(),)))]
    assert all((size == 20).all() for size in sizes)
