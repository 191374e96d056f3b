"""Mitigations that select: what is kept follows closed forms, or moves where its rule says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from holding import EQUIVALENT, agrees, follow, holds, slow
from scipy import integrate, stats

from collapse_bench.api import predict
from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.rng import Stream
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.lib.rows.selection import keep_random, refilled, usual_share
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.mitigations.kmeans_cover import KMeansCover
from collapse_bench.plugins.mitigations.noisy_verify import NoisyVerify

# -- verification with errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oracle-verify", "noisy-verify"])
@pytest.mark.parametrize(("phi", "psi"), [(0.9, 0.3), (0.7, 0.05)])
def test_selection_flips_at_the_threshold(name, phi, psi):
    """Above one half below p*, below one half above it, and one half on it."""
    threshold = NoisyVerify(phi, psi).threshold
    for shift in (-0.06, 0.0, 0.06):
        spec = f"half-space(d=20, mu2=2) | averaging | replace | {name}(phi={phi}, psi={psi}, refill=1) @ n=600 T=0"
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
    how = f"noisy-verify(phi={phi}, psi={psi}, refill=1)"
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


@pytest.mark.parametrize(("d", "keep", "refill"), [(1, 0.5, "false"), (3, 0.6, "true")])
def test_low_perplexity_takes_the_rim_of_a_normal_law(d, keep, refill):
    how = f"low-perplexity(keep={keep}, refill={refill})"
    first, *later = follow(f"gaussian(d={d}) | gaussian-fit | replace | {how} @ n=2000 T=3", 60)
    start = first[1].mean_and_factor()[1].square().sum((-2, -1))
    for k, teacher, _, _ in later:
        left = teacher.mean_and_factor()[1].square().sum((-2, -1)) / start
        holds(f"{how} d={d}, fit {k}", left, kept_variance(keep, d) ** (k - 1), slack=0.005)


@pytest.mark.parametrize("refill", [True, False])
def test_low_perplexity_takes_noise_from_regression(refill):
    """Rows near the teacher's line: the noise that is left has the variance of its middle.  With a refill they are n."""
    d, n, keep, T = 5, 200, 0.5, 4
    how = f"low-perplexity(keep={keep}, refill={str(refill).lower()})"
    runs = list(follow(f"linear(d={d}) | ols | replace | {how} @ n={n} T={T}", 1000))
    rows = n if refill else keep * n
    predicted = d / (n - d - 1) + T * kept_variance(keep) * d / (rows - d - 1)
    holds("low-perplexity, regression", runs[-1][2]["excess_risk"], predicted, slack=0.02)


@dataclass(frozen=True)
class RandomShare(Mitigation):
    """What a filter must beat: a random share of as many rows, which is no filter."""

    keep: float = 0.5

    def size(self, n, t):
        return refilled(n, self.keep)

    def curate(self, corpus, access):
        every = torch.ones_like(corpus.weight, dtype=torch.bool)
        return keep_random(corpus, every, usual_share(corpus, access, self.keep), access.rng)


def test_a_random_share_that_is_refilled_is_no_filter():
    """Its risk is that of replace, (T + 1) d/(n - d - 1), while a filter by likelihood is far from it."""
    d, n, T = 5, 100, 4
    law = (T + 1) * d / (n - d - 1)
    spec = f"linear(d={d}) | ols | replace @ n={n} T={T}"
    *_, (_, _, scores, _) = follow(spec, 1500, mitigations=(RandomShare(),))
    holds("a random share", scores["excess_risk"], law)
    *_, (_, _, kept, _) = follow(spec.replace("@", "| low-perplexity @"), 200)
    assert float(kept["excess_risk"].mean()) < 0.6 * law


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


def smallest_of(k: int) -> float:
    """E min z^2 of k standard normals."""

    def beyond(r):
        return (2 * stats.norm.sf(math.sqrt(r))) ** k

    return integrate.quad(beyond, 0, 60)[0]


@pytest.mark.parametrize("k", [2, 5])
def test_self_selection_of_normal_answers(k):
    """Exact at any n: of k independent answers the nearest to the mean is read."""
    assert smallest_of(1) == pytest.approx(1)
    assert smallest_of(2) == pytest.approx(1 - 2 / math.pi)
    spec = f"gaussian | gaussian-fit | replace | self-selection(k={k}) @ n=40 T=2"
    (_, first, *_), *later = follow(spec, 2000)
    for fit, teacher, _, _ in later:
        left = (teacher.mean_and_factor()[1] / first.mean_and_factor()[1])[..., 0, 0].square()
        holds(f"self-selection of {k}, fit {fit}", left, smallest_of(k) ** (fit - 1))


