"""Linear worlds with a share of wrong labels: the engine against what is claimed and predicted for it."""

from __future__ import annotations

import math

import pytest
import torch
from holding import EQUIVALENT, LEADING, follow, holds

from collapse_bench import cell_of
from collapse_bench.laws.verify import groups, verdicts
from collapse_bench.plugins.generators.linear import collapse_claims, collapse_theory
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import regression, strong

CLAIMS = [pytest.param(*group, id=group[0]) for group in groups(collapse_claims(), quick=True)]


@pytest.mark.parametrize(("spec", "chains", "claims"), CLAIMS)
def test_every_claim_holds(spec, chains, claims):
    for verdict in verdicts(spec, chains, claims, registry()):
        assert verdict.good, (
            f"{verdict.claim.law}: measured {verdict.measured:.4g}, predicted {verdict.predicted:.4g}"
        )
        assert verdict.error < 0.1 * abs(verdict.predicted), "too few chains to see a tenth"


def predicted(spec):
    return collapse_theory(cell_of(spec, seeds=[0]))


SURROGATE = "first=linear-surrogate(c2=2)"


@pytest.mark.parametrize(
    ("spec", "slack", "known"),
    [
        ("linear(d=3) | ols | replace @ n=16 T=4 growth=0.5", 0, 5),
        ("linear(d=3, fresh=false) | ols | replace @ n=16 T=3", 0, 4),
        ("linear(d=3, sampler=exact-law) | ols | replace @ n=16 T=3 first=linear-surrogate(c2=2)", 0, 4),
        ("linear(d=3) | ols | accumulate @ n=16 T=5 first=ols-chain(rows=20, links=2)", 0, 6),
        ("linear(d=3) | ols | accumulate | nature @ n=16 T=5", 0, 6),
        ("linear(d=3) | ols | mix(real=0.4) @ n=100 T=4", LEADING, 5),
        ("linear(d=3) | ols | mix(real=0.6, fresh=false) @ n=200 T=8", LEADING, 4),
        ("linear(d=3) | ols | iterative-mix(real=0.6) @ n=200 T=7 first=linear-surrogate(c2=2)", LEADING, 3),
        ("linear(d=10) | ols | mix(real=0.4) @ n=400 T=3 first=linear-surrogate(c2=2)", LEADING, 4),
        # 4 and 41 rows: a share of 0.1 would be worth half the risk by the last generation
        ("linear(d=2) | ols | mix(real=0.1) @ n=45 T=7 first=linear-surrogate(c2=9)", LEADING, 8),
        ("linear(d=2) | ols | mix(real=0.3, fresh=false) | nature @ n=60 T=2 growth=1", LEADING, 1),
        ("linear(d=80, sampler=exact-law) | ridge(lam=0.1) | replace @ n=160 T=2", EQUIVALENT, 3),
        ("linear(d=80, beta=1) | ridge(lam=0.1) | accumulate | nature @ n=160 T=2", EQUIVALENT, 3),
        ("linear(d=80) | ridge(lam=0.1) | mix(real=0.3) @ n=160 T=0 first=linear-surrogate(beta=1, noise=0.2)",
         EQUIVALENT, 1),
        ("linear(d=80) | ridge(lam=0.1) | mix(real=0.3) | mix-weights(synthetic=0.2) @ n=160 T=0 "
         "first=linear-surrogate(c2=3)", EQUIVALENT, 1),
        ("linear(d=120) | random-projection(width=90, lam=0.05) | replace @ n=200 T=0", EQUIVALENT, 1),
        ("linear(d=90) | random-features(width=150, lam=0.05, activation=linear) | replace @ n=250 T=0", EQUIVALENT, 1),
    ],
)  # fmt: skip
def test_a_prediction_holds_in_every_generation_for_which_it_is_made(spec, slack, known):
    expected = predicted(spec)
    assert sum(map(math.isfinite, expected)) == known
    chains = 4000 if "d=2" in spec or "d=3" in spec else 600 if "d=10)" in spec else 150
    for k, _, scores, _ in follow(spec, chains):
        if math.isfinite(expected[k - 1]):
            holds(f"{spec} k={k}", scores["excess_risk"], expected[k - 1], slack=slack, sees=0.25)


