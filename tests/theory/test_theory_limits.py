"""Where a law must reduce to another, to a slow twin of itself, or to what needs no calculation."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from settings_of_laws import SETTINGS

from collapse_bench import theory
from collapse_bench.theory import (
    _special,
    _spectra,
    discrete,
    gaussian,
    gcd,
    growing,
    kde,
    regression,
    strong,
    tails,
    verification,
    worlds,
)


def near(value, rel=1e-9, abs=0.0):
    return pytest.approx(value, rel=rel, abs=abs)


# -- no fit, infinitely many rows -----------------------------------------------------------------------------------

#: what is known when nothing has been fitted: the truth
NOTHING = {
    **{name: 0.0 for name in theory.laws() if name.startswith("gaussian.w2_")},
    **{
        f"gaussian.{name}": 1.0
        for name in ("sample_var", "sigma_mean", "acc_v", "accsub_v", "mix_v")
    },
    **{
        f"gaussian.{name}": 0.0
        for name in ("acc_e", "accsub_e", "mix_e", "acc_w2_leading", "logsigma_mean")
    },
    **{f"gaussian.{name}": 0.0 for name in ("logsigma_var", "nd_frechet_leading", "nd_logdet")},
    "gaussian.nd_trS2": 3.0,
    **{f"regression.{name}": 0.0 for name in ("ols_replace", "ols_accumulate", "ridge_iterated")},
    **{f"tails.{name}": 0.0 for name in ("gens_resample", "gens_mislabel", "gens_relabel")},
    **{
        f"discrete.{name}": 0.0
        for name in ("l2_drift", "missing_mass", "kl_replace", "kl_accumulate")
    },
    **{f"discrete.{name}": 20.0 for name in ("support", "support_branching")},
    **{f"kde.{name}": 1.0 for name in ("var", "var_scaled", "acc_var")},
    "kde.mise": 0.0,
}


@pytest.mark.parametrize("name", sorted(NOTHING))
def test_without_a_fit_the_truth_is_left(name):
    count = {"k", "t", "g"} & set(theory.laws()[name].parameters)
    setting = {p: v for p, v in SETTINGS[name].items() if p != "sigma"} | dict.fromkeys(count, 0)
    assert theory.evaluate(name, **setting) == NOTHING[name]


def test_without_a_fit_the_first_labeller_and_the_first_heterozygosity_are_left():
    assert strong.iter_mix(40, 400, 0.3, 0, c2=1.7) == near(1.7)
    p = np.arange(1, 21) ** -1.1 / (np.arange(1, 21) ** -1.1).sum()
    for law in (discrete.heterozygosity, discrete.H_accumulate):
        assert law(20, 1.1, 30, 0) == near(1 - (p**2).sum())
    assert discrete.survive_count(3.0, 0) == near(1 - math.exp(-3))


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("M", [10**6, 10**8, 10**9, 10**15])
def test_many_rows_leave_the_leading_order_to_all_digits(M, ddof):
    for exact, leading in (
        (gaussian.w2_mean, gaussian.w2_mean_leading),
        (gaussian.w2_var, gaussian.w2_var_leading),
    ):
        assert exact(M, 5, 1.3, 0.4, ddof) == near(
            leading(M, 5, 1.3, 0.4, ddof), 1e-5 if M == 10**6 else 1e-6
        )
    typical = -5 / (2 * M) if ddof else -5 / M
    assert gaussian.logsigma_mean(M, 5, 1.0, ddof) == near(typical, 1e-5)
    assert gaussian.acc_e(M, 4, 1.0, ddof) == near(gaussian.acc_w2_leading(M, 4) / 1.5, 1e-5)
    later = sum(1 / j**2 for j in range(2, 101))
    assert gaussian.accsub_e(M, 100, 1.0, ddof) == near(
        (1 + 3 * later) / M, 1e-4 if M < 10**8 else 1e-6
    )
    assert kde.var(M, 0.1, 8) == near(1.07, 1e-5)


def test_the_two_parts_of_an_integrated_error_keep_their_digits():
    """Of a narrow kernel on very many rows: bias and noise are both far below the rounding of the whole."""
    bias = 3 / 8 / math.sqrt(math.pi) * (1e-3**2 / 2) ** 2  # h^4/4 int p''^2
    noise = (1e3 - 1) / (2 * math.sqrt(math.pi) * 10**16)
    assert kde.mise(10**16, 1e-3, 1) == near(bias + noise, 1e-4)


def test_one_fit_is_the_same_whatever_follows():
    """Replace, accumulate, subsample and mix begin alike, and so do all batches."""
    for ddof in (0, 1):
        v = 1.69 * (1 if ddof else 1 - 1 / 7)
        assert gaussian.acc_v(7, 1, 1.3, ddof) == near(v)
        assert gaussian.accsub_v(7, 1, 1.3, ddof) == near(v)
        assert gaussian.mix_v(7, 0.4, 1, 1.3, ddof) == near(v)
        for e in (
            gaussian.acc_e(7, 1, 1.3, ddof),
            gaussian.accsub_e(7, 1, 1.3, ddof),
            gaussian.mix_e(7, 0.4, 1, 1.3, ddof),
        ):
            assert e == near(1.69 / 7)
    assert (
        kde.var(7, 0.3, 1, 1.3)
        == near(1.69 * 6 / 7)
        == kde.acc_var(7, 0.3, 1, 1.3)
        == kde.var_scaled(7, 0.3, 1, 1.3)
    )


# -- Gaussians ------------------------------------------------------------------------------------------------------


def textbook_moments(M, k, ddof):
    """E and Var of W2^2 by the plain moments E D^a s^b, in rationals but for two irrational factors."""
    from scipy.special import gammaln

    rho = [
        math.exp(gammaln((M - 1 + b) / 2) - gammaln((M - 1) / 2)) * (2 / (M - ddof)) ** (b / 2)
        for b in range(5)
    ]
    zero, two, four = [1.0] * 5, [0.0] * 3, 0.0
    for _ in range(k):
        four += 6 * two[2] / M + 3 * zero[4] / M**2
        two = [rho[b] * (two[b] + zero[b + 2] / M) for b in range(3)]
        zero = [rho[b] * zero[b] for b in range(5)]
    mean = two[0] + zero[2] - 2 * zero[1] + 1
    spread = zero[4] - 4 * zero[3] + 6 * zero[2] - 4 * zero[1] + 1
    return mean, four + 2 * (two[2] - 2 * two[1] + two[0]) + spread - mean**2


@pytest.mark.parametrize(
    ("M", "k", "ddof"), [(2, 3, 1), (2, 3, 0), (5, 40, 1), (13, 6, 0), (40, 25, 1)]
)
def test_centred_moments_are_the_plain_ones(M, k, ddof):
    mean, variance = textbook_moments(M, k, ddof)
    assert gaussian.w2_mean(M, k, ddof=ddof) == near(mean)
    assert gaussian.w2_var(M, k, ddof=ddof) == near(variance)


def test_sizes_grow_as_declared():
    assert gaussian.w2_mean_leading(10, 3, growth=0.5) == near(1.5 * (1 / 10 + 1 / 14 + 1 / 17))
    assert gaussian.w2_mean(10, 3, growth=0.0) == gaussian.w2_mean(10, 3)


def test_units():
    for name in ("w2_mean", "w2_mean_leading", "sample_var"):
        law = getattr(gaussian, name)
        assert law(9, 4, 3.0) == near(9 * law(9, 4))
    for name in ("w2_var", "w2_var_leading", "w2_var_as_published"):
        law = getattr(gaussian, name)
        assert law(9, 4, 3.0) == near(81 * law(9, 4))
    assert gaussian.sigma_mean(9, 4, 3.0) == near(3 * gaussian.sigma_mean(9, 4))
    assert gaussian.logsigma_mean(9, 4, 3.0) == near(math.log(3) + gaussian.logsigma_mean(9, 4))
    assert kde.mise(9, 0.6, 4, 3.0) == near(kde.mise(9, 0.2, 4) / 3)


def test_one_dimension_of_many():
    assert gaussian.nd_frechet_leading(1, 50, 3) == near(gaussian.w2_mean_leading(50, 3))
    assert gaussian.nd_logdet(1, 50, 3) == near(2 * gaussian.logsigma_mean(50, 3))
    assert gaussian.nd_trS2(1, 50, 3) == near((1 + 2 / 49) ** 3)  # E s^4
    assert gaussian.nd_frechet_leading(6, 50, 3) == near(3 / 50 * (6 + 6 * 7 / 4))


def test_pools_in_the_long_run():
    assert gaussian.acc_v(6, 10**6, 1.3) == near(gaussian.acc_limit_v(6, 1.3), 1e-6)
    assert gaussian.acc_v(6, 9, 1.3) + gaussian.acc_e(6, 9, 1.3) == near(1.69)
    assert gaussian.accsub_v(10, 10**5) == near(0.7390, 1e-4)
    assert gaussian.accsub_v(10, 20000, ddof=1) / gaussian.accsub_v(10, 10000, ddof=1) == near(
        2**0.1, 1e-3
    )


def test_mixes_with_and_without_real_rows():
    assert gaussian.mix_v(8, 0.0, 5) == near((1 - 1 / 8) ** 5)
    assert gaussian.mix_e(8, 0.0, 5, ddof=1) == near(5 / 8)
    assert gaussian.mix_e(8, 1.0, 5) == near(1 / 8) == gaussian.mixfixed_e(8, 1.0, 5)
    e = gaussian.mix_e(20, 0.3, 10**6, 1.3)
    assert e == near(1.69 / (0.7 + 20 * 0.3 * 1.7))
    assert gaussian.mix_v(20, 0.3, 10**6, 1.3) == near(1.69 - e)
    K = 0.7 / (20 * 0.3 * 1.7 + 0.7)
    assert gaussian.mixfixed_v(20, 0.3, 10**6, 1.3) == near(1.69 * 5 / 6 * (1 - K))
    assert gaussian.mixfixed_e(20, 0.3, 10**6, 1.3) == near(1.69 * (1 / 6 + 5 / 6 * K))
    # the first fit is one to real rows, whatever is kept of them
    assert gaussian.mixfixed_e(20, 0.3, 1, 1.3) == near(1.69 / 20)
    assert gaussian.mixfixed_v(20, 0.3, 1, 1.3) == near(1.69 * 19 / 20)


def test_shares_of_real_rows_are_those_of_whole_rows():
    """As the loop rounds them."""
    for law, given in (
        (gaussian.mix_v, {"t": 3}),
        (gaussian.mix_e, {"t": 3}),
        (gaussian.mixfixed_v, {"t": 3}),
        (gaussian.mixfixed_e, {"t": 3}),
        (discrete.l2_mix_limit, {"K": 5, "beta": 1.0}),
    ):
        assert law(M=10, pi=0.27, **given) == law(M=10, pi=0.3, **given)
        assert law(M=10, pi=0.27, **given) != law(M=10, pi=0.2, **given)
    assert gcd.said(3, 10, 2, 0.1, pi=0.27) == gcd.said(3, 10, 2, 0.1, pi=0.3)


def test_the_best_weight_of_the_mean_is_the_golden_one():
    golden = (math.sqrt(5) - 1) / 2
    best = gaussian.weighted_mean_limit(7, 7, golden)
    assert best < min(gaussian.weighted_mean_limit(7, 7, golden + step) for step in (-1e-3, 1e-3))
    assert gaussian.weighted_mean_limit(4, 9, 1.0, 1.3) == near(1.69 / 4)
    assert gaussian.weighted_mean_limit(4, 9, 0.0) == math.inf


# -- strong collapse and regression ---------------------------------------------------------------------------------

SETTING = {"d": 70, "beta1": 0.9, "src": 0.4, "r2": 1.3, "c2": 0.8, "s1": 0.6, "s2": 0.9}


@pytest.mark.parametrize("n", [40, 69, 70, 200])  # 69: where plain iteration creeps
@pytest.mark.parametrize("lam", [1e-9, 1e-6, 1e-2, 3.0])
@pytest.mark.parametrize("p2", [0.0, 0.3, 1.0])
def test_two_solvers_agree_where_covariances_are_equal(n, lam, p2):
    assert strong.mixture(n=n, lam=lam, p2=p2, beta2=0.9, **SETTING) == near(
        strong.mixture_equal(n=n, lam=lam, p2=p2, **SETTING), 1e-7
    )


@pytest.mark.parametrize(("n", "m"), [(40, 20), (40, 39), (40, 60), (200, 50), (200, 90)])
def test_equal_covariances_under_a_projection(n, m):
    """kappa (1 - df_1/n)(1 - df_1/m) = lam d/m; with all labels true and no noise only the bias is left."""
    d, lam = 70, 0.02
    S = np.arange(1.0, d + 1) ** -0.9
    df = lambda kappa: (S / (S + kappa)).sum()  # noqa: E731
    low, high = 1e-12, 1e6
    for _ in range(200):  # both factors positive only beyond the largest root
        kappa = math.sqrt(low * high)
        left, right = 1 - df(kappa) / n, 1 - df(kappa) / m
        small = min(left, right) <= 0 or kappa * left * right < lam * d / m
        low, high = (kappa, high) if small else (low, kappa)
    fit = strong._mixture((S, S), n, 0.3, lam, (1.0, 1.0), m, strong.DIAGONAL, S.min())
    t, A, _, s = fit.solve()
    assert s / t[0] == near(kappa, 1e-9)
    assert t[0] == t[1] == near(1 - df(kappa) / n, 1e-9)
    assert near((S * t[0]).sum()) == A.sum()


def test_infinitely_many_features_are_none():
    for n in (40, 200):
        wide = strong.mixture(
            n=n, lam=0.05 * 10**9 / 70, p2=0.3, beta2=0.2, a1=1.3, a2=0.5, m=10**9, **SETTING
        )
        assert wide == near(
            strong.mixture(n=n, lam=0.05, p2=0.3, beta2=0.2, a1=1.3, a2=0.5, **SETTING), 1e-6
        )


def test_the_general_solver_by_plain_iteration_and_a_difference_quotient():
    """A slow twin: iterate the fixed point, perturb it by h S1, and differentiate numerically."""
    d, n, lam, m, p, a = 30, 50, 0.07, 40, (0.6, 0.4), (1.3, 0.6)
    S = [np.arange(1.0, d + 1) ** -b for b in (0.9, 0.3)]
    gamma, delta = S[0] ** 0.5, 0.02 / S[0]

    def fixed(h):
        s, t = lam, np.ones(2)
        for _ in range(20000):
            A = p[0] * t[0] * S[0] + p[1] * t[1] * S[1]
            Q = 1 / (A + h * S[0] + s)
            t = np.array([ak / (1 + ak * (Sk * Q).sum() / n) for ak, Sk in zip(a, S, strict=True)])
            A = p[0] * t[0] * S[0] + p[1] * t[1] * S[1]
            theta = 1 - ((A + h * S[0]) * Q).sum() / m
            s += 0.2 * (lam * d / m / theta - s)
        return t, A, 1 / (A + h * S[0] + s)

    def parts(h):  # whose derivatives are variance, bias and the cost of wrong labels
        t, A, Q = fixed(h)
        kept = p[1] * t[1] * S[1]
        return np.array(
            [p[0] * t[0], p[1] * t[1], gamma @ (A - A**2 * Q), delta @ (kept - kept**2 * Q)]
        )

    step = 1e-5
    slope = (parts(step) - parts(-step)) / (2 * step)
    _, A, Q = fixed(0.0)
    bias = slope[2] + gamma @ (S[0] - 2 * A * Q * S[0])
    slow = 0.5 * slope[0] + 0.2 * slope[1] + bias + slope[3]
    fit = strong._mixture(tuple(S), n, p[1], lam, a, m, strong.DIAGONAL, S[1].min())
    assert fit.risk(gamma, delta, (0.5, 0.2)) == near(slow, 1e-6)
    dense = strong._mixture(tuple(map(np.diag, S)), n, p[1], lam, a, m, strong.DENSE, S[1].min())
    assert dense.risk(np.diag(gamma), np.diag(delta), (0.5, 0.2)) == near(slow, 1e-6)


def test_least_squares_is_the_limit_of_ridge():
    setting = {"d": 60, "n": 150, "p2": 0.3, "c2": 1.4, "s1": 0.5, "s2": 0.8}
    exact = strong.iso_ridgeless(**setting)
    assert strong.mixture_equal(lam=0.0, **setting) == near(exact)
    assert strong.mixture_equal(lam=1e-10, **setting) == near(exact, 1e-8)
    assert strong.mixture(lam=0.0, **setting) == near(exact, 1e-10)


@pytest.mark.parametrize(("n", "beta"), [(40, 0.9), (69, 0.9), (71, 0.9), (40, 4.0), (200, 4.0)])
def test_no_ridge_is_the_limit_for_steep_spectra_too(n, beta):
    setting = {"d": 70, "n": n, "lam": 0, "p2": 0.3, "beta1": beta, "c2": 1.4, "s1": 0.5}
    assert strong.mixture(**setting) == near(strong.mixture_equal(**setting), 1e-7)
    # weights do not matter to an interpolation
    if n < 70:
        assert strong.mixture(**setting, a1=3.0) == near(strong.mixture(**setting), 1e-7)


def test_features_that_span_the_inputs_do_not_matter_to_least_squares():
    setting = {"d": 50, "n": 120, "lam": 0, "p2": 0.3, "beta1": 1.0}
    assert strong.mixture(m=200, **setting) == near(strong.iso_ridgeless(50, 120, 0.3), 1e-8)


def test_the_floor_of_a_mixture():
    """Quadratic in the share of wrong labels, and moved but not removed by weights."""
    setting = {"d": 50, "n": 10**7, "lam": 1e-9, "p2": 0.3, "c2": 1.4}
    assert strong.mixture(**setting) == near(0.09 * 1.4, 1e-4)
    floor = 1.4 * (0.3 * 0.5 / (0.7 * 2 + 0.3 * 0.5)) ** 2
    assert strong.mixture(**setting, a1=2.0, a2=0.5) == near(floor, 1e-3)
    one = strong.mixture(30, 50, 0.1, 0.0, s1=0.7, a2=0.0)
    assert one == near(strong.mixture(30, 50, 0.1, 0.0, s1=0.7))


def test_shares_are_those_of_whole_rows():
    assert strong.mixture_equal(30, 50, 0.1, 0.305) == strong.mixture_equal(30, 50, 0.1, 0.3)
    assert strong.mixture(30, 50, 0.1, 0.305) == strong.mixture(30, 50, 0.1, 0.3)


def test_the_diagonal_solver_is_quick():
    spent = []
    for m in (None, 90, 119, 4000):
        start = time.process_time()
        strong.mixture(120, 130, 0.0, 0.4, beta1=1.0, beta2=0.4, a1=1.3, a2=0.6, m=m)
        spent.append(time.process_time() - start)
    assert max(spent[1:]) < 0.05


def test_iterated_mixing_in_the_long_run():
    u, p2 = 40 / 360, 0.5
    rho = p2**2 + (1 - p2) * p2 * u
    assert strong.iter_mix(40, 400, 0.5, 200, c2=3.0, s=0.7) == near(0.49 * u / (1 - rho))
    assert strong.iter_mix(40, 400, 0.5, 1, c2=3.0, s=0.7) == near(
        strong.iso_ridgeless(40, 400, 0.5, 3.0, 0.7, 0.7)
    )
    assert strong.iter_mix(40, 400, 1.0, 5, c2=3.0, s=0.7) == near(5 * 0.49 * u + 3)
    assert strong.iter_mix(40, 400, 0.0, 5, c2=3.0, s=0.7) == near(0.49 * u)


@pytest.mark.parametrize("n", [30, 60, 61, 300])
@pytest.mark.parametrize("lam", [1e-12, 1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("beta", [0.0, 1.3])
def test_the_effective_ridge_solves_its_equation(n, lam, beta):
    S = _spectra.power_law(60, beta)
    kappa = _spectra.effective_ridge(S, n, lam)
    for factor, sign in ((1 - 1e-9, -1), (1 + 1e-9, 1)):  # the root lies between
        x = kappa * factor
        exact = (
            Fraction(x)
            - Fraction(lam)
            - Fraction(x) * sum(Fraction(l) / Fraction(l + x) for l in S.tolist()) / n  # noqa: E741
        )
        assert exact * sign > 0 or (n == 60 and lam == 1e-12)


def test_one_round_of_ridge_is_ridge():
    setting = {"d": 60, "n": 90, "lam": 0.05, "src": 0.4, "r2": 1.3}
    plain = strong.mixture_equal(p2=0.0, beta1=0.8, s1=0.6, **setting)
    assert regression.ridge_iterated(k=1, beta=0.8, s=0.6, **setting) == near(plain)
    chain = {"d": 60, "T": 90, "lam": 0.05, "src": 0.4, "r2": 1.3, "beta": 0.8, "s": 0.6}
    assert regression.ols_chain_then_ridge(T0=1, g=0, **chain) == near(plain)
    behind = 3 * 0.49 * 60 / (200 - 61)  # the chain is a wrong model of that excess risk
    wrong = strong.mixture_equal(p2=1.0, beta1=0.8, s2=0.6, c2=behind, **setting)
    assert regression.ols_chain_then_ridge(T0=200, g=3, s0=0.7, **chain) == near(wrong)


def test_ridge_without_ridge():
    for k in (1, 4):
        assert regression.ridge_iterated(60, 150, 0.0, k, s=0.7) == near(k * 0.49 * 60 / 90)
        assert regression.ridge_iterated(60, 20, 0.0, k, beta=0.0, s=0.0, r2=1.3) == near(
            1.3 * (1 - (1 / 3) ** k)
        )
    assert regression.ridge_iterated(60, 150, 1e-9, 3) == near(
        regression.ridge_iterated(60, 150, 0.0, 3), 1e-6
    )


def test_least_squares_over_rounds():
    one = regression.ols_replace(5, 30, 1, 0.7)
    assert one == near(0.49 * 5 / 24)
    assert regression.ols_replace(5, 30, 7, 0.7) == near(7 * one)
    for same in (False, True):
        assert regression.ols_accumulate(5, 30, 1, 0.7, same_x=same) == near(one)
    assert regression.ols_accumulate(5, 30, 10**6, 0.7, same_x=True) == near(
        one * math.pi**2 / 6, 1e-5
    )
    assert regression.ols_accumulate(5, 30, 9, 0.7) < regression.ols_accumulate(
        5, 30, 9, 0.7, same_x=True
    )
    assert (
        regression.ols_mix_fresh(5, 30, 1.0, 0.7)
        == near(one)
        == regression.ols_mix_fixedreal(5, 30, 1.0, 0.7)
    )
    assert regression.ols_mix_fresh(5, 30, 0.0, 0.7) == math.inf
    assert regression.ols_mix_fresh(20, 24, 0.1) == math.inf


def test_the_exponent_of_the_best_ridge():
    assert (
        regression.opt_ridge_exponent(2.0, 0.5, 1.0)
        == near(2 / 3)
        == regression.opt_ridge_exponent(2.0, 0.5, 7.0)
    )
    assert regression.opt_ridge_exponent(2.0, 0.5, 0.5) == near(1 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("b", [1.0, 0.6])
def test_the_exponent_is_the_slope_of_the_equivalent(b):
    """At beta = 2, where the ambient d adds little; both ends at their best penalty."""

    def best(T):
        lams = np.geomspace(0.02, 50, 33) * T ** (-b)
        return min(
            regression.ols_chain_then_ridge(600, round(T**b) + 601, 1, T, lam, 2.0, 1.0, 1.0)
            for lam in lams
        )

    # l_j g_j = j^-(1 + 2 r beta) with beta = 2, src = 1: r = 1/2
    low, high = (10**8, 10**9) if b < 1 else (10**6, 10**7)
    slope = math.log10(best(low) / best(high))
    assert slope == near(regression.opt_ridge_exponent(2.0, 0.5, b), 0.06)


# -- tails ----------------------------------------------------------------------------------------------------------


def test_training_laws_that_are_the_real_one():
    real = tails.hutter(1.5, 90, N=3000)
    assert tails.hutter(1.5, 90, "mix", 3000, k=7, pi=1.0) == near(real)
    assert tails.hutter(1.5, 90, "cut", 3000, k=3000) == near(real)
    assert tails.hutter(1.5, 90, "cut", 3000, k=10**6) == near(real)
    assert tails.hutter(1.5, 90, "topp", 3000, top_p=1.0) == near(real)
    assert tails.hutter(1.5, 90, "narrow", 3000, beta2=1.5) == near(real)
    assert tails.hutter(1.5, 90, "temp", 3000, temp=1.0) == near(real)
    assert tails.hutter(1.5, 90, "temp", 3000, temp=0.5) == near(
        tails.hutter(1.5, 90, "narrow", 3000, beta2=3.0)
    )
    assert tails.hutter(1.5, 90, "mix", 3000, k=7, pi=0.0) == near(
        tails.hutter(1.5, 90, "cut", 3000, k=7)
    )
    assert tails.hutter(1.5, 0, N=3000) == near(1.0)
    assert tails.hutter(1.5, 0, "cut", 1, k=1) == 1.0
    assert tails.hutter(1.5, 5, N=1) == 0.0


def test_a_nucleus_keeps_the_symbol_that_crosses_it():
    p = np.arange(1, 4) ** -1.5 / (np.arange(1, 4) ** -1.5).sum()
    for top_p, k in ((0.1, 1), (p[0] + 1e-9, 2), (p[0] + p[1] + 1e-9, 3)):
        assert tails.hutter(1.5, 4, "topp", 3, top_p=top_p) == near(
            tails.hutter(1.5, 4, "cut", 3, k=k)
        )


@pytest.mark.parametrize("beta", [1.8, 2.5])
def test_asymptotic_forms_are_those_of_the_sum(beta):
    N, T = 2_000_000, 5000
    assert tails.asym_real(beta, T) == near(tails.hutter(beta, T, N=N), 2e-3)
    assert tails.asym_narrow(beta, 3.0, T) == near(
        tails.hutter(beta, T, "narrow", N, beta2=3.0), 2e-3
    )
    assert tails.asym_cut(beta, T, 60) == near(tails.hutter(beta, T, "cut", N, k=60), 2e-3)
    assert tails.asym_narrow(beta, beta, T) == near(tails.asym_real(beta, T))
    assert tails.asym_cut(beta, T, 10**7) == near(tails.asym_real(beta, T), 1e-6)


def test_generations_of_memorisers():
    one = tails.gens_resample(1.5, 3000, 1)
    assert one == near(tails.gens_relabel(1.5, 3000, 1))
    assert one == near(tails.hutter(1.5, 3000), 1e-3)
    assert tails.gens_resample(1.5, 3000, 10) == near(0.1158, 1e-3)
    assert tails.gens_relabel(1.5, 3000, 10) == near(0.0983, 1e-3)
    growth = tails.gens_resample(2.0, 10**6, 200) / tails.gens_resample(2.0, 10**6, 100)
    assert growth == near(2**0.5, 0.02)


@pytest.mark.parametrize(("N", "T"), [(1, 3), (2, 1), (3, 4), (4, 5)])
def test_total_variation_by_enumeration(N, T):
    p = np.arange(1, N + 1) ** -1.4 / (np.arange(1, N + 1) ** -1.4).sum()
    expected = 0.0
    for draw in itertools.product(range(N), repeat=T):
        expected += (
            np.prod(p[list(draw)]) * np.abs(np.bincount(draw, minlength=N) / T - p).sum() / 2
        )
    assert tails.bigram_tv(1.4, T, N) == near(expected, 1e-12, 1e-15)


def test_a_memory_with_room_forgets_nothing():
    assert tails.memory_error(1.5, 10**7, 20) < 1e-12
    assert tails.memory_error(1.5, 10, 1) == 0.0


# -- discrete laws --------------------------------------------------------------------------------------------------


def dense_chain(p, M, k):
    """Probability of loss after k fits by the full transition matrix."""
    choose = np.array([math.comb(M, c) for c in range(M + 1)], float)
    c, x = np.arange(M + 1), np.arange(M + 1)[:, None] / M
    P, lost = choose * x**c * (1 - x) ** (M - c), (c == 0).astype(float)
    for _ in range(k - 1):
        lost = P @ lost
    return (choose * p[:, None] ** c * (1 - p[:, None]) ** (M - c)) @ lost


@pytest.mark.parametrize(
    ("K", "M", "k"), [(1, 1, 1), (3, 1, 4), (15, 12, 1), (15, 40, 2), (30, 60, 70), (50, 200, 9)]
)
def test_the_banded_chain_is_the_full_one(K, M, k):
    p = np.arange(1, K + 1) ** -1.1 / (np.arange(1, K + 1) ** -1.1).sum()
    lost = dense_chain(p, M, k)
    assert discrete.support(K, 1.1, M, k) == near((1 - lost).sum())
    assert discrete.missing_mass(K, 1.1, M, k) == near(p @ lost, 1e-9, 1e-15)


def test_counts_that_are_never_lost_may_be_left_out():
    """The chain stops at 21 k copies or so: what is left out is below all digits."""
    p = np.arange(1, 101) ** -0.8 / (np.arange(1, 101) ** -0.8).sum()
    lost = dense_chain(p, 400, 3)
    assert discrete.missing_mass(100, 0.8, 400, 3) == near(p @ lost, 1e-10)


@pytest.mark.slow
def test_the_chain_at_a_thousand_draws_is_quick():
    start = time.process_time()
    discrete.support(1000, 1.1, 1000, 1000)
    assert time.process_time() - start < 3


def test_symbols_in_the_long_run_and_at_first():
    assert discrete.support(8, 0.7, 5, 600) == near(1.0)
    H = discrete.heterozygosity(8, 0.7, 5, 0)
    assert discrete.missing_mass(8, 0.7, 5, 600) == near(H)  # sum p (1 - p)
    assert discrete.l2_drift(8, 0.7, 5, 600) == near(H)
    assert discrete.l2_drift(8, 0.7, 1, 0) == 0.0
    assert discrete.l2_drift(8, 0.7, 10**13, 1) == near(H / 10**13)
    assert discrete.l2_mix_limit(8, 0.7, 20, 0.0) == near(H)
    assert discrete.l2_mix_limit(8, 0.7, 20, 1.0) == near(H / 20)
    assert discrete.H_accumulate(8, 0.7, 20, 1) == near(discrete.heterozygosity(8, 0.7, 20, 1))
    assert discrete.H_accumulate(8, 0.7, 20, 10**5) == near(H * gaussian.acc_limit_v(20), 1e-4)
    assert discrete.support_branching(2000, 0.3, 10**4, 4) == near(
        discrete.support(2000, 0.3, 10**4, 4), 1e-2
    )
    assert discrete.survive_count(3.0, 10**4) == near(6e-4, 1e-2)
    assert discrete.survive_count(3.0, 5, M=100) == discrete.survive_count(3.0, 5)
    assert discrete.fixation_time(0.0, 50) == 0.0 == discrete.fixation_time(1.0, 50)
    assert discrete.fixation_time(0.5, 50) == near(100 * math.log(2))
    assert (
        discrete.kl_replace(9, 1.0, 50, 1)
        == near(discrete.kl_accumulate(9, 1.0, 50, 1))
        == near(0.08)
    )


# -- verification and kernels ---------------------------------------------------------------------------------------


def test_a_verifier_tips_the_classifier_at_the_threshold():
    p = verification.threshold(0.8, 0.2)
    assert p == near(0.8)
    for law in (verification.acc_average, verification.acc_ols):
        assert law(p, 0.8, 0.2, 2.0, 50, 10**4) == near(0.5)
        assert law(p - 0.01, 0.8, 0.2, 2.0, 50, 10**12) == near(
            0.921350396474857, 1e-6
        )  # Phi(sqrt 2)
        assert law(p + 0.01, 0.8, 0.2, 2.0, 50, 10**12) == near(1 - 0.921350396474857, 1e-5)
        assert law(0.2, 0.8, 0.2, 0.0, 50, 10**4) == 0.5
    assert verification.threshold(0.6, 0.6) == near(0.5)
    assert verification.threshold(0.6, 0.0) == 1.0


def test_averages_taught_by_averages():
    law, perfect = verification.acc_average_iterated, 0.921350396474857  # Phi(sqrt 2)
    assert law(0, 2.0, 50, 400, 0.2, 0.9, 0.3) == near(
        verification.acc_average(0.2, 0.9, 0.3, 2.0, 50, 400)
    )
    assert law(0, 2.0, 50, 400) == near(verification.acc_average(0.0, 1.0, 1.0, 2.0, 50, 400))
    assert law(0, 2.0, 50, 400, None, 0.1, 0.1) == law(0, 2.0, 50, 400)  # nature is read as it is
    # infinitely many rows: what is right stays right, what is wrong stays wrong unless selection turns it
    assert law(30, 2.0, 50, 10**13) == near(perfect, 1e-6)
    assert law(30, 2.0, 50, 10**13, 0.6) == near(1 - perfect, 1e-5)
    assert law(30, 2.0, 50, 10**13, 0.6, 0.9, 0.3) == near(perfect, 1e-6)
    # few rows: taught by itself it forgets, selection keeps it, and more pass than are read
    forgot, kept = law(60, 0.25, 80, 150), law(60, 0.25, 80, 150, phi=0.9, psi=0.3)
    assert 0.5 < forgot < 0.55 < kept < law(0, 0.25, 80, 150)
    assert law(5, 2.0, 50, 800, 0.2, 0.9, 0.3, 100) == near(
        law(5, 2.0, 50, 10**6, 0.2, 0.9, 0.3, 100)
    )
    assert law(7, 0.0, 50, 400, 0.2) == 0.5


def test_half_spaces_that_agree():
    assert verification.halfspace(0.0, 1.2) > verification.halfspace(0.4, 1.2)
    assert verification.halfspace(0.0, 0.0) == 1.0
    assert verification.halfspace(0.7, math.pi / 2) == near(
        1 - math.acos(math.cos(0.7) / math.sqrt(2)) / math.pi
    )
    assert (
        verification.halfspace(0.5, 0.7) > 1 - 0.5 / math.pi
    )  # better than the generator, by a worse verifier
    assert verification.halfspace_rows(0.5, 0.9, 10**13, 10) == near(
        verification.halfspace(0.5, 0.9), 1e-9
    )
    assert verification.halfspace_rows(0.5, 0.9, 100, 10**9) == near(0.5, 1e-3)


@pytest.mark.parametrize(("tg", "tv"), [(0.7, 1.0), (1.4, 0.2), (2.0, 0.3), (0.0, 1.2)])
def test_a_bisector_by_quadrature(tg, tv):
    """In the plane of generator and verifier the mean of y x over agreeing rows is an integral."""
    angle = math.acos(math.cos(tg) * math.cos(tv))  # between generator and verifier
    x = np.linspace(0, 2 * math.pi, 400_001)[:-1]  # the direction of x, from the generator
    label = np.sign(np.cos(x)) * (np.sign(np.cos(x)) == np.sign(np.cos(x - angle)))
    mean = np.array([(label * np.cos(x)).sum(), (label * np.sin(x)).sum()])
    mean /= np.linalg.norm(mean)
    # the cosines of the truth to the two axes of the plane
    truth = math.cos(tg), (math.cos(tv) - math.cos(angle) * math.cos(tg)) / math.sin(angle)
    expected = 1 - math.acos(mean @ truth) / math.pi
    assert verification.halfspace(tg, tv) == near(expected, 1e-5)


@pytest.mark.parametrize("real", [0.0, 150.0])
@pytest.mark.parametrize(("p", "phi", "psi", "N"), [(0.2, 0.9, 0.3, 500), (0.6, 0.7, 0.2, 300)])
def test_a_penalty_lies_between_least_squares_and_averaging(p, phi, psi, N, real):
    """Also with real rows: they raise the agreement of the labels as right rows of the source do."""
    at = (1.5, 50)
    # a source that is as often right as the union of both sets, and not selected
    kept = (1 - p) * phi + p * psi
    rows = round(real + kept * N)
    wrong = p * psi * N / rows
    low = verification.acc_ridge(p, phi, psi, *at, N, 1e-9, real)
    high = verification.acc_ridge(p, phi, psi, *at, N, 1e9, real)
    middle = verification.acc_ridge(p, phi, psi, *at, N, 0.5, real)
    assert low == near(verification.acc_ols(wrong, 1.0, 1.0, *at, rows), 1e-6)
    assert high == near(verification.acc_average(wrong, 1.0, 1.0, *at, rows), 1e-6)
    assert min(low, high) < middle <= max(low, high) + 1e-9


def test_selection_leads_to_the_verifier():
    law = verification.halfspace_iterated
    assert law(0, 0.5, 0.9, 800, 30) == near(verification.halfspace_rows(0.5, 0.9, 800, 30))
    # the verifier's own accuracy, from a better and from a worse source
    for start in (0.0, 0.3, 1.4):
        assert law(60, start, 0.9, 10**13, 10) == near(1 - 0.9 / math.pi, 1e-6)
    # each round halves the angle to the verifier in their plane
    assert law(2, 0.8, 0.0, 10**13, 10) == near(1 - 0.8 / 8 / math.pi, 1e-6)


def test_kernels_in_the_long_run():
    assert kde.var(9, 0.3, 10**4) == near(8 * 0.09)
    assert kde.var(9, 0.0, 5) == near((8 / 9) ** 5)
    assert kde.var_scaled(9, 8**-0.5, 500) == near(
        8 / 9
    )  # b^2 = 1/(M - 1): neither grows nor shrinks
    assert kde.mise(10**4, 0.02, 1) == near(
        1 / (2 * math.sqrt(math.pi) * 0.02 * 10**4), 0.1
    )  # noise alone
    doubled = kde.acc_var(50, 0.3, 40000) - kde.acc_var(50, 0.3, 20000)
    assert doubled == near(0.09 * math.log(2), 1e-3)


# -- special functions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.5, 1.0, 7.5, 19.9, 20.1, 60.0, 1e3, 1e8])
def test_special_functions_at_any_size(x):
    """Against recurrences: f(x + 1) - f(x) is elementary."""
    step = math.log1p(0.5 / x) - 0.5 * math.log1p(1 / x)
    found = float(_special.log_half_ratio(x + 1) - _special.log_half_ratio(x))
    assert found == near(step, 1e-6 if x > 100 else 1e-11, 1e-17)
    step = 1 / x - math.log1p(1 / x)
    found = float(_special.digamma_minus_log(x + 1) - _special.digamma_minus_log(x))
    assert found == near(step, 1e-6 if x > 100 else 1e-11, 1e-16)


@pytest.mark.parametrize("n", [1, 2, 15, 40, 700])
@pytest.mark.parametrize("p", [0.0, 1e-9, 0.3, 0.999, 1.0])
def test_binomials_against_exact_integers(n, p):
    q = Fraction(p)
    for x in {0, 1, n // 2, n - 1, n}:
        exact = math.comb(n, x) * q**x * (1 - q) ** (n - x)
        assert float(_special.binomial(x, n, p)) == near(float(exact), 1e-12, 1e-300)


# -- greatest common divisors ---------------------------------------------------------------------------------------


def test_what_wants_more_examples_than_there_are_rows_is_never_known():
    assert gcd.survives(2, 10, 1, 11) == 0
    assert gcd.survives(2, 10, 7, 0) == 1
    assert gcd.survives(2, 10, 1, 10) == near(0.25**10)
    assert gcd.sieve_accuracy(10, 1, 10, 1000, 11.0) == near(gcd.accuracy(1, N=1000))
    assert gcd.sieve_learned(10, 1, 10, 1000, 11.0) == 1


def test_with_all_powers_known_nothing_is_lost():
    assert gcd.sieve_accuracy(100, 3, 10, 97, 0.0, most=97) == near(1)
    assert gcd.sieve_learned(100, 3, 10, 100, 0.0, most=100) == near(100)
    assert gcd.learned_count(2 * 3 * 5 * 7 * 11, limit=12) == 12


@pytest.mark.parametrize("D", [1, 12, 360])
def test_the_accuracy_tends_to_its_limit(D):
    for powers, N in itertools.product((True, False), (100, 1000, 10**4, 10**5)):
        assert abs(gcd.accuracy(D, powers, N) - gcd.accuracy(D, powers)) < 2 / N


def test_every_digit_counts_for_what_does_not_divide_the_base():
    assert [
        gcd.digits_to_read(p, k, 1000, 3)
        for p, k in ((2, 1), (2, 3), (2, 4), (5, 3), (5, 9), (3, 1))
    ] == [
        1,
        1,
        2,
        1,
        3,
        3,
    ]
    assert gcd.prime_powers(9) == [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (5, 1), (7, 1)]
    assert gcd.prime_powers(1) == []
    assert gcd.factors(360) == {2: 3, 3: 2, 5: 1}


def test_a_chance_settles_between_noise_and_real_rows():
    """The fixed point of r' = a (pi + (1 - pi) r)."""
    a, pi = 0.9, 0.25
    assert gcd.said(3, 10**6, 400, 1 - a, pi) == near(a * pi / (1 - a * (1 - pi)))
    assert gcd.said(3, 10**6, 5, 0.1) == near(0.9**5)
    assert gcd.said(3, 10**6, 5, 0.0) == near(1)
    assert gcd.said(3, 4, 0, 0.3) == 1


