"""The public list of laws: names, parameters and defaults, and what each docstring has to tell."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from settings_of_laws import SETTINGS

from collapse_bench import theory
from collapse_bench.theory._law import UNPUBLISHED

PUBLIC = """
discrete.H_accumulate(K, beta, M, k)
discrete.fixation_time(p, M)
discrete.heterozygosity(K, beta, M, k)
discrete.kl_accumulate(K, beta, M, k)
discrete.kl_replace(K, beta, M, k)
discrete.l2_drift(K, beta, M, k)
discrete.l2_mix_limit(K, beta, M, pi)
discrete.missing_mass(K, beta, M, k)
discrete.support(K, beta, M, k)
discrete.support_branching(K, beta, M, k)
discrete.survive_count(c, k, M=None)
gains.self_distilled(d, n, lam, xi=None, beta=0.0, src=0.0, r2=1.0, s=0.5)
gains.two_stage(d, n, lam, p2, lam2=None, beta=0.0, src=0.0, r2=1.0, c2=1.0, s1=1.0, s2=1.0)
gaussian.acc_e(M, t, sigma=1.0, ddof=0)
gaussian.acc_limit_v(M, sigma=1.0)
gaussian.acc_v(M, t, sigma=1.0, ddof=0)
gaussian.acc_w2_leading(M, t, sigma=1.0)
gaussian.accsub_e(M, t, sigma=1.0, ddof=0)
gaussian.accsub_v(M, t, sigma=1.0, ddof=0)
gaussian.logsigma_mean(M, k, sigma=1.0, ddof=1)
gaussian.logsigma_var(M, k, sigma=1.0, ddof=1)
gaussian.mix_e(M, pi, t, sigma=1.0, ddof=0)
gaussian.mix_v(M, pi, t, sigma=1.0, ddof=0)
gaussian.mixfixed_e(M, pi, t, sigma=1.0)
gaussian.mixfixed_v(M, pi, t, sigma=1.0)
gaussian.nd_frechet_leading(d, M, k, beta=0.0)
gaussian.nd_logdet(d, M, k, beta=0.0)
gaussian.nd_trS2(d, M, k, beta=0.0)
gaussian.sample_var(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.sigma_mean(M, k, sigma=1.0, ddof=1)
gaussian.w2_mean(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.w2_mean_leading(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.w2_var(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.w2_var_as_published(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.w2_var_leading(M, k, sigma=1.0, growth=0.0, ddof=1)
gaussian.weighted_mean_limit(n1, n2, w, s=1.0)
gcd.accuracy(D, powers=True, N=None)
gcd.learned_count(D, powers=True, limit=100)
gcd.said(p, n, k, noise, pi=0.0, N=None)
gcd.sieve_accuracy(n, k, base, N, examples, grok=1.0, most=100, operands="uniform")
gcd.sieve_learned(n, k, base, N, examples, grok=1.0, most=100, operands="uniform", limit=100)
gcd.survives(q, n, k, examples, N=None)
growing.ols_share_known(d, T, a, t, s=1.0)
growing.provenance_known(M, a, t, sigma=1.0)
growing.share_known(M, a, t, sigma=1.0)
kde.acc_var(M, h, t, sigma=1.0)
kde.mise(M, h, k, sigma=1.0)
kde.mix_drawn(M, h, a, k, sigma=1.0)
kde.var(M, h, k, sigma=1.0)
kde.var_scaled(M, b, k, sigma=1.0)
preferences.least_share(s, k=None)
preferences.share(x, q, s, t, k=None)
regression.glm_accumulate(d, n, k)
regression.glm_mix_fresh(d, n, pi, t, w=None)
regression.glm_replace(d, n, k)
regression.ols_accumulate(d, T, k, s=1.0, same_x=False)
regression.ols_chain_then_ridge(d, T0, g, T, lam, beta=1.0, src=0.0, r2=1.0, s=0.5, s0=0.5)
regression.ols_mix_fixedreal(d, T, pi, s=1.0)
regression.ols_mix_fresh(d, T, pi, s=1.0)
regression.ols_replace(d, T, k, s=1.0)
regression.opt_ridge_exponent(beta, r, b)
regression.ridge_iterated(d, n, lam, k, beta=1.0, src=0.0, r2=1.0, s=0.5)
strong.iso_ridgeless(d, n, p2, c2=1.0, s1=1.0, s2=1.0)
strong.iter_mix(d, n, p2, t, c2=1.0, s=1.0)
strong.mixture(d, n, lam, p2, beta1=0.0, beta2=None, src=0.0, r2=1.0, c2=1.0, s1=1.0, s2=1.0, a1=1.0, a2=1.0, m=None)
strong.mixture_equal(d, n, lam, p2, beta1=0.0, src=0.0, r2=1.0, c2=1.0, s1=1.0, s2=1.0)
strong.noncommuting(d, n, lam, p2, m=None, s1=0.5, s2=0.2, a1=1.2, a2=0.7, seed=7)
tails.asym_cut(beta, T, k)
tails.asym_narrow(beta, beta2, T)
tails.asym_real(beta, T)
tails.bigram_tv(beta, T, N=200000)
tails.gens_mislabel(beta, T, g, N=200000)
tails.gens_relabel(beta, T, g, N=200000)
tails.gens_resample(beta, T, g, N=200000)
tails.hutter(beta, T, kind="real", N=200000, k=None, beta2=None, pi=None, top_p=None, temp=None)
tails.memory_error(beta, d, N, rho=1.0)
verification.acc_average(p, phi, psi, mu2, d, N)
verification.acc_average_iterated(t, mu2, d, N, p=None, phi=1.0, psi=1.0, most=None)
verification.acc_ols(p, phi, psi, mu2, d, N)
verification.acc_ridge(p, phi, psi, mu2, d, N, lam, real=0.0)
verification.halfspace(tg, tv)
verification.halfspace_iterated(t, tg, tv, N, d)
verification.halfspace_rows(tg, tv, N, d)
verification.threshold(phi, psi)
worlds.accumulate_e(M, real, t, q=0.0, sigma=1.0)
worlds.best_weight(n1, n2, q=0.0, s=1.0)
worlds.frozen_e(M, t, q=0.0, sigma=1.0)
worlds.kalman_e(M, m, t, q=0.0, sigma=1.0)
worlds.kalman_limit(m, q, sigma=1.0)
worlds.mix_e(M, pi, t, q=0.0, sigma=1.0)
worlds.novel_frozen_missing(K, beta, M, t, h=0.0)
worlds.novel_frozen_tv(K, beta, M, t, h=0.0)
worlds.novel_kept_missing(K, beta, M, m, t, h=0.0)
worlds.novel_mix_missing(K, beta, M, pi, t, h=0.0)
worlds.novel_mix_tv(K, beta, M, pi, t, h=0.0)
worlds.novel_nature_tv(K, beta, M, t, h=0.0)
worlds.ols_accumulate(d, n, real, t, q=0.0, beta=0.0, s=1.0)
worlds.ols_frozen(d, n, t, q=0.0, beta=0.0, s=1.0)
worlds.ols_mix(d, n, pi, t, q=0.0, beta=0.0, s=1.0)
worlds.subsample_e(M, real, t, q=0.0, sigma=1.0)
worlds.turning_accuracy(t, mu2, d, N, angle)
worlds.turning_frozen(t, mu2, d, N, angle)
worlds.weighted_e(n1, n2, w, t, q=0.0, s=1.0)
"""
LIST = dict(line.split("(", 1) for line in PUBLIC.split("\n") if line)
LAWS = sorted(theory.laws())
YEARS = ("arXiv", "1931", "1946", "1960", "1979", "1986", "1987", "1991", "2004", "2024")
UNITS = (
    "in units of",
    "in squared",
    "in inverse",
    "in nats",
    "in fits",
    "in symbols",
    "a probability",
    "dimensionless",
)


def written(function) -> str:
    """The signature as in the list."""
    parameters = inspect.signature(function).parameters.values()
    shown = (p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
    return ", ".join(shown).replace("'", '"') + ")"


def test_the_list_is_complete():
    assert sorted(LIST) == LAWS == sorted(SETTINGS)


@pytest.mark.parametrize("name", LAWS)
def test_parameters_and_defaults_are_those_of_the_list(name):
    module, _, function = name.partition(".")
    found = getattr(getattr(theory, module), function)
    assert written(found) == LIST[name]
    assert found.law is theory.laws()[name]
    assert found(**SETTINGS[name]) == theory.evaluate(name, **SETTINGS[name])


@pytest.mark.parametrize("name", LAWS)
def test_a_docstring_tells_what_standing_source_units_and_ranges(name):
    module, _, function = name.partition(".")
    text, law = inspect.getdoc(getattr(getattr(theory, module), function)), theory.laws()[name]
    assert text.splitlines()[0] == law.summary
    assert law.summary.endswith((".", ":"))
    assert 20 <= len(law.summary) <= 120
    assert "  " not in law.summary
    assert f"Status: {theory.STATUS[law.status]}." in text
    assert f"Source: {law.source}." in text
    told = " ".join(text.lower().split())
    assert any(unit in told for unit in UNITS)
    assert any(word in told for word in ("valid", "exact for", "contradicts", "heuristic"))
    for parameter, allowed in law.ranges.items():
        assert f"    {parameter}: {allowed.meaning}; {allowed}" in text


@pytest.mark.parametrize("name", LAWS)
def test_a_source_is_a_publication_or_says_that_none_was_found(name):
    source = theory.laws()[name].source
    assert "derived here" not in source.replace(UNPUBLISHED, "")
    assert UNPUBLISHED in source or any(year in source for year in YEARS), source


@pytest.mark.parametrize(
    ("name", "authors"),
    [
        ("verification.acc_average", "El Firdoussi et al., ICLR 2025, arXiv 2410.08942"),
        ("verification.acc_ols", "El Firdoussi et al., ICLR 2025, arXiv 2410.08942"),
        ("discrete.survive_count", "Suresh et al., arXiv 2412.17646, Theorem 1"),
        ("discrete.support_branching", "Suresh et al., arXiv 2412.17646, Theorem 1"),
        ("tails.gens_resample", "Suresh et al., arXiv 2412.17646, Theorem 1"),
        ("kde.mise", "Fryer, Biometrics 1976"),
        ("gaussian.nd_logdet", "Newman, Commun. Math. Phys. 1986"),
        ("strong.mixture", "Yang et al., arXiv 2010.11750"),
    ],
)
def test_laws_that_others_published_first_name_them(name, authors):
    assert authors in theory.laws()[name].source
    assert authors in theory.documentation(name)


@pytest.mark.parametrize("name", ["gaussian.w2_var", "gaussian.w2_var_as_published"])
def test_the_refuted_variance_is_told_with_numbers(name):
    text = " ".join(theory.laws()[name].formula.__doc__.split())
    assert "1.65 to 1.70" in text
    assert "1.33 to 1.35" in text
    assert "contradicts" in text.lower()


@pytest.mark.parametrize("name", LAWS)
def test_a_value_is_one_finite_float(name):
    value = theory.evaluate(name, **SETTINGS[name])
    assert type(value) is float
    assert abs(value) < float("inf")


def test_the_theory_needs_no_tensors():
    script = "import collapse_bench.theory, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"torch", "pandas", "sklearn", "scipy.stats", "scipy.sparse"} & set(
        done.stdout.split()
    )
