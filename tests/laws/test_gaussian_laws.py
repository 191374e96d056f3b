"""Gaussians fitted to their own samples: the engine against closed forms."""

from __future__ import annotations

import dataclasses
import math

import closed_forms as law
import numpy as np
import pytest
import torch
from holding import LEADING, follow, gaussian, holds, holds_variance, slow, z_of

from collapse_bench import cell_of, generations
from collapse_bench.core.components import Protocol
from collapse_bench.plugins.mitigations.golden_ratio import best_weight

SAMPLERS = ("explicit", "exact-law")


# -- replace -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("M", "growth", "sigma", "ddof", "at"),
    [
        (10, 0, 1.0, 1, (1, 2, 8)),
        (6, 1, 2.0, 1, (2, 12)),
        (12, 0, 0.5, 0, (1, 5)),
        (5, 1.5, 1.0, 0, (8,)),
    ],
)
def test_replace_mean_risk(sampler, M, growth, sigma, ddof, at):
    spec = f"gaussian(sigma={sigma}, sampler={sampler}) | gaussian-fit(ddof={ddof}) | replace @ n={M} growth={growth}"
    for k, _, scores, _ in follow(f"{spec} T={max(at) - 1}", 20000):
        if k in at:
            name = (
                f"replace {sampler}: E W2^2, M={M} growth={growth} sigma={sigma} ddof={ddof} k={k}"
            )
            holds(name, scores["w2"], law.replace_w2(law.sizes(M, k, growth), sigma, ddof))


def test_replace_risk_is_bounded_where_samples_grow_fast_enough():
    bound = (
        law.replace_w2_leading([20]) * math.pi**2 / 6 * 1.1
    )  # sum 1/M_i stays below pi^2/6 of its first term
    spec = "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=20 T=60"
    still = [scores["w2"].mean() for _, _, scores, _ in follow(spec, 2000)]
    grown = [scores["w2"].mean() for _, _, scores, _ in follow(f"{spec} growth=2", 2000)]
    assert grown[-1] < bound < still[-1]


def test_replace_leading_order():
    for k, _, scores, _ in follow(
        "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=400 T=9", 20000
    ):
        if k in (2, 10):
            expected = law.replace_w2_leading(law.sizes(400, k))
            holds(f"replace leading: E W2^2, M=400 k={k}", scores["w2"], expected, slack=LEADING)


@pytest.mark.parametrize(("M", "at"), [(20, (1, 5)), (10, (2,))])
def test_replace_variance_of_the_risk(M, at):
    spec = f"gaussian(sampler=exact-law) | gaussian-fit | replace @ n={M} T={max(at) - 1}"
    for k, _, scores, _ in follow(spec, 80000):
        if k in at:
            sizes = law.sizes(M, k)
            holds_variance(
                f"replace: Var W2^2, M={M} k={k}", scores["w2"], law.replace_w2_variance(sizes)
            )
            off = (scores["w2"] - scores["w2"].mean()) ** 2
            assert (
                z_of(off, law.replace_w2_variance_published(sizes))[2] > 8
            )  # the form in print is too small


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("M", "T"), [(8, 60), (30, 20)])
def test_replace_log_variance(sampler, ddof, M, T):
    spec = (
        f"gaussian(sigma=3, sampler={sampler}) | gaussian-fit(ddof={ddof}) | replace @ n={M} T={T}"
    )
    for k, teacher, _, data in follow(spec, 8000):
        if k in (1, T + 1):
            drop = data.diagnostics(teacher)["log_variance"] - 2 * math.log(3)
            expected = law.log_variance([M] * k, ddof=ddof)
            setting = f"M={M} ddof={ddof} k={k}"
            holds(f"replace {sampler}: E ln s^2/sigma^2, {setting}", drop, expected, sees=0.4)
            holds_variance(
                f"replace {sampler}: Var ln s^2, {setting}",
                drop,
                law.log_variance_variance([M] * k),
            )


