"""Tables of frequencies resampled from themselves: the engine against the laws of Wright and Fisher."""

from __future__ import annotations

import closed_forms as law
import numpy as np
import pytest
from holding import LEADING, follow, holds, slow

SAMPLERS = ("explicit", "exact-law")
SETTINGS = [(8, 1.0, 12), slow(30, 1.5, 20)]  # K, beta, M


def kl(teacher, data):
    """KL(p || teacher), nats, (R,)."""
    p = data.truth.teacher.p
    return (p * (p / teacher.p).log()).sum(-1)


# -- replace -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("K", "beta", "M", "growth"), [slow(8, 1.0, 12, 0), (30, 1.5, 20, 0), (20, 0.5, 6, 0.7)]
)
def test_replace(sampler, K, beta, M, growth):
    p = law.zipf(K, beta)
    spec = f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | replace @ n={M} T=9 growth={growth}"
    for k, teacher, scores, data in follow(spec, 4000):
        if k in (1, 3, 10):
            seen, sizes = data.diagnostics(teacher), law.sizes(M, k, growth)
            name = (
                f"multinomial replace {sampler}: %s, K={K} beta={beta} M={M} growth={growth} k={k}"
            )
            holds(name % "E H", seen["heterozygosity"], law.replace_heterozygosity(p, sizes))
            holds(name % "E |p_k - p|^2", seen["l2_drift"], law.replace_l2(p, sizes))
            holds(name % "E support", seen["support"], law.support(p, sizes))
            holds(name % "E missing mass", scores["missing_mass"], law.missing_mass(p, sizes))
            holds(
                name % "E share of support lost",
                scores["support_lost"],
                1 - law.support(p, sizes) / K,
            )


@pytest.mark.parametrize("sampler", ["explicit", slow("exact-law")])
def test_replace_is_fair_to_every_symbol_and_fixes_one(sampler):
    p = law.zipf(4, 1.0)
    spec = f"zipf(K=4, beta=1, truth_is=fixed, sampler={sampler}) | counts | replace @ n=8 T=50"
    for k, teacher, _, _ in follow(spec, 3000):
        if k in (3, 51):
            for i in range(4):
                holds(
                    f"multinomial replace {sampler}: E p_{i + 1}, K=4 M=8 k={k}",
                    teacher.p[:, i],
                    p[i],
                    sees=0.3,
                )
    assert float(((teacher.p == 0) | (teacher.p == 1)).all(-1).double().mean()) > 0.99


@pytest.mark.parametrize(("p", "M", "k"), [slow(0.01, 100, 50), (0.05, 40, 20)])
def test_survival_of_a_rare_symbol(p, M, k):
    # two symbols whose probabilities are as 1 : 2^-beta
    beta = np.log2((1 - p) / p)
    assert law.zipf(2, beta)[1] == pytest.approx(p)
    expected = law.alive([p], [M] * k)[0]
    # the published bracket: 1 - exp(-M p g), g between 1/k and 3/k
    assert 1 - np.exp(-M * p / k) < expected < 1 - np.exp(-3 * M * p / k)
    spec = f"zipf(K=2, beta={beta}, truth_is=fixed) | counts | replace @ n={M} T={k - 1}"
    *_, (_, teacher, _, _) = follow(spec, 20000)
    alive = (teacher.p[:, 1] > 0).double()
    holds(f"multinomial replace: P(alive), p={p} M={M} k={k}", alive, expected, sees=0.15)


def test_the_chain_of_a_count_may_be_cut():
    p, sizes = law.zipf(50, 1.2), [300] * 6
    assert law.alive(p, sizes, most=90) == pytest.approx(law.alive(p, sizes), abs=1e-9)
    assert law.missing_mass(p, [300]) == pytest.approx(law.unseen(p, 300))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("K", "M"), [(5, 1500), (3, 400)])
def test_divergence_leading_order(sampler, K, M):
    data = f"zipf(K={K}, beta=0.5, sampler={sampler})"
    for k, teacher, _, world in follow(f"{data} | counts | replace @ n={M} T=3", 1500):
        if k in (1, 4):
            name = f"multinomial replace leading {sampler}: E KL, K={K} M={M} k={k}"
            holds(
                name, kl(teacher, world), law.kl_replace_leading(K, M, k), slack=LEADING, sees=0.15
            )
    for t, teacher, _, world in follow(f"{data} | counts | accumulate @ n={M} T=7", 1500):
        if t in (2, 8):
            name = f"multinomial accumulate leading {sampler}: E KL, K={K} M={M} t={t}"
            holds(
                name,
                kl(teacher, world),
                law.kl_accumulate_leading(K, M, t),
                slack=LEADING,
                sees=0.15,
            )


