"""Numbers in print, or of independent simulations, that the engine has to come back to.

A published mean is known to its rounding and to the standard error of the chains behind it; ``agrees`` allows both
and no more.
"""

from __future__ import annotations

import dataclasses
import math

import closed_forms as law
import pytest
from holding import EQUIVALENT, agrees, follow, gaussian, holds, log, slow

from collapse_bench.core.components import Protocol

# -- a Gaussian, n = 100, 100 fits; the published numbers are of 2000 chains ------------------------------------------


@pytest.mark.parametrize("sampler", ["explicit", "exact-law"])
@pytest.mark.parametrize(
    ("ddof", "variance", "median", "risk"), [(0, 0.376, 0.135, 1.04), (1, 0.98, 0.376, 1.41)]
)
def test_gaussian_replace(sampler, ddof, variance, median, risk):
    chains, spec = (
        20000 if sampler == "exact-law" else 5000,
        f"gaussian(sampler={sampler}) | gaussian-fit(ddof={ddof}) | replace @ n=100 T=99",
    )
    *_, (k, teacher, scores, data) = follow(spec, chains)
    v, _ = gaussian(teacher, data)
    name = f"Gaussian {sampler} n=100, 100 fits, ddof={ddof}"
    agrees(f"{name}: mean variance", v, variance, 0.005, 2000)
    agrees(f"{name}: mean W2^2", scores["w2"], risk, 0.005, 2000)
    holds(f"{name}: E W2^2", scores["w2"], law.replace_w2([100] * k, ddof=ddof), sees=0.2)
    # ln v is nearly normal, so that its median errs 1.2533 times as much as its mean
    drop, published = v.log(), math.log(median)
    error = 1.2533 * float(drop.std()) * math.sqrt(1 / chains + 1 / 2000)
    log.info("%s: median variance | %.4g | %.4g", name, float(v.median()), median)
    assert abs(float(drop.median()) - published) < 4 * error + 0.0005 / median


def test_gaussian_replace_in_small_samples():
    *_, (k, teacher, _, data) = follow("gaussian | gaussian-fit | replace @ n=10 T=99", 4000)
    drop = gaussian(teacher, data)[0].log()
    # the median is published as 1e-5; a mean over chains would say nothing about an expectation of one
    assert -5.5 < float(drop.median()) / math.log(10) < -4.5
    holds("Gaussian n=10, 100 fits, ddof=1: E ln variance", drop, law.log_variance([10] * k))


def test_gaussian_accumulate():
    spec = "gaussian(sampler=exact-law) | gaussian-fit(ddof=0) | accumulate @ n=%d T=99"
    seen = {
        k: (gaussian(teacher, data)[0], scores["w2"])
        for k, teacher, scores, data in follow(spec % 100, 4000)
    }
    agrees("Gaussian accumulate n=100: W2^2, 1 fit", seen[1][1], 0.0153, 0.00005, 2000)
    agrees("Gaussian accumulate n=100: W2^2, 100 fits", seen[100][1], 0.025, 0.0005, 2000)
    agrees("Gaussian accumulate n=100: variance, 100 fits", seen[100][0], 0.984, 0.0005, 2000)
    *_, (_, teacher, _, data) = follow(spec % 10, 4000)
    agrees(
        "Gaussian accumulate n=10: variance, 100 fits",
        gaussian(teacher, data)[0],
        0.83,
        0.005,
        2000,
    )


@pytest.mark.parametrize("ddof", [slow(0), 1])
def test_gaussian_accumulate_subsample(ddof):
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | accumulate-subsample @ n=100 T=99"
    *_, (t, teacher, scores, data) = follow(spec, 250)
    agrees(
        f"Gaussian accumulate-subsample n=100, 100 fits, ddof={ddof}: W2^2",
        scores["w2"],
        0.045,
        0.0005,
        2000,
    )
    v, _ = law.subsample_ve(100, t, ddof=ddof)
    holds(
        f"Gaussian accumulate-subsample n=100, 100 fits, ddof={ddof}: E v",
        gaussian(teacher, data)[0],
        v,
    )


def test_gaussian_risk_grows_by_three_halves_over_n():
    published = {1: 0.0015, 10: 0.0153, 50: 0.075, 100: 0.15}
    for k, _, scores, _ in follow(
        "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=1000 T=99", 4000
    ):
        if k in published:
            rounding = 0.005 if k == 100 else 0.0005 if k == 50 else 0.00005
            agrees(
                f"Gaussian replace n=1000: W2^2, {k} fits",
                scores["w2"],
                published[k],
                rounding,
                2000,
            )