@pytest.mark.parametrize(("ddof", "k"), [(1, 1000), (0, 900)])
def test_replace_log_variance_far_beyond_rounding(ddof, k):
    # variances near e^-300 and e^-460, beside means of order one
    spec = f"gaussian(sampler=exact-law) | gaussian-fit(ddof={ddof}) | replace @ n=5 T={k - 1}"
    *_, (_, teacher, _, data) = follow(spec, 500)
    expected = law.log_variance([5] * k, ddof=ddof)
    drop = data.diagnostics(teacher)["log_variance"]
    holds(f"replace exact-law: E ln s^2, M=5 ddof={ddof} k={k}", drop, expected, sees=0.05)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("M", [8, 20])
def test_replace_moments(sampler, ddof, M):
    spec = f"gaussian(sigma=2, sampler={sampler}) | gaussian-fit(ddof={ddof}) | replace @ n={M} T=4"
    for k, teacher, _, data in follow(spec, 40000):
        if k in (1, 2, 5):
            v, e = gaussian(teacher, data)
            sizes, setting = [M] * k, f"M={M} ddof={ddof} k={k}"
            holds(f"replace {sampler}: E s^2, {setting}", v, law.replace_v(sizes, 2.0, ddof))
            holds(f"replace {sampler}: E s, {setting}", v.sqrt(), law.replace_s(sizes, 2.0, ddof))
            holds(f"replace {sampler}: E (m - mu)^2, {setting}", e, law.replace_e(sizes, 2.0, ddof))


def test_unbiased_variance_stays_and_the_likeliest_one_shrinks():
    assert law.replace_v([20] * 7, 3.0, ddof=1) == pytest.approx(9)
    assert law.replace_v([20] * 7, 3.0, ddof=0) == pytest.approx(9 * (19 / 20) ** 7)
    # with ddof=0 the drift of the mean gains exactly what the spread loses
    assert law.replace_v([20] * 7, ddof=0) + law.replace_e([20] * 7, ddof=0) == pytest.approx(1)


# -- several dimensions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("d", "M", "k"), [(3, 10, 4), (3, 30, 3), (4, 12, 2)])
def test_replace_in_d_dimensions(sampler, d, M, k):
    spec = f"gaussian(d={d}, beta=1, sampler={sampler}) | gaussian-fit | replace @ n={M} T={k - 1}"
    *_, (_, teacher, _, data) = follow(spec, 20000)
    mean, factor = teacher.mean_and_factor()
    covariance = factor @ factor.mT
    eigenvalues, setting = np.arange(1, d + 1) ** -1.0, f"d={d} M={M} k={k}"
    drop = data.diagnostics(teacher)["log_variance"] * d - np.log(eigenvalues).sum()
    square = covariance.pow(2).sum((-2, -1))
    gap = (mean - data.mean_and_factor()[0]).pow(2).sum(-1)
    holds(
        f"replace {sampler}: E ln det/det0, {setting}", drop, law.log_determinant(np.ones(d), M, k)
    )
    holds(
        f"replace {sampler}: E tr Sigma^2, {setting}",
        square,
        law.trace_of_square(eigenvalues, M, k),
    )
    holds(
        f"replace {sampler}: E tr Sigma, {setting}", factor.pow(2).sum((-2, -1)), eigenvalues.sum()
    )
    holds(f"replace {sampler}: E |m - mu|^2, {setting}", gap, k * eigenvalues.sum() / M)


def test_replace_collapses_to_a_line_before_a_point():
    rates, seen = law.log_spectrum_rates(3, 10), {}
    for k, teacher, *_ in follow(
        "gaussian(d=3, sampler=exact-law) | gaussian-fit | replace @ n=10 T=119", 1000
    ):
        if k in (40, 120):
            seen[k] = 2 * torch.linalg.svdvals(teacher.mean_and_factor()[1]).log()
    slopes = (seen[120] - seen[40]) / 80
    for i, rate in enumerate(rates):
        holds(
            f"replace: rate of log-eigenvalue {i + 1}, d=3 M=10",
            slopes[:, i],
            float(rate),
            sees=0.1,
        )


def test_replace_frechet_distance_leading_order():
    spec = "gaussian(d=3, beta=1, sampler=exact-law) | gaussian-fit | replace @ n=300 T=3"
    for k, _, scores, _ in follow(spec, 6000):
        if k in (1, 4):
            expected = law.frechet_leading(np.arange(1, 4) ** -1.0, 300, k)
            holds(
                f"replace leading: E W2^2, d=3 M=300 k={k}", scores["w2"], expected, slack=LEADING
            )


