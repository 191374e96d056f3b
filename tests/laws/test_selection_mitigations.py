"""Mitigations that select: what is kept follows closed forms, or moves where its rule says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from holding import EQUIVALENT, agrees, follow, holds, slow
from scipy import integrate, stats

from collapse_bench.api import predict
from collapse_bench.core.rng import Stream
from collapse_bench.plugins.mitigations.noisy_verify import NoisyVerify

# -- verification with errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oracle-verify", "noisy-verify"])
@pytest.mark.parametrize(("phi", "psi"), [(0.9, 0.3), (0.7, 0.05)])
def test_selection_flips_at_the_threshold(name, phi, psi):
    """Above one half below p*, below one half above it, and one half on it."""
    threshold = NoisyVerify(phi, psi).threshold
    for shift in (-0.06, 0.0, 0.06):
        spec = f"half-space(d=20, mu2=2) | averaging | replace | {name}(phi={phi}, psi={psi}) @ n=600 T=0"
        [(_, _, scores, _)] = follow(f"{spec} first=noisy-labels(p={threshold + shift})", 150)
        accuracy = 1 - scores["error_rate"]
        z = (float(accuracy.mean()) - 0.5) / (float(accuracy.std()) / math.sqrt(len(accuracy)))
        assert abs(z) < 4 if shift == 0 else -math.copysign(1, shift) * z > 8, (shift, z)


def test_a_noisy_verifier_is_predicted():
    spec = "half-space(d=80) | averaging | replace | {}(phi=0.9, psi=0.3) @ n=400 T=1 first=noisy-labels(p=0.5)"
    curve = predict(spec.format("noisy-verify"))
    assert curve == predict(spec.format("oracle-verify"))
    for k, _, scores, _ in follow(spec.format("noisy-verify"), 100):
        holds(f"noisy-verify, fit {k}", scores["error_rate"], curve[k - 1], slack=EQUIVALENT)


def walls_accuracy(p, phi, psi, d, n):
    """Of averaging on labels of x ~ N(0, I_d) that tell its side and err with probability p, n before selection.

    Derived here: E y x is m sqrt(2/pi) along the wall's normal, m the mean agreement of what is kept, and each of the
    other d - 1 coordinates of the mean has variance 1/(rows kept).
    """
    kept = (1 - p) * phi + p * psi
    m = ((1 - p) * phi - p * psi) / kept
    return 1 - math.atan2(math.sqrt((d - 1) / (kept * n)), m * math.sqrt(2 / math.pi)) / math.pi


ERRORS = (0.3, 0.45, 0.55, 0.7, 0.8, 0.9)
STEPS = {
    (1, 1): (0.970, 0.879, 0.109, 0.032),
    (0.9, 0.3): (0.980, 0.973, 0.959, 0.869, 0.127),
    (0.7, 0.05): (0.981, 0.977, 0.973, 0.964, 0.946, 0.84),
}


@pytest.mark.parametrize(
    ("n", "chains", "phi", "psi", "p", "published"),
    [
        (2000, 100, 1, 1, 0.45, 0.649),
        (2000, 100, 1, 1, 0.55, 0.359),
        *(
            pytest.param(50_000, 6, *rule, p, accuracy, marks=pytest.mark.slow)
            for rule, row in STEPS.items()
            for p, accuracy in zip(ERRORS, row, strict=False)
        ),
    ],
)
def test_the_step_at_the_threshold(n, chains, phi, psi, p, published):
    """An independent simulation of one chain, d = 50, is as close as chains are to one another."""
    how = f"noisy-verify(phi={phi}, psi={psi})"
    spec = f"half-space(d=50, inputs=isotropic) | averaging | replace | {how} @ n={n} T=0 first=noisy-labels(p={p})"
    [(_, _, scores, _)] = follow(spec, chains)
    agrees(
        f"{how} p={p} n={n}",
        1 - scores["error_rate"],
        published,
        0.005 if published == 0.84 else 0.0005,
        1,
    )
    holds(
        f"{how} p={p} n={n}",
        1 - scores["error_rate"],
        walls_accuracy(p, phi, psi, 50, n),
        slack=0.01,
        sees=0.3,
    )


# -- self-selection -------------------------------------------------------------------------------------------------


def kept_variance(keep: float, d: int = 1) -> float:
    """Variance per axis of a standard normal in the ball that holds this share of it."""
    return float(stats.chi2.cdf(stats.chi2.ppf(keep, d), d + 2)) / keep


def test_on_the_line_the_ball_is_an_interval():
    c = stats.norm.ppf(0.75)
    assert kept_variance(0.5) == pytest.approx(1 - 2 * c * stats.norm.pdf(c) / 0.5)


@pytest.mark.parametrize(("d", "keep", "oversample"), [(1, 0.5, 1), (3, 0.6, 1), (2, 0.5, 2)])
def test_low_perplexity_takes_the_rim_of_a_normal_law(d, keep, oversample):
    how = f"low-perplexity(keep={keep}, oversample={oversample})"
    first, *later = follow(f"gaussian(d={d}) | gaussian-fit | replace | {how} @ n=2000 T=3", 60)
    start = first[1].mean_and_factor()[1].square().sum((-2, -1))
    for k, teacher, _, _ in later:
        left = teacher.mean_and_factor()[1].square().sum((-2, -1)) / start
        holds(f"{how} d={d}, fit {k}", left, kept_variance(keep, d) ** (k - 1), slack=0.005)


def test_low_perplexity_takes_noise_from_regression():
    """Rows near the teacher's line: the noise that is left has the variance of its middle, and the rows are fewer."""
    d, n, keep, T = 5, 200, 0.5, 4
    runs = list(
        follow(f"linear(d={d}) | ols | replace | low-perplexity(keep={keep}) @ n={n} T={T}", 2000)
    )
    predicted = d / (n - d - 1) + T * kept_variance(keep) * d / (keep * n - d - 1)
    holds("low-perplexity, regression", runs[-1][2]["excess_risk"], predicted, slack=0.02)


