"""Methods that put lessons together from real and synthetic rows, each against a law or an identity."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import pytest
import torch
from holding import EQUIVALENT, LEADING, follow, gaussian, holds, z_of
from scipy.optimize import minimize_scalar

from collapse_bench import cell_of
from collapse_bench.core.components import Mitigation
from collapse_bench.core.loop import generations
from collapse_bench.laws.claims import Claim
from collapse_bench.laws.verify import groups, verdicts
from collapse_bench.plugins.models.ridge import Ridge
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import regression, verification
from collapse_bench.theory._zipf import zipf


def scores(spec, seeds=range(6)):
    """The last losses (R,) by name; one and the same seeds for all specs."""
    *_, last = generations(cell_of(spec, seeds=seeds))
    return last.scores


@dataclass(frozen=True)
class Watch(Mitigation):
    """Writes down the lessons as they come to it, and who wrote them."""

    seen: list = field(default_factory=list)

    def curate(self, corpus, access):
        self.seen.append((corpus, access.teacher))
        return corpus


def lessons(spec, seeds):
    """(lesson, teacher) of each generation from the first on."""
    cell = cell_of(spec, seeds=seeds)
    watch = Watch()
    for _ in generations(dataclasses.replace(cell, mitigations=(*cell.mitigations, watch))):
        pass
    return watch.seen


# -- neutral parameters, and one method written as another ---------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("gaussian(d=2) | gaussian-fit | replace | ecosystem(m=1) @ n=20 T=3", "none"),
        ("bigram(K=6, sampler=exact-law) | counts | replace | ecosystem(m=1) @ n=60 T=3", "none"),
        ("zipf(sampler=exact-law) | counts | replace | replay(share=0) @ n=50 T=3", "none"),
        ("half-space(d=5) | averaging | replace | deliberate-practice(share=0) @ n=30 T=3", "none"),
        ("half-space(d=5) | averaging | replace | star-quotas(oversample=1) @ n=30 T=3", "none"),
        ("linear(d=3) | ols | mix(real=0.5) | ratio-cap(lam=1) @ n=30 T=3", "none"),
        ("linear(d=3) | ols | replace | distrust @ n=30 T=3", "none"),
        ("zipf(K=50) | counts | accumulate | distrust(decay=1) @ n=30 T=3", "none"),
        ("linear(d=3) | ols | replace | mix-weights @ n=30 T=3", "none"),
        ("zipf(K=50) | counts | accumulate | mix-weights(synthetic=1) @ n=30 T=3", "none"),
        ("linear(d=3) | ols | mix(real=0.1) | ratio-cap(lam=3) @ n=30 T=3", "golden-ratio(w=0.25)"),
        # the weight of real rows is one knob: each is a point of the curve of mix-weights
        (
            "linear(d=3) | ols | mix(real=0.2) | ratio-cap(lam=1) @ n=30 T=3",
            "mix-weights(real=4, synthetic=1)",
        ),
        (
            "zipf(K=50) | counts | mix(real=0.1) | golden-ratio(w=0.5) @ n=30 T=3",
            "mix-weights(real=9, synthetic=1)",
        ),
        (
            "linear(d=3) | ols | mix(real=0.5) | golden-ratio @ n=30 T=3",
            "golden-ratio(w=0.6180339887498949)",
        ),
        (
            "linear(d=3) | ols | mix(real=0.2) | distrust(decay=0.3) @ n=30 T=1",
            "mix-weights(synthetic=0.3)",
        ),
        (
            "zipf(K=50) | counts | mix(real=0.1) | tuned-weighting(steps=1) @ n=30 T=3",
            "golden-ratio(w=0.5)",
        ),
        (
            "linear | ols | replace | real-anchor(share=0.2, fixed=true) @ n=30 T=3",
            "real-anchor(k=6, fixed=true)",
        ),
        ("linear | ols | mix | growing(power=1.5) @ n=15 T=3", "none @ growth=1.5"),
    ],
)
def test_one_and_the_same(spec, same):
    act, *more = same.split(" @ ")
    task, settings = spec.split(" @ ")
    other = f"{task.rpartition(' | ')[0]} | {act} @ {settings} {' '.join(more)}"
    ours, theirs = scores(spec), scores(other)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-12)
    if same != "none":  # what is the same as nothing is no test of sameness
        none = scores(f"{task.rpartition(' | ')[0]} @ {settings}")
        assert not torch.allclose(next(iter(none.values())), next(iter(theirs.values())))


def test_what_the_plugins_claim_holds():
    ours = [
        c
        for c in registry().claims()
        if any(f"| {name}" in c.spec for name in ("real-anchor", "ratio-cap", "growing"))
    ]
    found = [
        v
        for spec, chains, some in groups(ours, quick=True)
        for v in verdicts(spec, chains, some, registry())
    ]
    assert [(v.claim.law, v.claim.setting, v.z) for v in found if not v.good] == []
    assert len(found) == len(ours) > 8
    assert all(isinstance(claim, Claim) for claim in ours)


# -- sizes and shares ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_growing_samples_sum_their_errors(power):
    """Where the variance is known the risk is sum 1/n_t: bounded for power 2, at pi^2/6 times the first."""
    spec = f"gaussian | gaussian-fit(sigma=1) | replace | growing(power={power}) @ n=10 T=8"
    *_, (_, _, found, _) = follow(spec, 1500)
    predicted = sum(1 / round(10 * (t + 1) ** power) for t in range(9))
    holds(f"growing, power {power}", found["w2"], predicted, sees=0.2)
    assert power == 1 or predicted < math.pi**2 / 6 / 10


@pytest.mark.parametrize(("share", "redrawn"), [(0.25, True), (0.25, False), (0.5, True)])
def test_replay_of_a_finite_set(share, redrawn):
    """Stationary second moments for m of N kept rows beside n - m of the model's, ddof=0; derived here.

    Given the kept rows, whose variance is V about their mean P: e = E (m - P)^2 solves
    e = share^2 (S^2/m)(1 - m/N) + (1 - share)^2 (e + (V - e)/(n - m)), S^2 = V N/(N - 1), and the model's variance is V - e.
    """
    n = 20
    m, spec = (
        round(share * n),
        f"gaussian | gaussian-fit(ddof=0) | replace | replay(share={share}, redrawn={str(redrawn).lower()}) @ n={n} T=25",
    )
    N = n if redrawn else m
    V, rest = 1 - 1 / N, (1 - share) ** 2
    e = (share**2 / m * (1 - m / N) + rest * V / (n - m)) / (1 - rest * (1 - 1 / (n - m)))
    *_, (_, teacher, _, data) = follow(spec, 4000)
    variance, square = gaussian(teacher, data)
    holds(f"replay {share} {redrawn}: E v", variance, V - e)
    holds(f"replay {share} {redrawn}: E (m - mu)^2", square, e + 1 / N)


# -- selection from more rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [10**4, 10**5])
def test_tail_injection_falls_below_the_floor_of_a_cut(m):
    """The decoder cuts at rank k, so that the missing mass floors at the tail's; with m real rows drawn, all of which
    are read, it is sum over the tail of p (1 - p)^m."""
    k, n, law = 100, 10**8, zipf(10**5, 1.5)
    task = "zipf(K=100000, beta=1.5, truth_is=fixed, sampler=exact-law) | counts | replace(decode=top-k(k=100))"
    act = f"tail-injection(share={m / n})"
    (_, _, _, _), (_, _, found, _) = follow(f"{task} | {act} @ n={n} T=1", 12)
    tail = law[k:]
    holds(
        f"tail injection, {m} real rows",
        found["missing_mass"],
        tail @ (1 - tail) ** m,
        slack=0.01,
        sees=0.1,
    )
    *_, (_, _, cut, _) = follow(f"{task} @ n={n} T=1", 3)
    assert float(cut["missing_mass"].min()) == pytest.approx(tail.sum(), rel=0.01)
    assert found["missing_mass"].max() < 0.6 * cut["missing_mass"].min()


def test_star_quotas_give_every_class_the_same_mass():
    for corpus, _ in lessons(
        "half-space(d=5) | averaging | replace | star-quotas(oversample=3) @ n=40 T=3", range(12)
    ):
        ones = (corpus.weight * (corpus.y == 1)).sum(-1)
        assert (ones == 20).all()
        assert (corpus.mass == 40).all()
        assert ((corpus.weight == 0) | (corpus.weight == 1)).all()


def test_deliberate_practice_reads_along_the_wall():
    """Of oversample times as many standard normal margins the smallest are read: those below c, P(|z| < c) = 1/oversample."""
    spec = "half-space(d=6, inputs=isotropic) | averaging | replace | deliberate-practice(share=1, oversample=4) @ n=400 T=1"
    [(corpus, teacher)] = lessons(spec, range(60))
    side = teacher.w[..., 1, :] - teacher.w[..., 0, :]
    margin = (
        (corpus.x.double() @ (side / side.norm(dim=-1, keepdim=True))[..., None])[..., 0]
        .abs()
        .mean(-1)
    )
    c = float(torch.special.ndtri(torch.tensor(0.5 + 0.125, dtype=torch.float64)))
    holds(
        "margin of what is practised",
        margin,
        4 * 2 * (1 - math.exp(-c * c / 2)) / math.sqrt(2 * math.pi),
        slack=0.01,
    )


@pytest.mark.parametrize(("beta", "filtered"), [(0.2, True), (0.2, False), (1.0, True)])
def test_boosted_labels_add_what_the_budget_buys(beta, filtered):
    """Of noisy labels, wrong with probability p, a share beta is set right.  What is left wrong is dropped, or stands beside
    its own correction, which cancels it in an average."""
    p, d, n, mu2 = 0.4, 60, 300, 1.0
    spec = f"half-space(d={d}) | averaging | replace | boosted-labels(beta={beta}, filtered={str(filtered).lower()})"
    [(_, _, found, _)] = follow(f"{spec} @ n={n} T=0 first=noisy-labels(p={p})", 300)
    wrong, size = (0.0, 1 - p + min(beta, p)) if filtered else ((p - beta) / (1 - beta), 1 - beta)
    predicted = verification.acc_average(wrong, 1.0, 1.0, mu2, d, round(size * n))
    holds(
        f"boosted labels, beta={beta}, filtered={filtered}",
        1 - found["error_rate"],
        predicted,
        slack=0.005,
    )


# -- weights -------------------------------------------------------------------------------------------------------


def test_tuned_weights_come_to_the_golden_ratio():
    """The weight that is best for the next model, e' = w^2/n1 + (1 - w)^2 (e + 1/n2), is stationary at 0.618 as well; in many
    dimensions, where what is best no longer differs between chains, validation finds it."""
    d, n1 = 60, 10
    spec = f"gaussian(d={d}) | gaussian-fit(sigma=1) | mix(real=0.5) | tuned-weighting(share=5) @ n={2 * n1} T=8"
    *_, (_, _, found, _) = follow(spec, 50)
    holds(
        "tuned weights: n MSE",
        n1 * found["w2"] / d,
        (math.sqrt(5) - 1) / 2,
        slack=LEADING,
        sees=0.15,
    )


# -- several models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "s", "ddof"), [(4, 5, 0), (3, 6, 1), (8, 3, 0)])
def test_an_ecosystem_of_gaussians(m, s, ddof):
    """m fits to slices of s rows, pooled; derived here.  With D half the expected squared difference of two rows of the pool
    and q = (s - 1)/(m s - 1) the chance that they come from one model, D' = D (rho + (1 - q)/s), rho = 1 - (1 - ddof)/s;
    the mixture fitted to that pool has the variance D (rho + (1 - 1/m)/s), and its mean is the pool's."""
    n, T = m * s, 6
    rho, q = 1 - (1 - ddof) / s, (s - 1) / (n - 1)
    D, B = (
        (1 - 1 / n, 1.0) if ddof == 0 else (1.0, 1 + 1 / n)
    )  # of the one model that generation 0 taught
    spec = f"gaussian | gaussian-fit(ddof={ddof}) | replace | ecosystem(m={m}) @ n={n} T={T}"
    for k, teacher, _, data in follow(spec, 6000):
        if k == 1:
            continue
        (v, e), mean = gaussian(teacher, data), B - (1 - 1 / n) * D
        if k in (2, T + 1):
            holds(
                f"ecosystem {m} {s} ddof={ddof}: variance, fit {k}", v, D * (rho + (1 - 1 / m) / s)
            )
            holds(f"ecosystem {m} {s} ddof={ddof}: mean, fit {k}", e, mean)
        B = B + (rho - 1 + 1 / s) * D
        D = D * (rho + (1 - q) / s)