# -- accumulate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("M", "at"), [(4, (1, 2, 30)), (15, (3, 12))])
def test_accumulate(sampler, ddof, M, at):
    spec = f"gaussian(sampler={sampler}) | gaussian-fit(ddof={ddof}) | accumulate @ n={M} T={max(at) - 1}"
    for t, teacher, _, data in follow(spec, 20000):
        if t in at:
            v, e = gaussian(teacher, data)
            setting = f"M={M} ddof={ddof} t={t}"
            holds(f"accumulate {sampler}: E v, {setting}", v, law.accumulate_v(M, t, ddof=ddof))
            holds(f"accumulate {sampler}: E e, {setting}", e, law.accumulate_e(M, t, ddof=ddof))


def test_accumulate_leading_order():
    for t, _, scores, _ in follow(
        "gaussian(sampler=exact-law) | gaussian-fit | accumulate @ n=100 T=39", 20000
    ):
        if t in (5, 40):
            expected = law.accumulate_w2_leading(100, t)
            holds(f"accumulate leading: E W2^2, M=100 t={t}", scores["w2"], expected, slack=LEADING)


def test_accumulate_forms_agree():
    assert law.accumulate_v(7, 10**6) == pytest.approx(law.accumulate_v_limit(7), rel=1e-6)
    assert law.accumulate_e(7, 40) == pytest.approx(1 - law.accumulate_v(7, 40), rel=1e-12)
    for ddof in (0, 1):
        pooled = law.weighted_batches([np.ones(t) / t for t in range(1, 9)], [7] * 8, 2.0, ddof)
        last = law.weighted_batches([np.eye(t)[-1] for t in range(1, 9)], [7] * 8, 2.0, ddof)
        assert pooled[-1] == pytest.approx(
            (law.accumulate_v(7, 8, 2.0, ddof), law.accumulate_e(7, 8, 2.0, ddof))
        )
        assert last[-1] == pytest.approx(
            (law.replace_v([7] * 8, 2.0, ddof), law.replace_e([7] * 8, 2.0, ddof))
        )


# -- accumulate-subsample ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("M", "at", "chains"), [(5, (2, 5, 20), 20000), (20, (2, 12), 5000)])
def test_accumulate_subsample(ddof, M, at, chains):
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | accumulate-subsample @ n={M} T={max(at) - 1}"
    for t, teacher, _, data in follow(spec, chains):
        if t in at:
            for name, value, expected in zip(
                "ve", gaussian(teacher, data), law.subsample_ve(M, t, ddof=ddof), strict=True
            ):
                holds(
                    f"accumulate-subsample: E {name}, M={M} ddof={ddof} t={t}",
                    value,
                    expected,
                    sees=0.15,
                )


@dataclasses.dataclass(frozen=True)
class ForgetsTheRest(Protocol):
    """Remembers the rows that were drawn, and not the pool that they were drawn from."""

    def compose(self, access, memory):
        fresh = access.synthetic(access.n)
        drawn = (fresh if memory is None else memory + fresh).sample(access.n, access.rng)
        return drawn, drawn


@pytest.mark.parametrize("ddof", [0, 1])
def test_accumulate_subsample_tells_a_pool_from_a_memory_of_the_subsample(ddof):
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | replace @ n=10 T=19"
    *_, (t, teacher, _, data) = follow(spec, 8000, protocol=ForgetsTheRest())
    found = [
        z_of(x, y)[2]
        for x, y in zip(gaussian(teacher, data), law.subsample_ve(10, t, ddof=ddof), strict=True)
    ]
    assert found[1] > 8  # the mean drifts on
    if ddof == 0:
        assert found[0] < -8  # and the spread goes


# -- mixes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("M", "pi"), [slow(20, 0.1), (10, 0.5)])
def test_fresh_mix_is_stationary(sampler, ddof, M, pi):
    spec = f"gaussian(sampler={sampler}) | gaussian-fit(ddof={ddof}) | mix(real={pi}) @ n={M} T=100"
    *_, (_, teacher, _, data) = follow(spec, 60000 if ddof else 20000)
    for name, value, expected in zip(
        "ve", gaussian(teacher, data), law.mix_ve(M, pi, ddof=ddof), strict=True
    ):
        holds(f"fresh mix {sampler}: E {name}, M={M} pi={pi} ddof={ddof}", value, expected)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("M", "pi"), [(20, 0.1), (20, 0.5)])
