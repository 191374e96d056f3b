"""Hidden labels: one truth per question, the law of the clusters, and nothing to be learnt beyond it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.registry.discovery import registry

SEEDS = tuple(range(40, 60))


def world(spec, n, seeds=SEEDS):
    """(nature, questions, its labels)."""
    data, rng = nature(cell_of(f"{spec} | averaging | replace", seeds=seeds)), Stream(seeds)
    x = data.ask(n, rng.at("x"))
    return data, x, data.answer(x, rng.at("y"))


def centre(data):
    return math.sqrt(data.mu2) * data.truth.axes[..., :1, :]


def z_of(sample, expected):
    sample = sample.double().flatten()
    return (float(sample.mean()) - expected) / (float(sample.std()) / math.sqrt(sample.numel()))


@pytest.mark.parametrize("mu2", [0.0, 0.5, 4.0])
def test_questions_and_labels_follow_the_law_of_the_clusters(mu2):
    data, x, y = world(f"half-space(d=6, mu2={mu2})", 20_000)
    sign = 2.0 * y - 1
    assert abs(z_of(sign, 0.0)) < 4
    rest = x.double() - sign[..., None] * centre(data)  # N(0, I), whichever the label
    along = (rest @ data.truth.axes[..., 0, :, None])[..., 0]
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert abs(z_of(along**power, moment)) < 4, power
        assert abs(z_of(sign * along**power, 0.0)) < 4, power
    across = (rest @ data.truth.axes[..., 1, :, None])[..., 0]
    assert abs(z_of(across * along, 0.0)) < 4
    assert abs(z_of(across**2, 1.0)) < 4


def test_given_the_question_a_label_is_right_as_often_as_the_law_says():
    data, x, y = world("half-space(d=6, mu2=1)", 20_000)
    side = (x.double() @ centre(data).mT)[..., 0]
    for low in (-3, -1, -0.2, 0, 0.5, 2):
        there = (side > low) & (side < low + 0.5)
        assert abs(z_of(y[there] - (2 * side[there]).sigmoid(), 0.0)) < 4
    bayes = 0.5 * math.erfc(1 / math.sqrt(2))
    assert abs(z_of((side > 0) != (y == 1), bayes)) < 4


def test_a_question_has_one_label_whoever_asks():
    data, x, y = world("half-space(d=5)", 300)
    again = Stream(SEEDS).at("another hour")
    assert torch.equal(data.answer(x, again), y)
    assert data.verify(x, y).all()
    assert not data.verify(x, 1 - y).any()
    order = torch.randperm(300)
    assert torch.equal(data.answer(x[:, order][:, :7].double(), again), y[:, order][:, :7])
    for r, seed in ((0, SEEDS[0]), (13, SEEDS[13])):
        alone = nature(cell_of("half-space(d=5) | averaging | replace", seeds=(seed,)))
        assert torch.equal(alone.answer(x[r : r + 1], again), y[r : r + 1])


def test_luck_has_no_memory_of_the_question():
    """Neither neighbours, nor the same question in another world, nor its mirror image share it."""
    data, x, y = world("half-space(d=5, mu2=0)", 20_000)  # labels are luck alone
    sign, again = 2.0 * y - 1, Stream(SEEDS).at("again")
    for other in (torch.nextafter(x, x + 1), -x, 2 * x, x.roll(1, 0)):
        assert abs(z_of(sign * (2.0 * data.answer(other, again) - 1), 0.0)) < 4
    for i in range(5):
        assert abs(z_of(sign * x[..., i], 0.0)) < 4
        assert abs(z_of(sign * x[..., i].sign(), 0.0)) < 4
    assert abs(z_of(sign[:, 1:] * sign[:, :-1], 0.0)) < 4


def test_no_pupil_does_better_than_the_side():
    spec = "half-space(d=4, mu2=1) | random-features(width=100, lam=0.01) | replace @ n=1000 T=0"
    [now] = generations(cell_of(spec, seeds=SEEDS))
    assert (
        now.scores["error_rate"] > 0.5 * math.erfc(1 / math.sqrt(2)) - 0.03
    ).all()  # 2048 questions of the exam
    assert now.scores["error_rate"].mean() < 0.25


def test_the_exam_of_any_teacher_is_that_of_a_linear_one():
    data = nature(cell_of("half-space(d=20, mu2=2) | averaging | replace", seeds=SEEDS))
    [now] = generations(
        cell_of("half-space(d=20, mu2=2) | averaging | replace @ n=60 T=0", seeds=SEEDS)
    )

    class Opaque(type(now.teacher)):
        linear = False

    exact, seen = (
        data.losses(t, Stream(SEEDS).at("exam"))["error_rate"]
        for t in (now.teacher, Opaque(now.teacher.w))
    )
    assert abs(z_of(seen - exact, 0.0)) < 4
    assert (seen - exact).abs().max() < 0.04


def test_a_teacher_without_direction_guesses():
    data = nature(cell_of("half-space(d=4) | averaging | replace", seeds=SEEDS))
    [now] = generations(cell_of("half-space(d=4) | averaging | replace @ n=6 T=0", seeds=SEEDS))
    blank = now.teacher.blend(type(now.teacher)(-now.teacher.w), 0.5)
    assert (data.losses(blank, Stream(SEEDS))["error_rate"] == 0.5).all()


# -- walls ----------------------------------------------------------------------------------------------------------


def test_walls_stand_at_their_angles():
    data, x, y = world("half-space(d=3, inputs=isotropic, verifier=0.7)", 20_000)
    source = (
        registry()
        .build("generator", "half-space(tilt=0.4)")
        .sample_truth(Stream(SEEDS).at("first"), data)
    )
    said = source.answer(x, Stream(SEEDS))
    assert torch.equal(y == 1, (x.double() @ data.truth.axes[..., 0, :, None])[..., 0] > 0)
    assert abs(z_of(said != y, 0.4 / math.pi)) < 4
    passed = data.verify(x, y)
    assert abs(z_of(~passed, 0.7 / math.pi)) < 4
    agree = 1 - math.acos(math.cos(0.4) * math.cos(0.7)) / math.pi
    assert abs(z_of(data.verify(x, said), agree)) < 4


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "half-space(tilt=0.3) | averaging | replace",
            "half-space with a tilt is a flawed source",
        ),
        ("noisy-labels | averaging | replace", "noisy-labels has no questions of its own"),
        (
            "linear | ols | replace @ first=noisy-labels",
            "noisy-labels cannot teach linear: their kinds differ",
        ),
        (
            "half-space | ols | replace",
            "ols fits regression data, and half-space gives classification data",
        ),
        (
            "linear | averaging | replace",
            "averaging fits classification data, and linear gives regression data",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(spec, words):
    assert words in cell_of(spec).incompatibility()


def test_a_tilt_needs_a_half_space_beside_it():
    cell = cell_of("digits | averaging | replace @ T=0 first=half-space(tilt=0.3)", seeds=(0,))
    with pytest.raises(
        Incompatible, match="is a first teacher for half-space, and the data are digits"
    ):
        next(generations(cell))


@pytest.mark.parametrize(
    "text", ["half-space(d=2)", "half-space(mu2=-1)", "half-space(verifier=4)", "half-space(tilt=-0.1)", "noisy-labels(p=1.5)"]
)  # fmt: skip
def test_parameters_out_of_range(text):
    with pytest.raises(UsageError, match="must be"):
        registry().build("generator", text)


# -- noisy labels ---------------------------------------------------------------------------------------------------


def test_noisy_labels_are_wrong_as_often_as_said():
    data, x, y = world("half-space(d=4)", 5000)
    for p in (0.0, 0.3, 1.0):
        source = (
            registry()
            .build("generator", f"noisy-labels(p={p})")
            .sample_truth(Stream(SEEDS).at("first"), data)
        )
        wrong = source.answer(x, Stream(SEEDS).at("y")) != y
        assert float(wrong.double().mean()) == p if p in (0, 1) else abs(z_of(wrong, p)) < 4
        side = (x.double() @ centre(data).mT)[..., 0]
        assert (
            p in (0, 1) or abs(z_of(wrong * side.abs(), p * float(side.abs().mean()))) < 4
        )  # whatever the question


def test_wrong_labels_of_many_classes_are_equally_likely():
    data, x, y = world("digits", 4000)
    source = (
        registry()
        .build("generator", "noisy-labels(p=0.5)")
        .sample_truth(Stream(SEEDS).at("first"), data)
    )
    said = source.answer(x, Stream(SEEDS).at("y"))
    gap = ((said - y) % 10)[said != y]
    assert abs(z_of(said != y, 0.5)) < 4
    for step in range(1, 10):
        assert abs(z_of(gap == step, 1 / 9)) < 4
    with pytest.raises(Incompatible, match="needs data with labels"):
        registry().build("generator", "noisy-labels").sample_truth(Stream(SEEDS))


def test_a_verifier_sees_the_errors_of_a_noisy_source():
    spec = "digits | least-squares | %s @ n=200 T=0 first=noisy-labels(p=0.5)"
    [selected], [all_of_it] = (
        generations(cell_of(spec % how, seeds=SEEDS))
        for how in ("verify-filter(oversample=2)", "replace")
    )
    assert z_of(all_of_it.scores["error_rate"] - selected.scores["error_rate"], 0.0) > 8


# -- every protocol with what mends it -----------------------------------------------------------------------------

PROTOCOLS = [
    "replace",
    "accumulate",
    "accumulate-subsample",
    "mix(real=0.2)",
    "verify-filter(phi=0.9, psi=0.3)",
]
MENDED = [
    "none",
    "nature",
    "oracle-verify",
    "oracle-verify(phi=0.9, psi=0.3)",
    "real-anchor(k=5)",
    "distrust",
]


@pytest.mark.parametrize(("protocol", "mended"), list(itertools.product(PROTOCOLS, MENDED)))
@pytest.mark.parametrize("model", ["averaging", "least-squares"])
def test_every_protocol_and_what_mends_it(protocol, mended, model):
    cell = cell_of(f"half-space(d=4) | {model} | {protocol} | {mended} @ n=30 T=3", seeds=range(8))
    assert cell.incompatibility() is None
    for now in generations(cell):
        error = now.scores["error_rate"]
        assert now.starved is None or not now.starved.any()
        assert ((error > 0.15) & (error <= 1)).all()


def test_the_law_of_averaging_ends_where_new_real_rows_come_in():
    """Under mix, real rows hold later generations up; replace has a law of its own for them."""
    mixed, replaced = (
        registry().cell(f"half-space(d=100, mu2=0.5) | averaging | {how} @ n=50 T=3")
        for how in ("mix(real=0.5)", "replace")
    )
    first, *rest = registry().predicted(mixed)
    others = registry().predicted(replaced)
    assert first == others[0]
    assert all(math.isnan(value) for value in rest)
    *_, last = generations(mixed.for_seeds(range(200)))
    error = last.scores["error_rate"]
    assert error.mean() + 8 * error.std() / 200**0.5 < others[-1]