# -- worlds that move or grow -----------------------------------------------------------------------------------------


def test_the_best_weight_is_the_best_and_without_drift_golden():
    for n1, n2, q in ((10, 90, 0.01), (5, 5, 0.0), (3, 8, 0.4)):
        best, settled = worlds.best_weight(n1, n2, q), 4000
        risk = worlds.weighted_e(n1, n2, best, settled, q)
        assert risk == near(best / n1)
        for aside in (-0.02, 0.02):
            assert worlds.weighted_e(n1, n2, best + aside, settled, q) > risk
    assert worlds.best_weight(7, 7) == near((math.sqrt(5) - 1) / 2)


def test_a_filter_settles_and_is_the_best_that_real_rows_allow():
    for m, q in ((10, 0.01), (3, 0.4)):
        limit = worlds.kalman_limit(m, q, 1.5)
        assert worlds.kalman_e(50, m, 4000, q, 1.5) == near(limit)
        r = 1.5**2 / m
        assert limit == near((-q + math.sqrt(q * q + 4 * q * r)) / 2)
        assert limit < worlds.weighted_e(m, 50, worlds.best_weight(m, 50, q, 1.5), 4000, q, 1.5)


def test_without_drift_worlds_stand_still():
    assert worlds.kalman_e(100, 20, 20) == near(1 / (100 + 20 * 20))
    assert worlds.kalman_e(100, 0, 20) == worlds.frozen_e(100, 20) == near(0.01)
    assert worlds.accumulate_e(100, 1.0, 20) == near(1 / 2100)
    assert worlds.accumulate_e(10, 0.0, 500) == near(gaussian.acc_w2_leading(10, 501) / 1.5)
    assert worlds.weighted_e(4, 6, 0.5, 4000) == near(gaussian.weighted_mean_limit(4, 6, 0.5))
    assert worlds.ols_mix(4, 30, 0.0, 5) == near(regression.ols_replace(4, 30, 6))
    assert worlds.ols_accumulate(4, 30, 0.0, 5) == near(regression.ols_accumulate(4, 30, 6))
    assert worlds.ols_mix(4, 100, 0.3, 4000) == near(regression.ols_mix_fresh(4, 100, 0.3))
    assert worlds.turning_frozen(9, 1.5, 50, 500, 0.0) == near(
        verification.acc_average(0.0, 1.0, 1.0, 1.5, 50, 500)
    )
    assert worlds.turning_accuracy(9, 1.5, 50, 500, 0.0) == near(
        verification.acc_average_iterated(9, 1.5, 50, 500)
    )