@pytest.mark.parametrize(
    ("w", "published"), [slow(0.1, 4.316), (0.3, 1.137), (0.5, 0.667), (0.618, 0.618), (0.8, 0.708)]
)
def test_weighted_mean_of_fresh_and_synthetic_rows(w, published):
    assert 100 * law.weighted_mean_limit(w, 100, 100) == pytest.approx(published, abs=5e-4)
    spec = f"gaussian | gaussian-fit(sigma=1) | mix(real=0.5) | golden-ratio(w={w}) @ n=200 T={40 if w < 0.2 else 15}"
    *_, (_, teacher, _, data) = follow(spec, 2500)
    name = f"n E (m - mu)^2, 100 fresh and 100 synthetic rows, w={w}"
    holds(
        name,
        100 * gaussian(teacher, data)[1],
        100 * law.weighted_mean_limit(w, 100, 100),
        sees=0.15,
    )


# -- regression, d = 10, T = 111, noise 1, the same questions for ever; 400 chains -------------------------------------

ROUNDS = {
    "replace": (0.098, 0.195, 0.494, 0.971, 1.998),
    "accumulate": (0.101, 0.123, 0.146, 0.155, 0.159),
    "accumulate-subsample": (0.102, 0.179, 0.247, 0.266, 0.293),
}


@pytest.mark.parametrize("protocol", ROUNDS)
def test_regression(protocol):
    published = dict(zip((1, 2, 5, 10, 20), ROUNDS[protocol], strict=True))
    exact = {
        "replace": lambda k: law.ols_replace(10, [111] * k),
        "accumulate": lambda k: 0.1 * law.basel(k),
    }
    spec = f"linear(d=10, fresh=false) | ols | {protocol} @ n=111 T=19"
    for k, _, scores, _ in follow(spec, 400 if protocol == "accumulate-subsample" else 2000):
        if k in published:
            agrees(
                f"OLS {protocol}, d=10 T=111: round {k}",
                scores["excess_risk"],
                published[k],
                0.0005,
                400,
            )
            if protocol in exact:
                holds(
                    f"OLS {protocol}, d=10 T=111: E, round {k}",
                    scores["excess_risk"],
                    exact[protocol](k),
                )


@pytest.mark.parametrize(
    ("p2", "published"),
    [
        (0, {200: 1.01, 1000: 0.107, 5000: 0.0198}),
        slow(0.1, {200: 1.10, 1000: 0.131, 5000: 0.031}),
        (0.5, {200: 1.63, 1000: 0.388, 5000: 0.278}),
    ],
)
def test_strong_collapse(p2, published):
    # the other source's weights are drawn like nature's, so that half the signal makes c2 = 1
    data = "linear(d=100, signal=0.5)"
    for n, risk in published.items():
        *_, (_, _, scores, _) = follow(
            f"{data} | ols | mix(real={1 - p2}) @ n={n} T=0 first={data}", 60
        )
        name, error = (
            f"OLS on real rows and a share {p2} of a flawed source's, n={n}",
            scores["excess_risk"],
        )
        # how many chains stand behind the published number is not on record; ten are assumed
        agrees(name, error, risk, 0.005 if risk > 1 else 0.0005, 10)
        holds(f"{name}: E", error, law.strong_mix(100, n, p2), slack=EQUIVALENT, sees=0.15)


# -- Zipf, beta = 1.5, K = 10^4, n = 10^4, 10 chains ---------------------------------------------------------------

TAILS = {
    "replace": ((595, 452, 260, 183, 124), 0.091),
    "mix(real=0.1)": ((578, 453, 348, 331, 329), 0.052),
    "accumulate": ((581, 581, 581, 581, 581), 0.036),
    "replace(decode=temperature(t=0.9))": ((578, 320, 51, 10, 2), 0.53),
    "replace(decode=top-p(p=0.95))": ((580, 148, 11, 4, 4), 0.35),
}


def zipf_tails(name, spec, supports, missing, **changes):
    """The published supports of generations 0, 1, 5, 10, 20 and the missing mass of the last; yields each fit."""
    published = dict(zip((0, 1, 5, 10, 20), supports, strict=True))
    spec = f"zipf(K=10000, beta=1.5, sampler=exact-law) | counts | {spec} @ n=10000 T=20"
    for k, teacher, scores, data in follow(spec, 30, **changes):
        support = data.diagnostics(teacher)["support"]
        if k - 1 in published:
            agrees(f"Zipf {name}: support, generation {k - 1}", support, published[k - 1], 0.5, 10)
            yield k, support, scores["missing_mass"]
    rounding = 0.005 if missing > 0.1 else 0.0005
    agrees(
        f"Zipf {name}: missing mass, generation 20", scores["missing_mass"], missing, rounding, 10
    )


