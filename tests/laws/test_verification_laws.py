"""Classifiers taught by flawed labels that a verifier selects: the engine against the closed forms."""

from __future__ import annotations

import math

import pytest
from holding import EQUIVALENT, follow, holds, slow

from collapse_bench.api import predict
from collapse_bench.errors import NothingMatched
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import verification

# within half a per cent, where the equivalent is claimed within three
CLOSE = 0.005


def accuracies(spec, chains):
    """Accuracy (R,) at each generation."""
    return [1 - scores["error_rate"] for _, _, scores, _ in follow(spec, chains)]


# -- one round ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "law"), [("averaging", "acc_average"), ("least-squares", "acc_ols")]
)
@pytest.mark.parametrize(
    ("p", "phi", "psi", "mu2", "d", "N"),
    [(0.4, 0.8, 0.2, 1.0, 100, 500), slow(0.2, 1.0, 1.0, 0.5, 100, 600)],
)
def test_what_was_selected_and_all_of_what_was_selected(model, law, p, phi, psi, mu2, d, N):
    """N candidates of which a random number passes, or so many more that as many are read as pass on average."""
    predicted = getattr(verification, law)(p, phi, psi, mu2, d, N)
    n = round(((1 - p) * phi + p * psi) * N)
    for oversample, rows in ((1, N), (2.5, n)):
        spec = f"half-space(d={d}, mu2={mu2}) | {model} | verify-filter(oversample={oversample}, phi={phi}, psi={psi})"
        [sample] = accuracies(f"{spec} @ n={rows} T=0 first=noisy-labels(p={p})", 120)
        holds(f"{law} {p} {phi} {psi}, oversample {oversample}", sample, predicted, slack=CLOSE)


def test_the_filter_and_the_mitigation_are_one_selection():
    rule = "phi=0.9, psi=0.4"
    read = f"verify-filter(oversample=1, {rule})", f"replace | oracle-verify({rule}, refill=1)"
    curves = [
        predict(f"half-space | averaging | {how} @ n=150 T=3 first=noisy-labels(p=0.3)")
        for how in read
    ]
    assert curves[0] == pytest.approx(curves[1])
    for how in read:
        spec = f"half-space | averaging | {how} @ n=150 T=3 first=noisy-labels(p=0.3)"
        holds(
            "selection, four rounds", 1 - accuracies(spec, 200)[-1], curves[0][-1], slack=EQUIVALENT
        )


@pytest.mark.parametrize(("phi", "psi"), [(0.9, 0.3), (1.0, 0.25), (0.7, 0.7)])
@pytest.mark.parametrize("model", ["averaging", "least-squares"])
def test_accuracy_flips_at_the_threshold(model, phi, psi):
    """Above one half below it, below one half above it, and one half on it: there labels know nothing."""
    threshold = verification.threshold(phi, psi)
    spec = f"half-space(d=20, mu2=2) | {model} | verify-filter(oversample=1, phi={phi}, psi={psi}) @ n=400 T=0"
    for shift in (-0.08, 0.0, 0.08):
        [sample] = accuracies(f"{spec} first=noisy-labels(p={threshold + shift})", 200)
        mean, error = float(sample.mean()), float(sample.std()) / math.sqrt(len(sample))
        z = (mean - 0.5) / error
        assert abs(z) < 4 if shift == 0 else -math.copysign(1, shift) * z > 8, (shift, mean, error)


def test_half_spaces_that_agree():
    """A verifier that is worse than the source helps it, as its errors are its own."""
    tg, tv, N, d = 0.9, 1.0, 20000, 10
    spec = f"half-space(d={d}, inputs=isotropic, verifier={tv}) | averaging | %s @ n={N} T=0 first=half-space(tilt={tg})"
    [alone], [agreed] = (
        accuracies(spec % "replace", 60),
        accuracies(spec % "verify-filter(oversample=1)", 60),
    )
    holds("halfspace_rows", agreed, verification.halfspace_rows(tg, tv, N, d), sees=0.02)
    holds("the source's own angle", alone, 1 - tg / math.pi, slack=CLOSE, sees=0.02)
    assert agreed.mean() > alone.mean() + 0.03