# -- methods that were there already -------------------------------------------------------------------------------


def test_iterative_mixing_regains_a_slope_and_loses_to_its_real_half():
    """A mix with a flawed source floors at (share^2) c2; labels asked again and again lose the flaw, and yet the risk stays
    above that of the real half alone (Dohmatob et al., arXiv 2410.04840)."""
    d, risk = 10, {}
    for n in (200, 800):
        for protocol in ("iterative-mix", "mix(fresh=false)"):
            T = 8 if protocol == "iterative-mix" else 0
            *_, (_, _, found, _) = follow(
                f"linear(d={d}) | ols | {protocol} @ n={n} T={T} first=linear-surrogate(c2=2)", 500
            )
            risk[protocol, n] = found["excess_risk"]
        alone = regression.ols_replace(d, n // 2, 1)
        mean, error, z = z_of(risk["iterative-mix", n], alone)
        assert z > 4, (n, mean, error, alone)
        holds(
            f"iterative mixing, n={n}",
            risk["iterative-mix", n],
            regression.ols_mix_fixedreal(d, n, 0.5),
            slack=EQUIVALENT,
        )
        assert float(risk["mix(fresh=false)", n].mean()) > 0.25 * 2
    assert 3.5 < float(risk["iterative-mix", 200].mean() / risk["iterative-mix", 800].mean()) < 5.5


@pytest.mark.parametrize(("beta", "source"), [(1.0, 0.0), (1.5, 0.0), (1.5, 0.875)])
@pytest.mark.parametrize("g", [1, 4, 9])
def test_the_best_penalty_grows_with_the_generations_as_adaptive_ridge_says(beta, source, g):
    """The paper's setting: g generations of least squares, then one ridge fit, T_0 = T.

    Leading order, so that 13 % are left at 4000 rows in 300 dimensions.
    """

    def best(g):
        def risk(x):
            return regression.ols_chain_then_ridge(
                300, 4000, g, 4000, 10**x, beta=beta, src=source, s=1.0, s0=1.0
            )

        return 10 ** minimize_scalar(risk, bounds=(-7, 1.5), method="bounded").x

    exponent = beta / (beta + source)  # beta / (1 + 2 r beta)
    assert best(g) / best(0) == pytest.approx((1 + g) ** exponent, rel=0.13)


@dataclass(frozen=True)
class Watched(Ridge):
    """Ridge that writes down its penalties."""

    seen: list = field(default_factory=list)

    def fit(self, corpus, rng, before=None):
        self.seen.append(self.lam)
        return super().fit(corpus, rng, before)


@pytest.mark.parametrize(
    ("settings", "factors"),
    [
        ("n=20 T=3", [1, 2, 3, 4]),
        ("n=20 T=2 growth=1", [1, 2, 4]),
        ("n=20 T=1 first=ols-chain", [1, 2]),
    ],
)
def test_adaptive_ridge_by_hand(settings, factors):
    """1 + T sum 1/T_i; rows of generation 0 are taken to be those of generation 1."""
    model = Watched(lam=0.1)
    cell = cell_of(f"linear(d=3) | ridge | replace | adaptive-ridge @ {settings}", seeds=[1])
    for _ in generations(dataclasses.replace(cell, model=model)):
        pass
    assert model.seen == pytest.approx([0.1 * factor for factor in factors])


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("linear | ols | replace | adaptive-ridge", "choose a model with lam > 0"),
        ("linear | ridge(lam=0) | replace | adaptive-ridge", "choose a model with lam > 0"),
        ("half-space | logistic | replace | adaptive-ridge", "choose a model with lam > 0"),
        ("linear | ridge | mix | adaptive-ridge", "such as replace, not mix"),
        ("linear | ridge | accumulate | adaptive-ridge", "such as replace, not accumulate"),
        ("half-space | logistic | replace | tuned-penalty", "use early-stopping instead"),
        ("linear | ols | replace | tuned-penalty", "has none to tune"),
        ("gaussian | gaussian-fit | accumulate(real=0.2) | golden-ratio", "it needs mix"),
        ("gaussian | gaussian-fit | mix(real=0.2, fresh=false) | golden-ratio", "it needs mix"),
    ],
)
def test_what_does_not_fit_a_rule_is_refused_with_a_remedy(task, words):
    assert words in cell_of(f"{task} @ n=20 T=2").incompatibility()