@pytest.mark.parametrize(
    "protocol",
    ["replace", "replace(decode=top-p(p=0.95))"]
    + [
        slow(protocol)
        for protocol in ("accumulate", "mix(real=0.1)", "replace(decode=temperature(t=0.9))")
    ],
)
def test_zipf(protocol):
    p = law.zipf(10000, 1.5)
    for k, support, missing in zipf_tails(protocol, protocol, *TAILS[protocol]):
        if k == 1 or protocol == "replace":
            alive = law.alive(p, [10000] * k, most=300)
            holds(f"Zipf {protocol}: E support, generation {k - 1}", support, alive.sum())
            holds(f"Zipf {protocol}: E missing mass, generation {k - 1}", missing, p @ (1 - alive))


@dataclasses.dataclass(frozen=True)
class RedrawnFromAPool(Protocol):
    """A tenth of the rows drawn anew in every generation from the n real rows of the first one."""

    def compose(self, access, memory):
        if memory is None:
            pool = access.synthetic(access.n)
            return pool, pool
        real = access.n // 10
        return memory.sample(real, access.rng) + access.synthetic(access.n - real), memory


def test_zipf_with_a_fixed_pool():
    # the published "10 % fixed": a fixed pool, not fixed rows; the same 1000 rows for ever keep 150 symbols, not 285
    for _ in zipf_tails(
        "10 % of a fixed pool",
        "replace",
        (570, 429, 316, 294, 285),
        0.057,
        protocol=RedrawnFromAPool(),
    ):
        pass
    spec = "zipf(K=10000, beta=1.5, sampler=exact-law) | counts | mix(real=0.1, fresh=false) @ n=10000 T=20"
    *_, (_, teacher, scores, data) = follow(spec, 10)
    assert 130 < float(data.diagnostics(teacher)["support"].mean()) < 175
    # no more is missing than the fixed rows themselves miss
    assert float(scores["missing_mass"].mean()) < law.unseen(law.zipf(10000, 1.5), 1000)


# -- what a memoriser misses, K = 10^6 -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SmallSource(Protocol):
    """Nature writes 10^4 rows, and who learnt them writes the rest."""

    def compose(self, access, memory):
        return access.synthetic(10_000 if access.natural else access.n), None


@pytest.mark.parametrize(
    ("beta", "T", "real", "synthetic"),
    [
        (1.5, 10**2, 0.202, 0.201),
        slow(1.5, 10**4, 0.0430, 0.050),
        slow(1.5, 10**6, 0.0087, 0.0422),
        (2, 10**3, 0.0218, None),
        slow(2, 10**6, 0.0007, 0.0069),
    ],
)
def test_what_a_memoriser_misses(beta, T, real, synthetic):
    p = law.zipf(10**6, beta)
    assert law.unseen(p, T) == pytest.approx(real, abs=0.0005 if real > 0.1 else 0.00005)
    spec = f"zipf(K=1000000, beta={beta}, truth_is=fixed, sampler=exact-law) | counts | replace @ n={T}"
    *_, (_, _, scores, _) = follow(f"{spec} T=0", 8)
    holds(
        f"Zipf K=10^6: E missing mass, beta={beta} T={T}",
        scores["missing_mass"],
        law.unseen(p, T),
        sees=0.3,
    )
    if synthetic is not None:
        *_, (_, _, scores, _) = follow(f"{spec} T=1", 8, protocol=SmallSource())
        name = f"Zipf K=10^6: missing mass by way of 10^4 rows, beta={beta} T={T}"
        agrees(name, scores["missing_mass"], synthetic, 0.0005 if synthetic > 0.01 else 0.00005, 1)


@pytest.mark.parametrize(("beta", "floor"), [slow(1.5, 0.0499), (2, 0.0486)])
def test_what_a_memoriser_of_a_nucleus_misses(beta, floor):
    # 10^8 rows show nature almost as it is, and as many of its nucleus show the whole nucleus
    spec = f"zipf(K=1000000, beta={beta}, truth_is=fixed, sampler=exact-law) | counts | replace | top-p(p=0.95) @ n=100000000 T=1"
    *_, (_, _, scores, _) = follow(spec, 3)
    missing = float(scores["missing_mass"].mean())
    log.info(
        "Zipf K=10^6: missing mass under top-p 0.95, beta=%s | %.4g | %.4g", beta, missing, floor
    )
    assert missing == pytest.approx(floor, abs=1e-4)