# -- curation -------------------------------------------------------------------------------------------------------


def best_of_normals(k: int) -> tuple[float, float]:
    """Mean and variance of the largest of k standard normals."""

    def moment(power):
        def density(z):
            return z**power * k * stats.norm.cdf(z) ** (k - 1) * stats.norm.pdf(z)

        return integrate.quad(density, -12, 12)[0]

    return moment(1), moment(2) - moment(1) ** 2


@pytest.mark.parametrize("k", [2, 4])
def test_the_best_of_k_coordinates(k):
    """Exact at any n: rows are independent, and the variance is unbiased."""
    spec = f"gaussian(d=2) | gaussian-fit | replace | best-of-k(k={k}, reward=coordinate, top=true) @ n=40 T=3"
    mean, variance = best_of_normals(k)
    (_, first, *_), *later = follow(spec, 3000)
    at, v = (
        first.mean_and_factor()[0][..., 0],
        first.mean_and_factor()[1][..., 0, :].square().sum(-1),
    )
    for fit, teacher, _, _ in later:
        left = teacher.mean_and_factor()[1][..., 0, :].square().sum(-1) / v
        holds(f"best of {k} coordinates, variance, fit {fit}", left, variance ** (fit - 1))
        if fit == 2:
            holds(
                f"best of {k} coordinates, mean",
                (teacher.mean_and_factor()[0][..., 0] - at) / v.sqrt(),
                mean,
            )