def test_adaptive_ridge_leaves_the_clean_penalty_behind():
    """After some generations the best penalty is larger than on clean data, and tuning on real rows finds what it gains."""
    d, n, k = 40, 80, 6
    steps = [10 ** (i / 8) for i in range(-24, 9)]

    def best(k):
        return min(steps, key=lambda lam: regression.ridge_iterated(d, n, lam, k, beta=1.0, s=1.0))

    clean = best(1)
    assert best(k) > 1.5 * clean
    task = "linear(d=40, beta=1) | ridge(lam=%.4g) | replace%s @ n=80 T=5"
    fixed, tuned, ruled = (
        scores(task % (clean, act), range(400))
        for act in ("", " | tuned-penalty(share=1)", " | adaptive-ridge(exponent=0.5)")
    )
    holds(
        "ridge at the clean penalty",
        fixed["excess_risk"],
        regression.ridge_iterated(d, n, clean, k, beta=1.0, s=1.0),
        slack=EQUIVALENT,
    )
    for other in (tuned, ruled):
        _, _, z = z_of(fixed["excess_risk"] - other["excess_risk"], 0)
        assert z > 4


def test_star_quotas_repair_a_minority():
    """The claim of their paper: the rarest class is recognised more often than without them."""
    task, error = "digits(minority=0.04) | least-squares | replace | {} @ n=300 T=3", {}
    for how in ("none", "star-quotas(oversample=4)"):
        *_, (_, _, scores, _) = follow(task.format(how), 32)
        error[how] = scores["error_rarest_class"]
    none, ours = error.values()
    spread = float((none.var() + ours.var()) / 32) ** 0.5
    assert float(none.mean() - ours.mean()) > 4 * spread