@pytest.mark.parametrize(
    "spec",
    [
        "linear(d=3) | ols | verify-filter @ n=20 T=2",
        "linear(d=3) | ols | accumulate-subsample @ n=20 T=2",
        "linear(d=3) | ols | replace | distrust @ n=20 T=2",
        "linear(d=3) | ridge | replace @ n=20 T=2",  # a deterministic equivalent wants many rows and covariates
        "linear(d=3, fresh=false) | ols | mix(real=0.5) @ n=20 T=2",
        "linear(d=3) | ols | replace @ n=20 T=2 first=linear",
        "linear(d=3) | random-features | replace @ n=20 T=2",
        f"linear(d=80) | ridge(lam=0.1) | replace | golden-ratio @ n=160 T=0 {SURROGATE}",
    ],
)
def test_nothing_is_predicted_where_no_law_is_known(spec):
    assert predicted(spec) is None


def test_what_lies_beyond_a_law_is_left_open():
    growing = predicted("linear(d=80) | ridge(lam=0.1) | replace @ n=160 T=2 growth=1")
    assert math.isfinite(growing[0])
    assert all(map(math.isnan, growing[1:]))


def test_what_the_leading_order_leaves_out_of_every_round_ends_a_prediction():
    """Without noise the start is all that is left, and its factor is off by p1 p2/n a round."""
    silent = predicted(
        "linear(d=1, noise=0) | ols | mix(real=0.5) @ n=45 T=9 first=linear-surrogate(c2=9)"
    )
    assert [math.isfinite(risk) for risk in silent] == [True] * 2 + [False] * 8
    loud = predicted(
        "linear(d=1, noise=2) | ols | mix(real=0.5) @ n=45 T=9 first=linear-surrogate(c2=9)"
    )
    assert math.isfinite(loud[-1])


def test_the_same_real_rows_settle_once_the_flaw_of_the_source_is_forgotten():
    spec = (
        "linear(d=2) | ols | mix(real=0.3, fresh=false) @ n=100 T=60 first=linear-surrogate(c2={})"
    )
    first = [
        next(t for t in range(1, 61) if math.isfinite(predicted(spec.format(c2))[t]))
        for c2 in (1, 1000)
    ]
    assert first[0] < first[1]


def test_a_chain_of_least_squares_costs_what_an_error_of_its_size_costs():
    # the chain's error is normal with covariance in S^-1: the surrogate of the same excess risk
    chain = regression.ols_chain_then_ridge(100, 300, 5, 200, 0.05, beta=1, src=0.5)
    c2 = regression.ols_replace(100, 300, 5, 0.5)
    assert chain == pytest.approx(
        strong.mixture(100, 200, 0.05, 1, beta1=1, src=0.5, c2=c2, s1=0.5, s2=0.5), rel=1e-6
    )


def test_the_terms_of_a_mixture_add_up_and_only_wrong_labels_cost_more_where_they_are_wrong():
    right, wrong = (strong.mixture_parts(100, 200, 0.05, 0.3, c2=c2, m=150) for c2 in (0.0, 2.0))
    assert right[:2] == pytest.approx(wrong[:2])
    assert right[2] == 0 < wrong[2]
    assert sum(wrong) == pytest.approx(strong.mixture(100, 200, 0.05, 0.3, c2=2.0, m=150))


def test_no_number_of_rows_goes_below_the_floor():
    spec = f"linear(d=20, noise=0.1, sampler=exact-law) | ols | mix(real=0.9) @ n=100000 T=0 {SURROGATE}"
    *_, (_, _, scores, _) = follow(spec, 300)
    holds("floor p2^2 c2", scores["excess_risk"], 0.1**2 * 2, slack=EQUIVALENT)


def test_only_the_ratio_of_the_weights_matters():
    spec = f"linear(d=5) | ridge | mix(real=0.5) | mix-weights(real={{}}, synthetic={{}}) @ n=40 T=2 {SURROGATE}"
    one, other = (
        [g[2]["excess_risk"] for g in _run(spec.format(*weights))]
        for weights in ((1, 0.25), (3, 0.75))
    )
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=0)


def _run(spec):
    from collapse_bench import generations

    cell = cell_of(spec, seeds=range(4))
    return [(now.t, now.teacher, now.scores) for now in generations(cell)]


def test_rows_without_weight_do_not_hide_the_peak():
    """200 rows of which 100 count are 100 rows: least squares in 100 dimensions has no finite risk."""
    spec = (
        "linear(d=100) | ridge(lam=0) | iterative-mix(real=0.5) | "
        "mix-weights(real=1, synthetic={}) @ n=200 T=0 first=linear-surrogate"
    )
    assert registry().predicted(cell_of(spec.format(0))) is None
    assert registry().predicted(cell_of(spec.format(0.5))) is not None