def test_without_new_symbols_the_laws_of_a_still_alphabet_hold():
    one = tails.bigram_tv(1.1, 30, 20)
    assert worlds.novel_nature_tv(20, 1.1, 30, 4) == near(one)
    assert worlds.novel_frozen_tv(20, 1.1, 30, 4) == near(one)
    assert worlds.novel_mix_tv(20, 1.1, 30, 0.2, 0) == near(one)
    lost = discrete.missing_mass(20, 1.1, 30, 5)
    assert worlds.novel_mix_missing(20, 1.1, 30, 0.0, 4) == near(lost)
    assert worlds.novel_kept_missing(20, 1.1, 30, 0, 4) == near(tails.hutter(1.1, 30, N=20))
    assert worlds.novel_mix_missing(20, 1.1, 30, 1.0, 4) == near(tails.hutter(1.1, 30, N=20))


@pytest.mark.parametrize(
    ("law", "more", "values"),
    [
        ("novel_frozen_missing", {}, (0.259, 0.427, 0.657)),
        ("novel_kept_missing", {"m": 100}, (0.111, 0.145, 0.186)),
    ],
)
def test_the_mass_that_is_missed_while_symbols_come(law, more, values):
    found = [
        theory.evaluate(f"worlds.{law}", K=200, beta=1.5, M=1000, t=t, h=0.05, **more)
        for t in (5, 10, 20)
    ]
    assert found == [near(value, abs=6e-4) for value in values]


def test_a_growing_web_by_what_is_known():
    """In units of one fit, at a share of .2 and generation 20."""
    found = [
        100 * worlds.accumulate_e(100, 0.2, 20),
        100 * growing.share_known(100, 0.2, 20),
        100 * worlds.kalman_e(100, 20, 20),
        100 * worlds.accumulate_e(100, 1.0, 20),
        100 * worlds.frozen_e(100, 20),
    ]
    assert found == [near(value, abs=6e-4) for value in (0.652, 0.556, 0.200, 0.048, 1.0)]
