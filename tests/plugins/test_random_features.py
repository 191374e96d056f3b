"""Random features against closed forms, and the laws of weights, limits and replicates."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import generations
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.registry.discovery import registry

BATCHES = [(), (2,), (2, 3)]
ACTIVATIONS = ["relu", "tanh", "erf", "cos", "linear"]
D, CLASSES = 7, 4
# (rows, width, lam): tall and wide, normal equations and orthogonal factors, no penalty at all
SHAPES = [
    (60, 20, 1e-2),
    (60, 20, 1e-9),
    (60, 20, 0),
    (20, 60, 1e-2),
    (20, 60, 1e-9),
    (20, 60, 0),
    (30, 30, 0),
]


def model(**settings):
    return dataclasses.replace(registry().build("model", "random-features"), **settings)


def stream(batch, *path):
    return Stream(np.arange(math.prod(batch)).reshape(batch), "/".join(map(str, path)))


def training_set(n, batch=(), labels=False, weight=None, seed="lesson"):
    rng = stream(batch, seed)
    x = rng.normal(n, D)
    y = rng.integers(CLASSES, n) if labels else rng.normal(n).double()
    return Corpus.of(x, y, batch, weight=weight)


def phi(teacher, x):
    """Features of one run in plain numpy."""
    features = teacher.features
    z = x.double().numpy() @ features.F.double().numpy() / math.sqrt(D)
    if features.b is not None:
        z = z + features.b.numpy()
    act = {
        "relu": lambda z: np.maximum(z, 0),
        "tanh": np.tanh,
        "erf": np.vectorize(math.erf),
        "cos": lambda z: math.sqrt(2) * np.cos(z),
        "linear": lambda z: z,
    }
    return act[features.activation](z)


def close(one, other, rtol=1e-8):
    torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * float(other.abs().max()))


# -- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("n", "width"), [(40, 15), (15, 40)])
def test_ridge_is_the_closed_form(activation, n, width):
    weight = stream((), "weight").uniform(n) + 0.1
    corpus = training_set(n, weight=weight)
    teacher = model(width=width, lam=0.03, activation=activation).fit(corpus, stream((), "fit"))
    A, w, y = phi(teacher, corpus.x), weight.numpy(), corpus.y.numpy()
    v = np.linalg.solve(
        A.T @ (w[:, None] * A) / w.sum() + 0.03 * np.eye(width), A.T @ (w * y) / w.sum()
    )
    x = stream((), "exam").normal(9, D)
    close(teacher.mean_answer(x), torch.from_numpy(phi(teacher, x) @ v), 1e-9)


@pytest.mark.parametrize(("n", "width", "lam"), SHAPES)
@pytest.mark.parametrize("path", ["normal", "orthogonal"])
def test_both_roads_solve_the_normal_equations(n, width, lam, path, monkeypatch):
    if path == "normal" and lam < 1e-2:
        pytest.skip("normal equations are left to well-conditioned lessons")
    monkeypatch.setattr(
        "collapse_bench.plugins.models.random_features.THIN", 1e7 if path == "normal" else 0
    )
    corpus = training_set(n, (3,))
    teacher = model(width=width, lam=lam).fit(corpus, stream((3,), "fit"))
    for r in range(3):
        one = dataclasses.replace(
            teacher,
            features=dataclasses.replace(
                teacher.features, F=teacher.features.F[r], b=teacher.features.b[r]
            ),
        )
        A, y, v = phi(one, corpus.x[r]), corpus.y[r].numpy(), teacher.v[r, :, 0].numpy()
        residual = A.T @ (A @ v - y) / n + lam * v
        scale = np.abs(A.T @ y).max() / n + np.linalg.norm(A, 2) ** 2 / n * np.linalg.norm(v)
        assert np.abs(residual).max() < 1e-13 * scale * n


@pytest.mark.parametrize("width", [28, 29, 30, 31, 32])
def test_near_interpolation_the_least_squares_solution_is_exact(width):
    corpus = training_set(30)
    teacher = model(width=width, lam=0, activation="tanh").fit(corpus, stream((), "fit"))
    A, y = phi(teacher, corpus.x), corpus.y.numpy()
    expected = np.linalg.lstsq(A, y, rcond=1e-12)[0]
    close(teacher.v[:, 0], torch.from_numpy(expected), 1e-14 * np.linalg.cond(A) * 100)


def test_the_two_roads_agree(monkeypatch):
    corpus, x = training_set(300, (2,), labels=True), stream((2,), "exam").normal(50, D)
    near = model(lam=1e-4).fit(corpus, stream((2,), "fit")).mean_answer(x)
    monkeypatch.setattr("collapse_bench.plugins.models.random_features.THIN", 0)
    close(near, model(lam=1e-4).fit(corpus, stream((2,), "fit")).mean_answer(x), 1e-8)


def test_a_wide_model_without_penalty_interpolates():
    corpus = training_set(40, (2,), labels=True)
    teacher = model(width=120, lam=0).fit(corpus, stream((2,), "fit"))
    onehot = torch.nn.functional.one_hot(corpus.y, CLASSES).double()
    close(teacher.mean_answer(corpus.x), onehot, 1e-9)
    close(
        model(width=120, lam=1e-12).fit(corpus, stream((2,), "fit")).v, teacher.v, 1e-6
    )  # its limit
    assert torch.equal(teacher.answer(corpus.x, stream((2,), "y")), corpus.y)


def test_without_penalty_rows_that_repeat_are_fitted_by_their_mean():
    x, y = stream((), "x").normal(10, D), stream((), "y").normal(10).double()
    twice = Corpus.of(torch.cat([x, x]), torch.cat([y, -3 * y]), ())
    once = Corpus.of(x, -y, ())
    exam = stream((), "exam").normal(9, D)
    for width in (8, 15, 25):
        learnt = [
            model(width=width, lam=0).fit(c, stream((), "fit")).mean_answer(exam)
            for c in (twice, once)
        ]
        close(*learnt, 1e-7)


def test_without_penalty_a_feature_that_never_fires_gets_no_part():
    rng = stream((), "dead")
    features = model(width=20).fit(training_set(60), rng).features
    features.b[3] = -100.0
    keeper = model(width=20, lam=0, kept=True)
    teacher = keeper.fit(
        training_set(60),
        rng,
        before=dataclasses.replace(model(width=20).fit(training_set(60), rng), features=features),
    )
    A = phi(teacher, training_set(60).x)
    assert (A[:, 3] == 0).all()
    close(teacher.v[:, 0], torch.from_numpy(np.linalg.pinv(A) @ training_set(60).y.numpy()))


# -- limits ---------------------------------------------------------------------------------------------------------


def test_under_a_large_penalty_v_is_the_correlation():
    corpus = training_set(50)
    teacher = model(width=20, lam=1e9).fit(corpus, stream((), "fit"))
    correlation = phi(teacher, corpus.x).T @ corpus.y.numpy() / 50
    close(1e9 * teacher.v[:, 0], torch.from_numpy(correlation), 1e-6)


def test_many_projections_are_ridge_with_penalty_lam_d_over_width():
    corpus, x = training_set(30), stream((), "exam").normal(20, D)
    width, lam = 20_000, 200.0
    wide = (
        model(width=width, lam=lam, activation="linear")
        .fit(corpus, stream((), "fit"))
        .mean_answer(x)
    )
    A = corpus.x.double()
    w = torch.linalg.solve(A.mT @ A / 30 + lam * D / width * torch.eye(D), A.mT @ corpus.y / 30)
    assert (wide - x.double() @ w).abs().max() < 6 * (x.double() @ w).abs().max() / math.sqrt(
        width
    ) * math.sqrt(D)


def test_many_cosines_are_the_gaussian_kernel():
    corpus, x = training_set(30), stream((), "exam").normal(20, D)
    width, lam = 20_000, 400.0
    wide = (
        model(width=width, lam=lam, activation="cos").fit(corpus, stream((), "fit")).mean_answer(x)
    )

    def kernel(a, b):
        return torch.exp(-(torch.cdist(a.double(), b.double()) ** 2) / (2 * D))

    K = kernel(corpus.x, corpus.x)
    exact = kernel(x, corpus.x) @ torch.linalg.solve(K + 30 * lam / width * torch.eye(30), corpus.y)
    assert (wide - exact).abs().max() < 0.05 * exact.abs().max()


# -- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(("n", "width", "lam"), SHAPES)
def test_zero_weight_equals_absent_and_two_equals_twice(n, width, lam, labels):
    corpus = training_set(n, (2,), labels)
    weight = torch.ones(2, n, dtype=torch.float64)
    weight[0, : n // 4], weight[0, n // 4 : n // 2] = 0, 2
    x = stream((2,), "exam").normal(9, D)
    weighed = (
        model(width=width, lam=lam).fit(corpus.weighted(weight), stream((2,), "fit")).mean_answer(x)
    )
    rows = torch.cat([torch.arange(n // 4, n), torch.arange(n // 4, n // 2)])
    plain = Corpus.of(corpus.x[0, rows], corpus.y[0, rows], ())
    close(
        weighed[0], model(width=width, lam=lam).fit(plain, stream((2,), "fit")[0]).mean_answer(x[0])
    )
    close(
        weighed[1], model(width=width, lam=lam).fit(corpus, stream((2,), "fit")).mean_answer(x)[1]
    )


def test_counts_are_weights():
    corpus = training_set(30)
    count = stream((), "count").integers(4, 30)
    counted = Corpus.of(corpus.x, corpus.y, (), count=count)
    x = stream((), "exam").normal(9, D)
    one, other = (
        model(width=10).fit(c, stream((), "fit")).mean_answer(x)
        for c in (counted, corpus.weighted(count.double()))
    )
    assert torch.equal(one, other)


def test_a_label_of_weight_zero_is_never_answered():
    corpus = training_set(60, (2,), labels=True)
    x = stream((2,), "exam").normal(200, D)
    for gone in (1, CLASSES - 1):
        weight = (corpus.y != gone).double()
        teacher = model(width=15, activation="tanh", lam=1e3).fit(
            corpus.weighted(weight), stream((2,), "fit")
        )
        assert not (teacher.answer(x, stream((2,), "y")) == gone).any()
        assert teacher.mean_answer(x).isfinite().all()


# -- replicates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("n", "width", "lam"), [(40, 15, 1e-3), (15, 40, 1e-3), (15, 40, 0)])
def test_replicates_are_runs_of_their_own(batch, labels, n, width, lam):
    corpus, x = training_set(n, batch, labels), stream(batch, "exam").normal(6, D)
    teacher = model(width=width, lam=lam).fit(corpus, stream(batch, "fit"))
    scores = teacher.mean_answer(x)
    assert scores.shape == ((*batch, 6, CLASSES) if labels else (*batch, 6))
    assert teacher.answer(x, stream(batch, "y")).shape == (*batch, 6)
    for r in np.ndindex(*batch):
        alone = model(width=width, lam=lam).fit(corpus[r], stream(batch, "fit")[r])
        close(alone.mean_answer(x[r]), scores[r])


@pytest.mark.parametrize(("n", "width"), [(50, 20), (20, 50)])
def test_work_in_small_pieces_is_the_same(n, width, monkeypatch):
    corpus, x = training_set(n, (3,), labels=True), stream((3,), "exam").normal(30, D)
    whole = model(width=width).fit(corpus, stream((3,), "fit")).mean_answer(x)
    for budget in (1, 3000, 20_000):
        monkeypatch.setattr("collapse_bench.plugins.models.random_features.BUDGET", budget)
        close(model(width=width).fit(corpus, stream((3,), "fit")).mean_answer(x), whole)


def test_vectors_are_answered_entry_by_entry():
    corpus = training_set(30, (2,))
    both = Corpus.of(corpus.x, torch.stack([corpus.y, -2 * corpus.y], -1), (2,))
    x = stream((2,), "exam").normal(5, D)
    single, double = (
        model(width=10).fit(c, stream((2,), "fit")).mean_answer(x) for c in (corpus, both)
    )
    close(double, torch.stack([single, -2 * single], -1))


def test_images_with_rows_and_columns_are_flattened():
    corpus = training_set(20, (2,))
    square = Corpus.of(torch.cat([corpus.x] * 2, -1).reshape(2, 20, 2, 7), corpus.y, (2,))
    teacher = model(width=10).fit(square, stream((2,), "fit"))
    assert teacher.mean_answer(square.x).shape == (2, 20)


# -- blending and validation ----------------------------------------------------------------------------------------


def test_teachers_of_kept_features_blend_linearly():
    x, keeper = stream((2,), "exam").normal(5, D), model(width=10, kept=True)
    first = keeper.fit(training_set(30, (2,), labels=True), stream((2,), "a"))
    second = keeper.fit(
        training_set(30, (2,), labels=True, seed="next"), stream((2,), "b"), before=first
    )
    close(
        first.blend(second, 0.3).mean_answer(x),
        0.7 * first.mean_answer(x) + 0.3 * second.mean_answer(x),
        1e-12,
    )


def test_other_features_are_not_blended():
    first, second = (model(width=10).fit(training_set(30), stream((), name), None) for name in "ab")
    with pytest.raises(Incompatible, match="kept=true"):
        first.blend(second, 0.5)
    with pytest.raises(Incompatible, match="kept=true"):
        first.blend(model(width=10).fit(training_set(30, labels=True), stream((), "a")), 0.5)


def test_a_blend_answers_the_labels_of_both():
    x = stream((), "x").normal(40, D)
    few, keeper = Corpus.of(x, (x[:, 0] > 0).long(), ()), model(width=30, kept=True)
    many = Corpus.of(x, 2 + (x[:, 1] > 0).long(), ())
    first = keeper.fit(few, stream((), "a"))
    blended = first.blend(keeper.fit(many, stream((), "b"), before=first), 0.5)
    assert blended.answer(x, None).unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(("n", "width"), [(50, 20), (20, 50)])
def test_validation_chooses_the_best_penalty_of_its_grid(n, width, labels):
    batch = (2, 3)
    corpus, rows = (
        training_set(n, batch, labels),
        training_set(33, batch, labels, seed="validation"),
    )
    base = model(width=width, lam=1e-2)
    chosen = base.with_validation(rows).fit(corpus, stream(batch, "fit"))
    losses, all_v = [], []
    for k in range(-4, 4):
        teacher = dataclasses.replace(base, lam=1e-2 * 10.0**k).fit(corpus, stream(batch, "fit"))
        y = torch.nn.functional.one_hot(rows.y, CLASSES).double() if labels else rows.y
        gap = (teacher.mean_answer(rows.x) - y) ** 2
        losses.append(gap.sum((-2, -1)) if labels else gap.sum(-1))
        all_v.append(teacher.v)
    best = torch.stack(losses).argmin(0)
    assert len(best.unique()) > 1 or best.unique() != 0
    for r in np.ndindex(*batch):
        close(chosen.v[r], all_v[int(best[r])][r])


def test_validation_rows_without_weight_are_absent():
    corpus, rows = training_set(30), training_set(40, seed="validation")
    weight = torch.cat([torch.ones(20), torch.zeros(20)]).double()
    one = model(width=20).with_validation(rows.weighted(weight)).fit(corpus, stream((), "fit"))
    other = (
        model(width=20)
        .with_validation(Corpus.of(rows.x[:20], rows.y[:20], ()))
        .fit(corpus, stream((), "fit"))
    )
    close(one.v, other.v)


# -- in the loop ----------------------------------------------------------------------------------------------------


def test_a_lesson_that_is_not_finite_spoils_its_own_run_alone():
    corpus = training_set(30, (2,))
    y = corpus.y.clone()
    y[0, 3] = torch.inf
    for lam in (1e-3, 0):
        teacher = model(width=10, lam=lam).fit(corpus.edited(y=y), stream((2,), "fit"))
        assert teacher.mean_answer(corpus.x)[1].isfinite().all()
        assert not teacher.mean_answer(corpus.x)[0].isfinite().any()


def test_features_are_new_in_each_generation_unless_kept():
    def drawn(spec):
        cell = registry().cell(
            f"digits | random-features({spec}) | replace @ n=30 T=2", seeds=(0, 1)
        )
        return [now.teacher.features.F for now in generations(cell)]

    fresh, kept = drawn("width=10"), drawn("width=10, kept=true")
    assert not torch.equal(fresh[0], fresh[1])
    assert torch.equal(kept[0], kept[2])
    assert torch.equal(fresh[0], kept[0])
