"""Linear regression on labels that its own predecessors wrote: the engine against closed forms."""

from __future__ import annotations

import closed_forms as law
import pytest
from holding import EQUIVALENT, LEADING, follow, holds, slow, z_of
from scipy.stats import binom

SAMPLERS = ("explicit", "exact-law")


# -- least squares -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("d", "T", "growth", "noise", "beta", "k"),
    [(4, 30, 0, 1.0, 0, 6), (3, 16, 0.5, 2.0, 1.5, 5), (5, 25, 1, 0.3, 0, 3)],
)
def test_replace(sampler, d, T, growth, noise, beta, k):
    data = f"linear(d={d}, noise={noise}, beta={beta}, sampler={sampler})"
    for i, _, scores, _ in follow(
        f"{data} | ols | replace @ n={T} T={k - 1} growth={growth}", 10000
    ):
        if i in (1, k):
            name = f"OLS replace {sampler}: d={d} T={T} growth={growth} noise={noise} beta={beta} k={i}"
            holds(name, scores["excess_risk"], law.ols_replace(d, law.sizes(T, i, growth), noise))


@pytest.mark.parametrize(("d", "T"), [(4, 30), (2, 12)])
def test_replace_with_the_same_questions(d, T):
    for k, _, scores, _ in follow(f"linear(d={d}, fresh=false) | ols | replace @ n={T} T=5", 10000):
        if k in (2, 6):
            name = f"OLS replace, same X: d={d} T={T} k={k}"
            holds(name, scores["excess_risk"], law.ols_replace(d, [T] * k))


@pytest.mark.parametrize(
    ("sampler", "fresh"), [("explicit", True), ("exact-law", True), ("explicit", False)]
)
@pytest.mark.parametrize(("d", "T"), [(4, 30), (6, 20)])
def test_accumulate(sampler, fresh, d, T):
    data = f"linear(d={d}, noise=0.7, fresh={str(fresh).lower()}, sampler={sampler})"
    for k, _, scores, _ in follow(f"{data} | ols | accumulate @ n={T} T=11", 10000):
        if k in (1, 3, 12):
            name = f"OLS accumulate {sampler}, {'fresh' if fresh else 'same'} X: d={d} T={T} k={k}"
            holds(name, scores["excess_risk"], law.ols_accumulate(d, T, k, 0.7, same_x=not fresh))


def test_accumulate_tells_fresh_questions_from_the_same_ones():
    *_, (k, _, scores, _) = follow("linear(d=6, fresh=false) | ols | accumulate @ n=20 T=11", 10000)
    assert z_of(scores["excess_risk"], law.ols_accumulate(6, 20, k))[2] > 8


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("d", "T", "pi"), [(2, 100, 0.1), slow(5, 200, 0.4)])
def test_fresh_mix(sampler, d, T, pi):
    spec = f"linear(d={d}, sampler={sampler}) | ols | mix(real={pi}) @ n={T} T=40"
    *_, (_, _, scores, _) = follow(spec, 4000)
    name = f"OLS fresh mix {sampler}: d={d} T={T} pi={pi}"
    holds(name, scores["excess_risk"], law.ols_mix(d, T, pi), slack=LEADING)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("d", "T", "pi"), [(2, 400, 0.25), slow(3, 300, 0.5)])
def test_fixed_mix(sampler, d, T, pi):
    spec = f"linear(d={d}, sampler={sampler}) | ols | mix(real={pi}, fresh=false) @ n={T} T=25"
    *_, (_, _, scores, _) = follow(spec, 4000)
    name = f"OLS fixed mix {sampler}: d={d} T={T} pi={pi}"
    holds(name, scores["excess_risk"], law.ols_mix_fixed(d, T, pi), slack=LEADING)