def test_self_selection_of_divisors_is_right_where_the_likeliest_answer_is():
    """The claim of its paper is about a generator whose likeliest answer is better than a random one."""
    task = "gcd(max=40, test=200, each=1) | gcd-sieve(examples=5, grok=1, noise=0.2) | replace"
    error = {}
    for how in ("none", "self-selection(k=8)"):
        *_, (_, _, scores, _) = follow(f"{task} | {how} @ n=150 T=3", 8)
        error[how] = scores["error"]
    gain = error["none"] - error["self-selection(k=8)"]
    assert float(gain.mean()) > 4 * float(gain.std()) / len(gain) ** 0.5


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
    how = f"verified-retraining(shift={shift}, radius={radius}, slack={slack}, as_first=false)"
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
    how = f"verified-retraining(shift={shift}, radius=0.2, slack=1, as_first=false)"
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
        for how in ("none", "verified-retraining(shift=0, radius=0, as_first=false)")
    }
    none, verified = risk.values()
    assert none[-1] > 10 * none[0]
    assert verified[-1] < none[0]


# -- what is alike, and what is spread ------------------------------------------------------------------------------


def test_a_student_ends_at_a_center_that_is_as_good_as_generation_0():
    """Many rows, so that the pull to the center beats the noise: the error returns to that of generation 0."""
    spec = "linear(d=5, noise=0.5) | ols | replace | verified-retraining(radius=0, slack=0.3, shift=0, oversample=4) @ n=150 T=10"
    runs = list(follow(spec, 60))
    ratio = runs[-1][2]["excess_risk"].mean() / runs[0][2]["excess_risk"].mean()
    assert 0.9 < float(ratio) < 1.6


@pytest.mark.parametrize("rule", ["greedy", "threshold", "once"])
def test_entropy_selection_raises_the_entropy_that_low_perplexity_lowers(rule):
    """In units of the standard error over chains, against the variance of generation 1, the whole pool by then."""
    for how, sign in ((f"entropy-selection(rule={rule})", 1), ("low-perplexity", -1)):
        _, (_, second, _, data), (_, third, _, _) = follow(
            f"gaussian(d=2) | gaussian-fit | replace | {how} @ n=100 T=2", 40
        )
        growth = data.diagnostics(third)["log_variance"] - data.diagnostics(second)["log_variance"]
        assert sign * float(growth.mean()) / (float(growth.std()) / 40**0.5) > 10


@pytest.mark.parametrize("rule", ["greedy", "threshold"])
def test_entropy_selection_slows_the_fall_of_entropy(rule):
    """The claim of its paper, for a model whose variance shrinks, under the protocol with a pool."""
    task = "gaussian(d=2) | gaussian-fit(ddof=0) | accumulate-subsample"
    end = {}
    for how in ("none", f"entropy-selection(rule={rule})"):
        *_, (_, teacher, _, data) = follow(f"{task} | {how} @ n=30 T=10", 60)
        end[how] = data.diagnostics(teacher)["log_variance"]
    none, ours = end.values()
    assert float(none.mean()) < -4 * float(none.std()) / 60**0.5
    assert float((ours - none).mean()) > 4 * float((ours - none).std()) / 60**0.5


def test_matched_means_keep_the_error_of_the_reference():
    """The mean is that of the real reference for ever, whose error is 1/m; without, it grows by 1/n at every fit."""
    n, T = 50, 15
    spec = f"gaussian | gaussian-fit(sigma=1) | replace | moment-matching(match=mean, real=1) @ n={n} T={T}"
    *_, (_, _, scores, _) = follow(spec, 600)
    holds("the reference's own error", scores["w2"], 1 / n, slack=0.01, sees=0.3)


def test_a_cover_of_far_clusters_raises_the_minority():
    """Its claim: sparse regions keep their rows, so that a rare mode grows; at a random choice it stays as it is."""
    spec = "gaussian-mixture(components=2, separation=30, minority=0.1) | mixture-fit | replace"
    _, (_, teacher, _, data) = follow(f"{spec} | kmeans-cover @ n=200 T=1", 20)
    _, (_, other, _, same) = follow(f"{spec} @ n=200 T=1", 20)
    share, plain = (d.diagnostics(t)["minority_share"] for t, d in ((teacher, data), (other, same)))
    error = float((share.var() / 20 + plain.var() / 20).sqrt())
    assert float(share.mean() - plain.mean()) > 4 * error


def test_a_cover_is_nearer_to_all_rows_than_a_random_choice():
    """n clusters of 2 n rows, one row each: the mean squared distance to the nearest kept row falls."""
    rows = Stream(range(10)).normal(200, 2).double()
    corpus, gap = Corpus.of(None, rows, (10,)), {}
    data = Gaussian(d=2).sample_truth(Stream(range(10)).at("truth"))
    access = Desk(data, data, 1, 200, Stream(range(10)), Ledger()).access(PROTOCOL)
    covers = KMeansCover(keep=0.25, refill=False).curate(corpus, access).weight
    for name, weight in (("cover", covers), ("random", (torch.arange(200) < 50).expand(10, -1))):
        apart = torch.cdist(rows, rows).square().masked_fill(weight[:, None, :] == 0, math.inf)
        gap[name] = apart.amin(-1).mean(-1)
    assert (gap["cover"] < 0.75 * gap["random"]).all()