# -- generation after generation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "half-space(d=80, mu2=0.3) | averaging | replace @ n=160 T=6",
        "half-space(d=80, mu2=0.3) | averaging | replace | oracle-verify(phi=0.9, psi=0.2) @ n=160 T=6",
        "half-space(d=80) | averaging | verify-filter(oversample=1.5, phi=0.9, psi=0.2) @ n=160 T=4 first=noisy-labels(p=0.4)",
        "half-space(d=80) | averaging | replace | nature @ n=160 T=3",
        "half-space(d=50, inputs=isotropic, mu2=9) | averaging | replace @ n=400 T=5",
        "half-space(d=50, inputs=isotropic) | averaging | replace | oracle-verify @ n=400 T=5",
        "half-space(d=50, inputs=isotropic) | averaging | verify-filter @ n=400 T=4 first=half-space(tilt=1.2)",
        "half-space(d=50, inputs=isotropic) | averaging | replace @ n=400 T=4 first=half-space(tilt=0.6)",
    ],
)
def test_predicted_curves(spec):
    curve = predict(spec)
    for t, (sample, predicted) in enumerate(zip(accuracies(spec, 150), curve, strict=True)):
        holds(f"{spec}, t={t}", 1 - sample, predicted, slack=EQUIVALENT)


def test_a_first_fit_by_least_squares_is_predicted_and_no_later_one():
    spec = "half-space(d=80) | least-squares | verify-filter(phi=0.9, psi=0.3) @ n=300 T=1 first=noisy-labels(p=0.3)"
    curve = predict(spec)
    holds("first fit of least squares", 1 - accuracies(spec, 100)[0], curve[0], slack=EQUIVALENT)
    assert math.isnan(curve[1])
    with pytest.raises(NothingMatched, match="no law is known"):
        predict("half-space(d=80) | least-squares | replace @ n=80 T=1")  # rows are too few


def test_averages_are_predicted_until_chains_part():
    """Near the threshold some chains are righted and others inverted, and no curve is that of their mean."""
    spec = "half-space(d=100, mu2=1.7) | averaging | replace | oracle-verify(phi=0.8, psi=0.4) @ n=90 T=3 first="
    near = predict(spec + "noisy-labels(p=0.66)")
    assert [math.isfinite(risk) for risk in near] == [True, False, False, False]
    assert all(map(math.isfinite, predict(spec + "noisy-labels(p=0.1)")))
    assert predict("half-space(mu2=0) | averaging | replace @ n=9 T=2") == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "spec",
    [
        "half-space(d=5) | averaging | replace",
        "half-space(d=25, inputs=isotropic, mu2=0.1) | averaging | replace",
        "half-space | averaging | accumulate",
        "half-space | averaging | replace | distrust",
        "half-space(verifier=0.3) | averaging | replace | oracle-verify",
        "half-space(inputs=isotropic) | least-squares | replace",
        "half-space(inputs=isotropic) | averaging | replace @ first=noisy-labels",
        "half-space | averaging | replace @ first=half-space(tilt=0.3)",
        "half-space | averaging | replace @ growth=1",
    ],
)
def test_where_no_law_is_known_none_is_told(spec):
    cell = registry().cell(spec)
    assert cell.incompatibility() is None
    assert registry().predicted(cell) is None


def test_self_teaching_forgets_where_rows_are_few_and_selection_does_not():
    spec = "half-space(d=80, mu2=0.25) | averaging | replace%s @ n=100 T=25"
    alone, selected = accuracies(spec % "", 60), accuracies(spec % " | oracle-verify", 60)
    assert abs(float(alone[-1].mean()) - 0.5) < 4 * float(alone[-1].std()) / math.sqrt(60) + 0.01
    assert float((selected[-1] - selected[0]).mean()) > 0.0