# -- a flawed source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n", "p2", "signal"), [(80, 400, 0.5, 0.5), slow(100, 1000, 0.2, 2.0)]
)
def test_strong_collapse_with_a_flawed_first_teacher(d, n, p2, signal):
    # the flawed source draws weights of its own: c2 = E |w2 - w1|^2 = 2 signal
    data = f"linear(d={d}, signal={signal})"
    spec = f"{data} | ols | mix(real={1 - p2}) @ n={n} T=2 first={data}"
    for k, _, scores, _ in follow(spec, 200):
        expected = law.strong_mix_iterated(d, n, p2, k - 1, 2 * signal)
        name = f"OLS on a share of a flawed source's labels: d={d} n={n} p2={p2} c2={2 * signal} t={k - 1}"
        holds(name, scores["excess_risk"], expected, slack=EQUIVALENT if k == 1 else LEADING)
    assert law.strong_mix_iterated(d, n, p2, 0, 2 * signal) == pytest.approx(
        law.strong_mix(d, n, p2, 2 * signal)
    )


# -- ridge ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n", "lam", "beta", "source", "sampler"),
    [
        (80, 160, 0.1, 0, 0, "exact-law"),
        (100, 250, 0.02, 1, 0.5, "exact-law"),
        (120, 80, 0.05, 1, 0, "explicit"),
    ],
)
def test_ridge_in_every_generation(d, n, lam, beta, source, sampler):
    data = f"linear(d={d}, noise=0.5, beta={beta}, source={source}, sampler={sampler})"
    for k, _, scores, _ in follow(f"{data} | ridge(lam={lam}) | replace @ n={n} T=4", 300):
        if k in (1, 2, 5):
            expected = law.ridge_iterated(d, n, lam, k, beta, source, 1.0, 0.5)
            name = (
                f"ridge replace {sampler}: d={d} n={n} lam={lam} beta={beta} source={source} k={k}"
            )
            holds(name, scores["excess_risk"], expected, slack=EQUIVALENT)


def test_least_squares_without_noise_forgets_where_rows_are_fewer_than_columns():
    for k, _, scores, _ in follow("linear(d=90, noise=0) | ols | replace @ n=60 T=3", 400):
        expected = 1 - (60 / 90) ** k
        holds(
            f"OLS of least norm, no noise: d=90 n=60 k={k}",
            scores["excess_risk"],
            expected,
            slack=EQUIVALENT,
        )


# -- controls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nature_stays_at_the_risk_of_one_fit(sampler):
    for k, _, scores, _ in follow(
        f"linear(d=3, sampler={sampler}) | ols | replace | nature @ n=20 T=6", 10000
    ):
        if k in (1, 2, 7):
            name = f"OLS, nature under replace {sampler}: d=3 T=20 k={k}"
            holds(name, scores["excess_risk"], law.ols_replace(3, [20]))


@pytest.mark.parametrize(("phi", "oversample", "T"), [(1.0, 1, 24), (0.5, 4, 24), slow(0.5, 2, 40)])
def test_a_verifier_that_cannot_tell_keeps_the_law_of_replace(phi, oversample, T):
    d = 3
    written = round(oversample * T)
    # rows that pass, T of them at most
    passed = {min(m, T): 0.0 for m in range(d + 2, written + 1)}
    for m in range(d + 2, written + 1):
        passed[min(m, T)] += binom.pmf(m, written, phi)
    later = sum(p * law.ols_replace(d, [m]) for m, p in passed.items())
    protocol = f"verify-filter(oversample={oversample}, phi={phi}, psi={phi})"
    for k, _, scores, _ in follow(f"linear(d={d}) | ols | {protocol} @ n={T} T=4", 20000):
        if k in (1, 2, 5):
            expected = law.ols_replace(d, [T]) + (k - 1) * later
            name = (
                f"OLS verify-filter, phi = psi = {phi}, oversample={oversample}: d={d} T={T} k={k}"
            )
            holds(name, scores["excess_risk"], expected)


def test_a_verifier_that_can_tell_breaks_it():
    *_, (_, _, scores, _) = follow(
        "linear(d=3) | ols | verify-filter(phi=1, psi=0) @ n=24 T=4", 20000
    )
    assert z_of(scores["excess_risk"], law.ols_replace(3, [24] * 5))[2] < -8
