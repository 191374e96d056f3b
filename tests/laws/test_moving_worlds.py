"""Worlds that move or grow: the engine against closed forms, and what is of which generation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from holding import follow, holds, slow, z_of

from collapse_bench import Incompatible, Mitigation, cell_of, generations
from collapse_bench.core.components import Protocol
from collapse_bench.core.loop import nature
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import growing, worlds

DRIFTS = "gaussian(drift=0.01{}) | gaussian-fit(sigma=1) | {} @ n=100 T=60"
GROWS = "gaussian(sampler=exact-law) | gaussian-fit(sigma=1) | accumulate(real=0.2){} @ n=100 T=20"


def last_loss(spec, chains, **changes):
    *_, (_, _, scores, data) = follow(spec, chains, **changes)
    return scores[data.primary]


# -- a mean that drifts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "law"),
    [
        ("mix(real=0.1)", 0.0953),
        ("mix(real=0.1) | frozen", 0.61),
        ("mix(real=0.1) | nature", 0.01),
        ("replace", 0.01 + 60 * 0.02),
        ("replace | tracking(drift=0.01, k=10)", 0.0270),
    ],
)
def test_a_mean_that_drifts(how, law):
    loss = last_loss(DRIFTS.format(", sampler=exact-law", how), 4000)
    holds(f"drift: E e, {how}", loss, law)


@pytest.mark.parametrize(
    ("act", "law"),
    [
        ("golden-ratio(w=0.3659)", 0.0366),
        slow("tracking(drift=0.01)", 0.0270),
    ],
)
def test_who_knows_which_rows_are_real_follows_a_mean_that_drifts(act, law):
    holds(f"drift: E e, {act}", last_loss(DRIFTS.format("", f"mix(real=0.1) | {act}"), 4000), law)


# -- a growing web -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShareKnown(Mitigation):
    """From each batch of a growing web an estimate without bias, weighted by the squared share."""

    a: float = 0.2

    def adapt(self, model, access):
        kept = access.memory or {"weight": 1.0, "sum": None}

        def train(model, corpus, rng, before):
            sums = corpus.moments()
            total = sums.mean * sums.weight[..., None]
            past = access.n * before.mean if kept["sum"] is None else kept["sum"]
            batch = (total - past) / access.n
            z = (batch - (1 - self.a) * before.mean) / self.a
            weight = kept["weight"] + self.a**2
            access.memory = {"weight": weight, "sum": total}
            return replace(before, mean=before.mean + self.a**2 / weight * (z - before.mean))

        return model.with_training(train)


@pytest.mark.parametrize(
    ("act", "law"), [("", 0.00652), (" | nature", 0.00048), (" | frozen", 0.01)]
)
def test_a_growing_web(act, law):
    holds(f"growing web: E e{act}", last_loss(GROWS.format(act), 4000), law, sees=0.12)


def test_a_growing_web_for_who_knows_the_share():
    registry().offer("mitigation", "share-known", ShareKnown)
    try:
        loss = last_loss(GROWS.format(" | share-known"), 4000)
    finally:
        del registry().classes["mitigation"]["share-known"]
        del registry().owners["mitigation", "share-known"]
    holds("growing web: E e, share known", loss, growing.share_known(100, 0.2, 20), sees=0.12)


def test_a_growing_web_for_who_knows_which_rows_are_real():
    spec = "gaussian | gaussian-fit(sigma=1) | accumulate(real=0.2) | mix-weights(synthetic=0) @ n=20 T=20"
    law = worlds.kalman_e(20, 4, 20)
    assert law == pytest.approx(0.2 / 20)
    holds("growing web: E e, provenance known", last_loss(spec, 4000), law)


# -- new symbols ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "law"),
    [
        ("replace | frozen", worlds.novel_frozen_missing(200, 1.5, 1000, 10, 0.05)),
        ("mix(real=0.1)", 0.2146),
        ("accumulate(real=0.1)", worlds.novel_kept_missing(200, 1.5, 1000, 100, 10, 0.05)),
    ],
)
def test_the_mass_that_is_missed_while_symbols_come(how, law):
    spec = f"zipf(K=200, novel=0.05, blocks=10) | counts | {how} @ n=1000 T=10"
    *_, (_, _, scores, _) = follow(spec, 100)
    holds(f"new symbols: missing mass, {how}", scores["missing_mass"], law)


def test_symbols_come_in_blocks_of_the_same_law():
    data = nature(cell_of("zipf(K=5, novel=0.2, blocks=4) | counts @ n=9 T=4", seeds=range(3)))
    first = data.truth.teacher.p.sort(-1, descending=True).values[:, :5]
    p = data.at(2).truth.teacher.p.sort(-1, descending=True).values
    blocks = torch.cat([first * mass for mass in (0.64, 0.16, 0.2)], -1)
    expected = torch.nn.functional.pad(blocks.sort(-1, descending=True).values, (0, 10))
    torch.testing.assert_close(p, expected)
    assert data.losses(data.at(2), None)["missing_mass"].tolist() == pytest.approx([0] * 3)
    assert data.at(2).losses(data, None)["missing_mass"].tolist() == pytest.approx([0.36] * 3)
    assert data.at(2).losses(data, None)["support_lost"].tolist() == pytest.approx([2 / 3] * 3)


def test_new_things_in_stories_have_their_share():
    spec = "grammar-stories(words=60, block=40, novel=0.3, blocks=3, test=6, judged=4) | ngram @ n=9 T=3"
    data = nature(cell_of(spec, seeds=range(40)))
    world = data.at(2)
    tables = world._grammar
    law = tables.lexicon["thing"]
    slots = world.truth.ranked[:, tables.slots[law] : tables.slots[law + 1]]
    block = torch.full((40, world.labels + 1), -1)
    block = block.scatter(
        -1, slots, torch.arange(4).repeat_interleave(slots.shape[-1] // 4).expand(slots.shape)
    )
    x = torch.empty(40, 300, 0, dtype=torch.int64)
    y = world.answer(x, data.truth.exam_rng.at("here"))
    said = block[:, :-1].gather(-1, y.clamp_min(0).flatten(-2)).masked_fill(y.flatten(-2) < 0, -1)
    many = torch.stack([(said == b).sum(-1) for b in range(4)], -1).double()
    for b, share in enumerate((0.49, 0.21, 0.3)):
        _, _, z = z_of(many[:, b] - share * many.sum(-1), 0.0)
        assert abs(z) < 4, (b, z)
    assert (many[:, 3] == 0).all()
    assert bool(world.verify(x, y).all())
    assert not bool(data.verify(x, y).all(-1).any())  # generation 0 does not know the new things


@pytest.mark.parametrize("data", ["zipf(novel=0.1, blocks=3)", "bigram(novel=0.1, blocks=3)"])
def test_an_alphabet_without_room_is_refused(data):
    cell = cell_of(f"{data} | counts @ n=9 T=4")
    assert "set blocks=4" in cell.incompatibility()
    with pytest.raises(Incompatible, match="set blocks=4"):
        nature(replace(cell, seeds=(1,))).at(4)


# -- a direction that turns ----------------------------------------------------------------------------------------


def test_a_direction_turns_by_its_angle_and_takes_the_errors_with_it():
    data = nature(cell_of("half-space(d=9, drift=0.4) | averaging @ n=9 T=9", seeds=range(200)))
    for t in (0, 3):
        here, next_ = data.at(t).truth.axes, data.at(t + 1).truth.axes
        cosine = (here[:, 0] * next_[:, 0]).sum(-1)
        assert cosine.tolist() == pytest.approx([math.cos(0.4)] * 200)
        torch.testing.assert_close(here @ here.mT, torch.eye(3).double().expand(200, 3, 3))
    far = (data.truth.axes[:, 0] * data.at(4).truth.axes[:, 0]).sum(-1)
    holds("half-space: cosine after 4 turns", far, math.cos(0.4) ** 4)


# -- what is of which generation -----------------------------------------------------------------------------------

#: steps far wider than the rows, so that a row tells the world that it comes from
WIDE = "gaussian(sigma=0.01, drift=1e10) | gaussian-fit | {} @ n=40 T=4"


def generation_of(corpus_mean, data, last=4):
    """The generation whose mean is nearest, per chain."""
    means = torch.stack([data.at(t).truth.teacher.mean[..., 0] for t in range(last + 1)], -1)
    return (corpus_mean[..., None] - means).abs().argmin(-1).tolist()


@dataclass(frozen=True)
class Watches(Mitigation):
    """Asks for real rows of each kind and notes their means."""

    def curate(self, corpus, access):
        kept = access.memory or []
        new, fixed = access.real(5), access.real(5, fixed=True)
        old = kept[0]["rows"] if kept else new
        note = {"rows": new, "fixed": fixed.y.mean((-2, -1)), "old": old.y.mean((-2, -1))}
        access.memory = [*kept, note]
        return corpus


def test_real_rows_are_as_old_as_they_are():
    registry().offer("mitigation", "watches", Watches)
    try:
        cell = cell_of(WIDE.format("mix(real=0.5) | watches"), seeds=range(4))
        *_, now = generations(cell)
    finally:
        del registry().classes["mitigation"]["watches"], registry().owners["mitigation", "watches"]
    data, (notes,) = nature(cell), now.kept.values()
    for t, note in enumerate(notes, 1):
        assert generation_of(note["rows"].y.mean((-2, -1)), data) == [t] * 4
        assert generation_of(note["fixed"], data) == [0] * 4
        assert generation_of(note["old"], data) == [1] * 4


def test_a_pool_holds_real_rows_of_all_worlds():
    cell = cell_of(WIDE.format("accumulate(real=1)"), seeds=range(4))
    *_, now = generations(cell)
    data = nature(cell)
    for t in range(5):
        batch = now.memory.y[:, 40 * t : 40 * (t + 1), 0]
        assert generation_of(batch.mean(-1), data) == [t] * 4


def test_the_rows_of_a_fixed_mix_stay_those_of_generation_0():
    cell = cell_of(WIDE.format("mix(real=0.5, fresh=false)"), seeds=range(4))
    *_, now = generations(cell)
    assert generation_of(now.memory.y.mean((-2, -1)), nature(cell)) == [0] * 4


@pytest.mark.parametrize(
    "data",
    [
        "gaussian(d=2, drift=0.3) | gaussian-fit",
        "linear(d=3, drift=0.3) | ols",
        "half-space(d=5, drift=0.5) | averaging",
        "zipf(K=20, novel=0.2, blocks=4) | counts",
        "bigram(K=5, novel=0.2, blocks=4) | counts",
        "grammar-stories(words=30, test=6, judged=4, novel=0.3, blocks=4) | ngram",
    ],
)
def test_frozen_is_the_first_teacher_in_the_world_of_each_generation(data):
    cell = cell_of(f"{data} | mix(real=0.3) | frozen @ n=40 T=4", seeds=range(6))
    truth, seen = nature(cell), []
    for now in generations(cell):
        assert now.teacher is now.first or now.t == 0
        rng = truth_exam(cell)
        own = truth.at(now.t).losses(now.first, rng)[truth.primary]
        torch.testing.assert_close(now.scores[truth.primary], own)
        seen.append(own.mean())
    assert seen[-1] > seen[0]  # the world has gone on


def truth_exam(cell):
    from collapse_bench.core.rng import Stream

    return Stream(cell.seeds).at("exam")


def test_the_verifier_is_of_the_world_of_its_generation():
    data = nature(cell_of("linear(d=4, noise=0.01, drift=1) | ols @ n=9 T=3", seeds=range(4)))
    rng = truth_exam(cell_of("linear | ols @ n=9 T=1", seeds=range(4)))
    for t in (0, 3):
        world = data.at(t)
        x = world.ask(50, rng.at("x", t))
        y = world.observe(world.answer(x, rng), rng.at("noise", t))
        assert world.verify(x, y).double().mean() > 0.9
        assert data.at(3 - t).verify(x, y).double().mean() < 0.2


# -- predictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [c for c in registry().claims() if c.law.startswith("worlds.") and c.times == 1.0],
    ids=lambda c: f"{c.law} {c.spec}",
)
def test_a_claim_of_a_primary_loss_is_what_is_predicted(claim):
    cell = registry().cell(claim.spec)
    if claim.metric == cell.data.primary:
        predicted = registry().predicted(cell)
        if predicted is None:  # weights, which no curve covers
            assert "mix-weights" in claim.spec
        else:
            assert predicted[claim.t] == pytest.approx(claim.predicted)


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian(drift=0.1) | kde | replace @ n=20 T=2",
        "gaussian(drift=0.1) | mixture-fit | replace @ n=20 T=2",
        "gaussian(drift=0.1) | gaussian-fit | mix(real=0.3) @ n=20 T=2",
        "gaussian(drift=0.1) | gaussian-fit(sigma=1) | replace | weight-averaging @ n=20 T=2",
        "linear(d=90, drift=0.1) | ridge | mix(real=0.3) @ n=200 T=2",
        "half-space(d=100, drift=0.1) | averaging | mix(real=0.3) @ n=200 T=2",
        "half-space(d=100, drift=0.1) | least-squares | replace @ n=200 T=2",
        "zipf(novel=0.1) | counts(smoothing=1) | replace @ n=20 T=2",
    ],
)
def test_no_law_of_a_still_world_is_told_of_one_that_moves(spec):
    assert registry().predicted(registry().cell(spec)) is None


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian | gaussian-fit | mix(real=0.3) | frozen @ n=20 T=3",
        "linear(d=4) | ols | replace | frozen @ n=40 T=3",
        "zipf(K=20) | counts | accumulate | frozen @ n=40 T=3",
    ],
)
def test_where_the_world_stands_still_frozen_has_the_law_of_one_fit(spec):
    predicted = registry().predicted(registry().cell(spec))
    assert predicted == (predicted[0],) * 4
    for k, _, scores, data in follow(spec, 2000):
        if k in (1, 4):
            holds(f"{spec}, fit {k}", scores[data.primary], predicted[k - 1])


@pytest.mark.parametrize("task", ["gaussian | gaussian-fit", "linear(d=4) | ols"])
def test_nature_reads_the_same_from_a_pool_with_and_without_real_rows_of_the_protocol(task):
    curves = [
        registry().predicted(registry().cell(f"{task} | {how} | nature @ n=30 T=3"))
        for how in ("accumulate(real=0.2)", "accumulate")
    ]
    assert curves[0] == curves[1] is not None


@dataclass(frozen=True)
class Nothing(Protocol):
    """No rows after generation 0 but those of the teacher."""

    def compose(self, access, memory):
        return access.synthetic(access.n), None


def test_a_protocol_that_states_no_composition_has_no_law_in_motion():
    cell = registry().cell("gaussian(drift=0.1) | gaussian-fit(sigma=1) | replace @ n=20 T=2")
    assert registry().predicted(cell) is not None
    assert registry().predicted(replace(cell, protocol=Nothing())) is None