def test_fixed_mix_is_stationary(sampler, M, pi):
    spec = f"gaussian(sampler={sampler}) | gaussian-fit(ddof=0) | mix(real={pi}, fresh=false) @ n={M} T=100"
    *_, (_, teacher, _, data) = follow(spec, 20000)
    for name, value, expected in zip(
        "ve", gaussian(teacher, data), law.mix_fixed_ve(M, pi), strict=True
    ):
        holds(f"fixed mix {sampler}: E {name}, M={M} pi={pi}", value, expected)


def test_mix_forms_agree():
    for ddof in (0, 1):
        assert law.weighted_mix(0.3, 6, 14, 2000, 2.0, ddof) == pytest.approx(
            law.mix_ve(20, 0.3, 2.0, ddof)
        )


# -- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("w", "n", "real"),
    [slow(0.1, 40, 0.5), slow(0.3, 40, 0.5), (0.618, 40, 0.5), slow(0.8, 40, 0.5), (0.4, 30, 0.2)],
)
def test_golden_ratio_of_a_known_variance(w, n, real):
    spec = f"gaussian | gaussian-fit(sigma=1) | mix(real={real}) | golden-ratio(w={w}) @ n={n} T=60"
    *_, (_, teacher, _, data) = follow(spec, 10000)
    expected = law.weighted_mean_limit(w, round(real * n), n - round(real * n))
    holds(
        f"golden-ratio, variance known: E e, n={n} real={real} w={w}",
        gaussian(teacher, data)[1],
        expected,
    )


def test_the_golden_ratio_is_the_best_weight():
    grid = np.linspace(0.01, 1, 9901)
    risk = [50 * law.weighted_mean_limit(w, 50, 50) for w in grid]
    golden = (math.sqrt(5) - 1) / 2
    assert grid[int(np.argmin(risk))] == pytest.approx(golden, abs=1e-3)
    assert min(risk) == pytest.approx(golden, abs=1e-6)


@pytest.mark.parametrize(("n", "real"), [(40, 0.1), (30, 0.2), (20, 0.5), (20, 0.8)])
def test_the_share_of_golden_ratio_is_the_best_at_any_ratio_of_rows(n, real):
    """The minimum of the paper's risk is found by the method from the rows it is given."""
    n1 = round(real * n)
    grid = np.linspace(0.01, 1, 9901)
    least = min(law.weighted_mean_limit(w, n1, n - n1) for w in grid)
    best = best_weight(n1 / (n - n1))
    assert law.weighted_mean_limit(best, n1, n - n1) == pytest.approx(least, rel=1e-6)
    spec = f"gaussian | gaussian-fit(sigma=1) | mix(real={real}) | golden-ratio @ n={n} T=25"
    *_, (_, teacher, _, data) = follow(spec, 10000)
    holds(f"golden-ratio, best share: E e, n={n} real={real}", gaussian(teacher, data)[1], least)


@pytest.mark.parametrize(("k", "w"), [(1 / 9, 0.282), (1.0, 0.618), (1e-12, 1e-6), (1e12, 1.0)])
def test_the_best_share_by_hand(k, w):
    assert best_weight(k) == pytest.approx(w, abs=1e-3 if w > 0.01 else 1e-11)
    assert float(best_weight(torch.tensor(0.0))) == 0.0


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("w", "n", "real"), [(0.618, 20, 0.5), (0.4, 20, 0.2), (0.9, 12, 0.5)])
def test_golden_ratio_of_an_estimated_variance(ddof, w, n, real):
    n1 = round(real * n)
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | mix(real={real}) | golden-ratio(w={w}) @ n={n} T=11"
    for k, teacher, _, data in follow(spec, 20000):
        if k in (2, 12):
            predicted = law.weighted_mix(w, n1, n - n1, k - 1, ddof=ddof)
            for name, value, expected in zip("ve", gaussian(teacher, data), predicted, strict=True):
                holds(
                    f"golden-ratio: E {name}, n={n} real={real} w={w} ddof={ddof} k={k}",
                    value,
                    expected,
                )