# -- pools and mixes: heterozygosity plays the part of the variance -------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("K", "beta", "M"), SETTINGS)
def test_accumulate(sampler, K, beta, M):
    H, before = law.heterozygosity(law.zipf(K, beta)), 0
    spec = f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | accumulate @ n={M} T=14"
    for t, teacher, _, data in follow(spec, 4000):
        seen = data.diagnostics(teacher)
        assert (seen["support"] >= before).all()  # nothing that was said once is lost
        before = seen["support"]
        if t in (1, 2, 15):
            name = f"multinomial accumulate {sampler}: %s, K={K} beta={beta} M={M} t={t}"
            holds(name % "E H", seen["heterozygosity"], H * law.accumulate_v(M, t))
            holds(name % "E |p_t - p|^2", seen["l2_drift"], H * law.accumulate_e(M, t))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("K", "beta", "M"), SETTINGS)
def test_accumulate_subsample(sampler, K, beta, M):
    H = law.heterozygosity(law.zipf(K, beta))
    spec = (
        f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | accumulate-subsample @ n={M} T=11"
    )
    for t, teacher, _, data in follow(spec, 4000):
        if t in (2, 12):
            seen, (v, e) = data.diagnostics(teacher), law.subsample_ve(M, t)
            name = f"multinomial accumulate-subsample {sampler}: %s, K={K} beta={beta} M={M} t={t}"
            holds(name % "E H", seen["heterozygosity"], H * v)
            holds(name % "E |p_t - p|^2", seen["l2_drift"], H * e)


@pytest.mark.parametrize(("sampler", "chains"), [("explicit", 4000), ("exact-law", 1500)])
@pytest.mark.parametrize(
    ("K", "beta", "M", "pi", "T"), [slow(8, 1.0, 20, 0.1, 40), (30, 1.5, 12, 0.5, 15)]
)
def test_fresh_mix_is_stationary(sampler, chains, K, beta, M, pi, T):
    H, (v, e) = law.heterozygosity(law.zipf(K, beta)), law.mix_ve(M, pi)
    spec = f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | mix(real={pi}) @ n={M} T={T}"
    *_, (_, teacher, _, data) = follow(spec, chains)
    seen, name = (
        data.diagnostics(teacher),
        f"multinomial fresh mix {sampler}: %s, K={K} beta={beta} M={M} pi={pi}",
    )
    holds(name % "E H", seen["heterozygosity"], H * v)
    holds(name % "E |p_t - p|^2", seen["l2_drift"], H * e)


@pytest.mark.parametrize(("sampler", "chains"), [("explicit", 4000), ("exact-law", 1500)])
@pytest.mark.parametrize(
    ("K", "beta", "M", "pi", "T"), [slow(8, 1.0, 20, 0.2, 50), (30, 1.5, 12, 0.5, 20)]
)
def test_fixed_mix_is_stationary(sampler, chains, K, beta, M, pi, T):
    # the mean nears that of the real rows as (1 - pi)^T
    H, (v, e) = law.heterozygosity(law.zipf(K, beta)), law.mix_fixed_ve(M, pi)
    spec = f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | mix(real={pi}, fresh=false) @ n={M} T={T}"
    *_, (_, teacher, _, data) = follow(spec, chains)
    seen, name = (
        data.diagnostics(teacher),
        f"multinomial fixed mix {sampler}: %s, K={K} beta={beta} M={M} pi={pi}",
    )
    holds(name % "E H", seen["heterozygosity"], H * v)
    holds(name % "E |p_t - p|^2", seen["l2_drift"], H * e)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("K", "M", "decay"), [(8, 10, 0.5)])
def test_distrust_under_accumulate(sampler, K, M, decay):
    # counts under fractional weights
    H = law.heterozygosity(law.zipf(K, 1.0))
    predicted = law.weighted_batches(law.trusted(decay, 8), [M] * 8)
    spec = f"zipf(K={K}, beta=1, sampler={sampler}) | counts | accumulate | distrust(decay={decay}) @ n={M} T=7"
    for t, teacher, _, data in follow(spec, 4000):
        if t in (2, 8):
            seen, (v, e) = data.diagnostics(teacher), predicted[t - 1]
            name = f"multinomial, distrust under accumulate {sampler}: %s, K={K} M={M} decay={decay} t={t}"
            holds(name % "E H", seen["heterozygosity"], H * v)
            holds(name % "E |p_t - p|^2", seen["l2_drift"], H * e)


# -- controls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nature_stays_at_one_fit(sampler):
    p = law.zipf(30, 1.5)
    spec = f"zipf(K=30, beta=1.5, sampler={sampler}) | counts | replace | nature @ n=20 T=5"
    for k, teacher, scores, data in follow(spec, 4000):
        if k in (1, 6):
            name = f"multinomial, nature under replace {sampler}: %s, K=30 M=20 k={k}"
            holds(
                name % "E |p_k - p|^2",
                data.diagnostics(teacher)["l2_drift"],
                law.replace_l2(p, [20]),
            )
            holds(name % "E missing mass", scores["missing_mass"], law.missing_mass(p, [20]))