def chosen_of_two(strength: float) -> float:
    """Variance of the one of two standard normals that Bradley and Terry's choice takes under the reward -z^2/2."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    one, two = nodes[:, None] ** 2, nodes[None, :] ** 2
    odds = 1 / (1 + np.exp(np.clip(strength * (one - two) / 2, -700, 700)))
    return float((2 * weights[:, None] * weights[None, :] * one * odds).sum())


@pytest.mark.parametrize("strength", [0, 1, 3])
def test_a_choice_between_two_by_their_own_likelihood(strength):
    """Exact at any n.  At strength 0 the choice is blind, and the law is that of no choice."""
    assert chosen_of_two(0) == pytest.approx(1)
    spec = f"gaussian | gaussian-fit | replace | best-of-k(k=2, reward=own, strength={strength}) @ n=40 T=3"
    (_, first, *_), *later = follow(spec, 3000)
    for fit, teacher, _, _ in later:
        left = (teacher.mean_and_factor()[1] / first.mean_and_factor()[1])[..., 0, 0].square()
        holds(
            f"a choice of two, strength {strength}, fit {fit}",
            left,
            chosen_of_two(strength) ** (fit - 1),
        )


@pytest.mark.parametrize(
    "task",
    [
        "gaussian(d=3) | gaussian-fit",
        "zipf(K=50, beta=0.5) | counts",
        "gaussian-mixture | mixture-fit",
    ],
)
def test_the_rewards_variance_shrinks_to_zero(task):
    runs = list(follow(f"{task} | replace | best-of-k(k=8, strength=2) @ n=200 T=12", 20))
    first, variance = runs[0][1], []
    for _, teacher, _, data in runs:
        rng = Stream(range(20), "look")
        x = data.ask(400, rng.at("x"))
        reward = first.logp(x, teacher.answer(x, rng.at("y")))[..., 0]
        variance.append(float(reward.var(-1).mean()))
    assert variance[-1] < 0.02 * variance[0]
    assert variance[6] < 0.5 * variance[1]


# -- a verifier with a centre ---------------------------------------------------------------------------------------


def drawn_to_the_centre(gap: float, d: int, radius: float, slack: float) -> float:
    """What is left of a gap |theta - theta_c| after one fit to all rows that pass: x ~ N(0, I), unit noise.

    With s = x.(theta - theta_c), a row passes where |s + e| <= a = radius |x| + slack; least squares then fits
    E[x (s + e); passes] / E[x x^T; passes], along the gap.
    """
    along, weight = np.polynomial.hermite_e.hermegauss(60)
    rest = stats.chi2.ppf((np.arange(400) + 0.5) / 400, d - 1) if d > 1 else np.zeros(1)
    s = gap * along[:, None]
    a = radius * np.sqrt(along[:, None] ** 2 + rest[None, :]) + slack
    passes = stats.norm.cdf(a - s) - stats.norm.cdf(-a - s)
    moment = s * passes + stats.norm.pdf(-a - s) - stats.norm.pdf(a - s)
    top = (weight[:, None] * along[:, None] * moment).sum()
    return top / (weight[:, None] * along[:, None] ** 2 * passes).sum()


@pytest.mark.parametrize(("shift", "radius", "slack"), [(0.5, 0.2, 1.0), slow(1.0, 0.0, 0.7)])
def test_verified_retraining_converges_to_the_verifiers_centre(shift, radius, slack):
    d = 5
    how = f"verified-retraining(shift={shift}, radius={radius}, slack={slack})"
    gap = shift
    runs = list(follow(f"linear(d={d}) | ols | replace | {how} @ n=4000 T=8", 100))
    for k, teacher, _, data in runs:
        centre, truth = data.verifier_center(shift), data.verifier_center(0.0)
        off = ((teacher.w - centre) * (truth - centre)).sum(-1) / shift
        if k > 1:
            gap = drawn_to_the_centre(gap, d, radius, slack)
        if gap > 0.1:
            holds(f"{how}, fit {k}", off, gap)
    assert float((teacher.w - centre).square().sum(-1).mean()) < 0.02 * shift**2
    holds(f"{how}, in the end", runs[-1][2]["excess_risk"], shift**2, slack=EQUIVALENT)


def test_a_mean_converges_to_the_verifiers_centre():
    """Regression on the question 1: the mean of a normal law cut to an interval about the centre."""
    shift, reach = 1.0, 1.2
    gap = shift
    how = f"verified-retraining(shift={shift}, radius=0.2, slack=1)"
    for k, teacher, _, data in follow(
        f"gaussian | gaussian-fit(sigma=1) | replace | {how} @ n=2000 T=10", 100
    ):
        away = data.verifier_center(shift) - data.verifier_center(0.0)
        off = ((data.verifier_center(shift) - teacher.mean) * away)[..., 0] / shift
        if k > 1:
            gap = float(stats.truncnorm.mean(-reach - gap, reach - gap)) + gap
        if gap > 0.1:
            holds(f"the mean's gap, fit {k}", off, gap)
    assert float(off.square().mean()) < 0.01


def test_a_verifier_at_the_truth_ends_the_growth_of_the_risk():
    risk = {
        how: [
            float(s["excess_risk"].mean())
            for _, _, s, _ in follow(f"linear | ols | replace | {how} @ n=200 T=15", 50)
        ]
        for how in ("none", "verified-retraining(shift=0, radius=0)")
    }
    none, verified = risk.values()
    assert none[-1] > 10 * none[0]
    assert verified[-1] < none[0]


# -- what is alike, and what is spread ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", ["gaussian(d=2) | gaussian-fit", "linear(d=3) | ols", "half-space(d=3) | averaging"]
)
def test_distinct_rows_are_left_exactly_as_they_are(task):
    ours, none = (
        list(follow(f"{task} | accumulate | {how} @ n=30 T=3", 4, seeds=(1, 2, 3)))
        for how in ("deduplicate", "none")
    )
    for (_, _, left, _), (_, _, right, _) in zip(ours, none, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("sampler", ["explicit", "exact-law"])
def test_without_repeats_a_law_of_symbols_is_flat(sampler):
    """Each symbol counts once, so that the pupil knows what was said and not how often."""
    spec = f"zipf(K=40, sampler={sampler}) | counts | replace | deduplicate @ n=100 T=2"
    (_, _, _, _), *later = follow(spec, 8)
    for _, teacher, _, _ in later:
        alive = teacher.p > 0
        assert torch.allclose(teacher.p, alive / alive.sum(-1, keepdim=True).double())


@pytest.mark.parametrize("rule", ["greedy", "once"])
def test_entropy_selection_raises_the_entropy_that_low_perplexity_lowers(rule):
    """In units of the standard error over chains, against the variance that the teacher had."""
    for how, sign in ((f"entropy-selection(rule={rule})", 1), ("low-perplexity", -1)):
        (_, first, _, data), (_, second, _, _) = follow(
            f"gaussian(d=2) | gaussian-fit | replace | {how} @ n=200 T=1", 40
        )
        growth = data.diagnostics(second)["log_variance"] - data.diagnostics(first)["log_variance"]
        assert sign * float(growth.mean()) / (float(growth.std()) / 40**0.5) > 10


def test_matched_means_keep_the_error_of_the_reference():
    """The mean is that of the real reference for ever, whose error is 1/m; without, it grows by 1/n at every fit."""
    n, T = 50, 15
    spec = f"gaussian | gaussian-fit(sigma=1) | replace | moment-matching(match=mean, real=1) @ n={n} T={T}"
    *_, (_, _, scores, _) = follow(spec, 600)
    holds("the reference's own error", scores["w2"], 1 / n, slack=0.01, sees=0.3)


def test_a_cover_of_far_clusters_gives_each_the_same_weight():
    """The minority of a tenth ends at a third in one generation."""
    spec = "gaussian-mixture(components=3, separation=30, minority=0.1) | mixture-fit(components=3) | replace"
    _, (_, teacher, _, data) = follow(f"{spec} | kmeans-cover(clusters=3) @ n=300 T=1", 12)
    share = data.diagnostics(teacher)["minority_share"]
    holds("the minority's share", share, 1 / 3, sees=0.2)