@dataclasses.dataclass(frozen=True)
class SaidToBeOld(Protocol):
    """Real rows only, of which the chain_shape b is said to be b generations from nature."""

    def compose(self, access, memory):
        batches = [access.real(access.n).dated(b) for b in range(4)]
        return batches[0] + batches[1] + batches[2] + batches[3], None


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("decay", "M"), [(0.5, 3), (0.1, 4), (1.0, 3)])
def test_distrust_keeps_the_variance_of_independent_rows_unbiased(ddof, decay, M):
    trust = decay ** np.arange(4)
    squares = float((trust**2).sum() / (trust.sum() ** 2 * M))  # of weights that sum to one
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | replace | distrust(decay={decay}) @ n={M} T=1"
    *_, (_, teacher, _, data) = follow(spec, 40000, protocol=SaidToBeOld())
    v, e = gaussian(teacher, data)
    setting = f"decay={decay} M={M} ddof={ddof}"
    holds(f"distrust of independent rows: E v, {setting}", v, 1.0 if ddof else 1 - squares)
    holds(f"distrust of independent rows: E e, {setting}", e, squares)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("decay", "M"), [(0.5, 6), (0.8, 12)])
def test_distrust_under_accumulate(ddof, decay, M):
    predicted = law.weighted_batches(law.trusted(decay, 10), [M] * 10, ddof=ddof)
    spec = (
        f"gaussian | gaussian-fit(ddof={ddof}) | accumulate | distrust(decay={decay}) @ n={M} T=9"
    )
    for t, teacher, _, data in follow(spec, 10000):
        if t in (2, 10):
            for name, value, expected in zip(
                "ve", gaussian(teacher, data), predicted[t - 1], strict=True
            ):
                holds(
                    f"distrust under accumulate: E {name}, M={M} decay={decay} ddof={ddof} t={t}",
                    value,
                    expected,
                )


@pytest.mark.parametrize(("real", "decay"), [(0.1, 0.5), (0.1, 0.97), (0.5, 0.8)])
def test_the_age_of_rows_settles_under_mix(real, decay):
    """Age 1/w, where real rows have the share w of the weight; so old rows keep a weight for ever."""
    n, T, s = 40, 60, 1.0
    n1 = round(real * n)
    age, e = 1.0, 1 / n
    for _ in range(T):
        w = n1 / (n1 + (n - n1) * decay**age)
        e = w**2 / n1 + (1 - w) ** 2 * (e + 1 / (n - n1))
        age = 1 + (1 - w) * age
    assert age == pytest.approx(1 / w, rel=1e-6 if decay < 0.9 else 1e-2)
    spec = f"gaussian | gaussian-fit(sigma={s}) | mix(real={real}) | distrust(decay={decay}) @ n={n} T={T}"
    *_, (_, teacher, _, data) = follow(spec, 6000)
    holds(f"distrust under mix: E e, real={real} decay={decay}", gaussian(teacher, data)[1], e)


# -- controls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nature_stays_at_the_risk_of_one_fit(sampler):
    for k, _, scores, _ in follow(
        f"gaussian(sampler={sampler}) | gaussian-fit | replace | nature @ n=15 T=12", 20000
    ):
        if k in (1, 4, 13):
            holds(
                f"nature under replace {sampler}: E W2^2, M=15 k={k}",
                scores["w2"],
                law.replace_w2([15]),
            )


def test_nature_under_accumulate_learns_from_all_rows():
    for t, _, scores, _ in follow(
        "gaussian | gaussian-fit | accumulate | nature @ n=15 T=7", 20000
    ):
        if t in (2, 8):
            holds(
                f"nature under accumulate: E W2^2, M=15 t={t}",
                scores["w2"],
                law.replace_w2([15 * t]),
            )


def test_generation_0_is_common_to_entries():
    entries = (
        "replace",
        "accumulate",
        "replace | nature",
        "replace | distrust",
        "accumulate | high-surprise",
    )
    specs = [f"gaussian | gaussian-fit | {entry} @ n=9 T=1" for entry in entries]
    first = [next(generations(cell_of(spec, seeds=range(8)))) for spec in specs]
    assert all(torch.equal(g.scores["w2"], first[0].scores["w2"]) for g in first)
