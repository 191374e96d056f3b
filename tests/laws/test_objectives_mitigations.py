"""Mitigations of what is learnt: objectives against their definition, anchors and extrapolation against closed forms."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from holding import follow, holds
from hypothesis import given
from hypothesis import strategies as st

from collapse_bench import cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.replicates import lift
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.lib.distributions.objectives import Focal, Penalised, Smoothed, Truncated
from collapse_bench.lib.neural.neural import validation_loss
from collapse_bench.plugins.models.counts import Counts
from collapse_bench.plugins.models.mlp import MLP

OBJECTIVES = [Truncated(0.9), Focal(2.0), Focal(0.5), Penalised(0.3), Smoothed(0.2)]
NAMES = {
    "truncated-ce": "p=1",
    "focal": "gamma=0",
    "confidence-penalty": "beta=0",
    "label-smoothing": "eps=0",
}
MODELS = {"weight-averaging": "a=0", "anchor": "beta=0", "neon": "w=0", "autophagy-penalty": "mu=0"}


def last(spec, seeds=range(3)):
    *_, now = generations(cell_of(spec, seeds=seeds))
    return now


def scores(spec, seeds=range(3)):
    return last(spec, seeds).scores


# -- objectives -----------------------------------------------------------------------------------------------------


@st.composite
def shares(draw):
    """Relative frequencies of 2 to 6 labels, some of which may never be read, or one alone."""
    counts = draw(st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any))
    f = torch.tensor(counts).double()
    return f / f.sum()


def entropy(p):
    return torch.special.entr(p).sum(-1)


def cost(objective, f, logp):
    K = len(f)
    return (f * objective(logp.expand(K, K), torch.arange(K))).sum()


@given(
    shares(),
    st.sampled_from([o for o in OBJECTIVES if not isinstance(o, Truncated)]),
    st.integers(0, 99),
)
def test_the_law_of_an_objective_is_where_it_is_least(f, objective, seed):
    law = objective.law(f)
    assert float(law.sum()) == pytest.approx(1, abs=1e-12)
    best = cost(objective, f, law.log().clamp_min(-700))
    moved = law.log().clamp_min(-30) + 0.1 * Stream(seed).normal(len(f)).double()
    assert best <= cost(objective, f, moved.log_softmax(-1)) + 1e-12
    other = torch.lerp(law, torch.full_like(law, 1 / len(f)), 0.05)
    assert best <= cost(objective, f, other.log()) + 1e-12


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_training_a_table_ends_at_the_law(objective):
    """The slow, plain twin: scores of labels follow the gradient from zero.  Labels that are never read leave only as fast
    as 1 / step, and a cap is kept by steps to and fro."""
    f = torch.tensor(
        [[30, 5, 5, 0], [97, 2, 1, 0], [1, 1, 0, 0], [96, 4, 0, 0], [10, 0, 0, 0]]
    ).double()
    if isinstance(objective, Focal):
        f = f[:-1]  # what is read alone is learnt ever more slowly
    f = f / f.sum(-1, keepdim=True)
    B, K = f.shape
    W = torch.zeros_like(f, requires_grad=True)
    optimiser = torch.optim.SGD([W], lr=1.0)
    for step in range(700):
        optimiser.param_groups[0]["lr"] = 1.0 if step < 500 else 0.02
        optimiser.zero_grad()
        logp = W.log_softmax(-1)[:, None].expand(B, K, K).reshape(-1, K)
        (f.flatten() * objective(logp, torch.arange(K).repeat(B))).sum().backward()
        optimiser.step()
    torch.testing.assert_close(W.detach().softmax(-1), objective.law(f), rtol=0, atol=0.012)


@given(shares(), st.sampled_from(OBJECTIVES))
def test_an_objective_flattens_and_keeps_the_order(f, objective):
    law = objective.law(f)
    assert entropy(law) >= entropy(f) - 1e-9
    order = f.argsort()
    assert (law[order].diff() >= -1e-9).all()
    if isinstance(objective, (Penalised, Smoothed)):
        assert (law > 0).all()
    if isinstance(objective, Smoothed):
        n = 12.0  # smoothing of counts by a constant
        constant = n * objective.eps / (1 - objective.eps) / len(f)
        torch.testing.assert_close(law, (n * f + constant) / (n + len(f) * constant))


@given(shares(), st.floats(0.01, 3))
def test_more_penalty_is_more_entropy(f, beta):
    assert entropy(Penalised(2 * beta).law(f)) >= entropy(Penalised(beta).law(f)) - 1e-12


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_laws_bear_leading_dimensions_and_uniform_rows(objective):
    f = torch.tensor(
        [[[4.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [[0.0, 0.0, 9.0], [3.0, 0.0, 3.0]]]
    ).double()
    f = f / f.sum(-1, keepdim=True)
    rows = torch.stack([torch.stack([objective.law(row) for row in rows]) for rows in f])
    torch.testing.assert_close(objective.law(f), rows)
    torch.testing.assert_close(objective.law(f[0, 1]), f[0, 1])


NATIVE = "bigram(K=6) | counts | replace"
TRAINED = [
    "half-space(d=4) | mlp(width=8, steps=20) | replace",
    "gcd(max=30, test=20, each=1) | transformer(layers=1, width=8, heads=2, steps=2) | replace",
    pytest.param(
        "grammar-stories | causal-lm(layers=1, width=8, heads=2, steps=2, batch=16) | replace",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("task", [NATIVE, NATIVE.replace("counts", "softmax-regression"), *TRAINED])
def test_at_its_neutral_value_an_objective_is_cross_entropy(task):
    plain = scores(f"{task} @ n=40 T=2", range(1))
    for name, neutral in NAMES.items():
        for key, value in scores(f"{task} | {name}({neutral}) @ n=40 T=2", range(1)).items():
            torch.testing.assert_close(
                value, plain[key], rtol=1e-5, atol=1e-6, msg=f"{name}: {key}"
            )


def test_an_objective_changes_what_is_learnt_and_two_are_refused():
    task = "bigram(K=6) | counts | replace"
    plain = scores(f"{task} @ n=60 T=3")["total_variation"]
    for name in NAMES.keys() - {"truncated-ce"}:
        assert not torch.allclose(scores(f"{task} | {name} @ n=60 T=3")["total_variation"], plain)
    for one, two in itertools.permutations(NAMES, 2):
        assert (
            "a model has one loss"
            in cell_of(f"{task} | {one} + {two} @ n=60 T=3").incompatibility()
        )
    assert (
        "not fitted by one"
        in cell_of("half-space | averaging | replace | focal @ n=60 T=3").incompatibility()
    )
    with pytest.raises(Incompatible, match="takes no gradients"):
        Counts().with_loss(lambda logp, y: logp[:, 0])
    assert (
        cell_of("zipf | softmax-regression(lam=0.1) | replace | focal @ n=60 T=1").incompatibility()
        is None
    )
    with pytest.raises(Incompatible, match="choose lam=0"):
        scores("zipf | softmax-regression(lam=0.1) | replace | focal @ n=60 T=1")


def test_no_label_is_lost_under_doubt_and_smoothing():
    """A bigram loses tokens for good; where every token keeps some probability none is lost."""
    task = "bigram(K=8) | counts | replace"
    lost = {name: scores(f"{task} | {name} @ n=80 T=10")["support_lost"] for name in NAMES}
    lost["none"] = scores(f"{task} @ n=80 T=10")["support_lost"]
    assert (lost["none"] > 0.3).all()
    assert (lost["confidence-penalty"] == 0).all()
    assert (lost["label-smoothing"] == 0).all()


# -- early stopping -------------------------------------------------------------------------------------------------


def test_early_stopping_is_never_worse_on_its_rows():
    x, held = Stream(range(4)).normal(30, 4), Stream(range(4)).at("held").normal(50, 4)
    model = MLP(width=60, steps=120, lr=5e-3)
    for r in range(4):
        y, told = ((some[r, :, 0] > 0).long() for some in (x, held))
        y = y ^ (Stream(r).uniform(30) < 0.3).long()
        training_set, exam = (
            Corpus.of(x[r], y, (), labels=2),
            Corpus.of(held[r], told, (), labels=2),
        )
        teachers = [m.fit(training_set, Stream(r)) for m in (model, model.with_validation(exam))]
        plain, stopped = (int((t.answer(held[r], None) != told).sum()) for t in teachers)
        assert stopped <= plain


def test_early_stopping_counts_wrong_labels_before_nats():
    share = torch.full((2, 4), 0.25)
    y = torch.tensor([[0, 0, 1, 1]] * 2)

    def loss(*right):  # probability of the right label of each row
        p = torch.tensor([right] * 2).double()
        two = torch.stack([p, 1 - p], -1)
        return validation_loss(torch.where(y[..., None] == 0, two, two.flip(-1)).log(), y, share)

    sure, doubtful, one_wrong = loss(0.9, 0.9, 0.9, 0.9), loss(*[0.51] * 4), loss(1, 1, 1, 0.49)
    assert (sure < doubtful).all()
    assert (doubtful < one_wrong).all()
    assert (loss(1, 1, 1, 0.0) < loss(0.49, 0.49, 1, 1)).all()  # one without hope, or two wrong


@pytest.mark.parametrize("model", ["logistic(steps=60)", "mlp(width=16, steps=60)"])
def test_early_stopping_judges_a_replaced_loss_by_labels(model):
    """The rows with the fewest wrong labels are kept, whatever loss the training has."""
    cell = cell_of(f"half-space(d=4) | {model} | replace @ n=40 T=0", seeds=range(3))
    data, rng = nature(cell), Stream(range(3), "rows")
    rows = [
        Corpus.of(x, data.answer(x, rng), (3,), labels=2)
        for x in (data.ask(30, rng.at(name)) for name in ("read", "held"))
    ]
    fitted = [
        m.fit(rows[0], rng.at("fit"))
        for m in (lift(cell.model).with_loss(Smoothed(0.4)),)
        for m in (m, m.with_validation(rows[1]))
    ]
    plain, stopped = ((t.answer(rows[1].x, rng) != rows[1].y).sum(-1) for t in fitted)
    assert (stopped <= plain).all()


def test_early_stopping_pays_for_its_rows():
    now = last(
        "half-space(d=4) | mlp(width=8, steps=20) | replace | early-stopping(share=0.25) @ n=40 T=3"
    )
    assert now.ledger.by_methods("real_rows") == 30
    assert now.ledger.track() == "real"
    assert (
        "none to stop"
        in cell_of("linear | ridge | replace | early-stopping @ n=40 T=3").incompatibility()
    )


# -- Gaussians: extrapolation and anchors ---------------------------------------------------------------------------


@pytest.mark.parametrize("w", [-0.5, 0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("scale", [1.0, 1e-180])
@pytest.mark.parametrize("d", [1, 3])
def test_a_blend_of_gaussians_is_one_of_means_and_covariances(w, scale, d):
    one, two = (
        GaussianTeacher(
            rng.normal(d).double(), scale * (torch.eye(d) + 0.2 * rng.normal(d, d)).double()
        )
        for rng in (Stream(range(4), "one"), Stream(range(4), "two"))
    )
    two = dataclasses.replace(
        two, factor=0.6 * two.factor
    )  # so that 1.5 of one is more than 0.5 of the other
    if w > 1:
        one, two = two, one
    mean, factor = one.blend(two, w).mean_and_factor()
    torch.testing.assert_close(mean, torch.lerp(one.mean, two.mean, w))
    mine, theirs, blended = ((f / scale) @ (f / scale).mT for f in (one.factor, two.factor, factor))
    torch.testing.assert_close(blended, (1 - w) * mine + w * theirs)
    assert dataclasses.replace(one, temperature=0.5).blend(two, w).temperature == 0.5


def test_a_covariance_that_would_be_negative_is_none():
    eye = torch.eye(2).double()
    one, two = (
        GaussianTeacher(torch.zeros(2).double(), f)
        for f in (eye, torch.tensor([[3.0, 0], [0, 1]]).double())
    )
    _, factor = one.blend(two, -0.5).mean_and_factor()  # 1.5 - 0.5 * 9 and 1.5 - 0.5
    torch.testing.assert_close(factor @ factor.mT, torch.tensor([[0.0, 0], [0, 1]]).double())


@pytest.mark.parametrize(
    ("d", "lam", "w"), [(1, 0.8, 0.5), (1, 0.9, 1.0), (1, 1.0, 1.0), (3, 0.8, 1.25)]
)
def test_neon_on_a_gaussian(d, lam, w):
    """A sampler that shrinks by lam leaves lam (1 + w (1 - lam)) of the covariance a generation, where it left lam; the mean
    of a generation errs by lam + w^2 lam^2 times the variance over n more than the one before.  At w = 1 / lam nothing is
    lost on average.  Derived here; exact, but for chains in which less than nothing would be left."""
    n, T, v, e = 80, 4, 1.0, 1.0 / 80
    world = f"gaussian(d={d}) | gaussian-fit | replace(decode=temperature(t={lam}))"
    for k, _, _, data in (curve := list(follow(f"{world} | neon(w={w}) @ n={n} T={T}", 4000))):
        if k > 1:
            v, e = v * lam * (1 + w * (1 - lam)), e + v * (lam + (w * lam) ** 2) / n
        told = data.diagnostics(curve[k - 1][1])
        if k in (2, T + 1):
            holds(f"neon d={d} lam={lam} w={w}, k={k}: variance", told["variance"], v)
            holds(f"neon d={d} lam={lam} w={w}, k={k}: drift", told["mean_drift"], d * e)


def test_neon_without_a_bias_adds_only_noise():
    spec = "gaussian(d=2) | gaussian-fit | replace{} @ n=50 T=5"
    with_it, without = (
        last(spec.format(act), range(400)).scores["w2"].mean() for act in (" | neon(w=1)", "")
    )
    assert with_it > 1.3 * without


@pytest.mark.parametrize("a", [0.2, 0.5])
def test_averaging_with_generation_0_bounds_the_error_of_a_mean(a):
    """e_t = (sigma^2 / n) (1 + sum over i <= t of (1 - a)^2i), which stays below e_0 / (a (2 - a)).  Derived here; exact."""
    n, T, s = 20, 8, 2.0
    law = [s**2 / n * sum((1 - a) ** (2 * i) for i in range(t + 1)) for t in range(T + 1)]
    spec = f"gaussian(sigma={s}) | gaussian-fit(sigma={s}) | replace | weight-averaging(a={a}) @ n={n} T={T}"
    for k, _, score, _ in follow(spec, 4000):
        if k in (2, 4, T + 1):
            holds(f"weight averaging a={a} t={k - 1}", score["w2"], law[k - 1])
    assert law[-1] < law[0] / (a * (2 - a))


def test_an_anchor_is_an_average_and_the_noise_of_its_rows():
    """u' = c (u + noise of n rows) + (1 - c) noise of beta n rows, c = 1 / (1 + beta), u the error beside that of
    generation 0.  Derived here; exact for a mean of known variance."""
    task, n, T, beta = "gaussian(sigma=1) | gaussian-fit(sigma=1) | replace", 20, 6, 0.5
    u, c = 0.0, 1 / (1 + beta)
    for _ in range(T):
        u = c**2 * (u + 1 / n) + (1 - c) ** 2 / (beta * n)
    *_, (_, _, score, _) = follow(f"{task} | anchor(beta={beta}) @ n={n} T={T}", 4000)
    holds("anchor", score["w2"], 1 / n + u)


@pytest.mark.parametrize(
    "training_set", ["accumulate | distrust +", "accumulate | ", "replace | distrust +"]
)
def test_an_anchor_weighs_generation_0_beside_any_lesson(training_set):
    """A table read beside beta times its weight of generation 0: as far from it as an average would be, up to the noise of
    the rows that generation 0 writes."""
    task = "zipf(K=5, beta=1, sampler=exact-law) | counts"
    seeds, near = range(40), []
    for act in ("anchor(beta=3)", "weight-averaging(a=0.75)"):
        first, *_, now = generations(
            cell_of(f"{task} | {training_set} {act} @ n=20000 T=2", seeds=seeds)
        )
        near.append(now.teacher.p - first.teacher.p)
    assert near[0].abs().mean() < 2.5 * near[1].abs().mean() + 0.004
    free = last(f"{task} | {training_set.rstrip('+| ')} @ n=20000 T=2", seeds)
    assert free.scores["total_variation"].mean() > 0


@pytest.mark.parametrize(("n", "mu"), [(8, 1.0), (8, 9.0)])
def test_the_autophagy_penalty_takes_the_bias_out_of_a_variance(n, mu):
    """Divided by n a variance keeps 1 - 1/n a fit, with the penalty (1 - 1/n) (1 + mu / (1 + mu) / n).  Derived here; exact."""
    w, T, bias = mu / (1 + mu), 3, 1 - 1 / n
    spec = f"gaussian | gaussian-fit(ddof=0) | replace | autophagy-penalty(mu={mu}, pupils=40) @ n={n} T={T}"
    *_, (_, teacher, _, data) = follow(spec, 6000)
    holds(
        f"autophagy n={n} mu={mu}",
        data.diagnostics(teacher)["variance"],
        bias * (bias * (1 + w / n)) ** T,
    )


@pytest.mark.parametrize(("name", "neutral"), MODELS.items())
@pytest.mark.parametrize(
    "task",
    [
        "gaussian(d=2) | gaussian-fit | replace",
        "linear(d=3) | ridge | accumulate",
        "zipf(K=20) | counts | replace",
        "half-space(d=4) | averaging | replace",
        "grammar-stories | ngram(order=2) | replace",
        "gcd(max=30, test=20, each=1) | gcd-sieve | replace",
    ],
)
def test_at_its_neutral_value_a_wrapper_is_nothing_and_at_work_it_is_charged(task, name, neutral):
    plain = scores(f"{task} @ n=40 T=2")
    for key, value in scores(f"{task} | {name}({neutral}) @ n=40 T=2").items():
        assert torch.equal(value, plain[key]) or (value.isnan() & plain[key].isnan()).all()
    now = last(f"{task} | {name} @ n=40 T=2")
    extra = {"neon": 1, "autophagy-penalty": 4}.get(name, 0)
    assert now.ledger.total("fits") == 3 + 2 * extra
    read = [80, 120] if "accumulate" in task else [40, 40]
    rows = sum(read) // 2 if name == "anchor" else 80 * extra
    assert now.ledger.by_methods("generated_rows") == rows
    reads_first = name in ("anchor", "weight-averaging")
    assert now.ledger.track() == ("first" if reads_first else "blind")
    assert all(
        value.isfinite().all()
        for key, value in now.scores.items()
        if key == cell_of(task + " @ n=4").data.primary
    )


@pytest.mark.parametrize("act", ["weight-averaging", "anchor", "neon"])
def test_where_a_flawed_source_teaches_first_there_is_no_generation_0_yet(act):
    task = "half-space(d=4) | averaging | replace"
    plain, held = (
        list(
            generations(cell_of(f"{task} {a} @ n=60 T=2 first=noisy-labels(p=0.2)", seeds=range(3)))
        )
        for a in ("", f"| {act}")
    )
    if act != "neon":
        assert torch.equal(plain[0].scores["error_rate"], held[0].scores["error_rate"])
    assert not torch.equal(plain[2].scores["error_rate"], held[2].scores["error_rate"])


@pytest.mark.parametrize("protocol", ["accumulate", "replace", "mix(real=0.3)"])
@pytest.mark.parametrize("act", MODELS)
def test_corpora_that_are_known_by_sums_will_do(protocol, act):
    for task in (
        "gaussian(d=2, sampler=exact-law) | gaussian-fit",
        "linear(d=3, sampler=exact-law) | ridge",
    ):
        now = last(f"{task} | {protocol} | {act} @ n=40 T=3")
        assert all(value.isfinite().all() for value in now.scores.values())


# -- tables and n-grams that are driven off -------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ngram(order=1)", "ngram(order=3)"])
def test_taking_away_what_one_is_leaves_what_one_is(model):
    """(1 + w) theta - w theta = theta, however much was read of either."""
    (now,) = generations(cell_of(f"grammar-stories | {model} | replace @ n=50 T=0", seeds=range(2)))
    teacher = now.teacher
    twice = dataclasses.replace(teacher, count=3 * teacher.count)
    torch.testing.assert_close(teacher.blend(twice, -0.7).count, teacher.count)


def test_what_a_table_loses_beyond_zero_is_zero():
    read = (
        Corpus.of(None, torch.arange(3), (), count=torch.tensor(c), labels=3)
        for c in ([8, 1, 1], [2, 8, 0])
    )
    one, two = (Counts().fit(corpus, None) for corpus in read)
    torch.testing.assert_close(one.blend(two, -1.0).p, torch.tensor([14.0, 0, 2]).double() / 16)


# -- going on from weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "model", "small"),
    [
        ("half-space(d=4)", "mlp", "width=8, steps=40"),
        ("digits", "cnn", "steps=4"),
        ("grammar-stories", "causal-lm", "layers=1, width=8, heads=2, steps=4"),
        ("gcd(max=30, test=20, each=1)", "transformer", "layers=1, width=8, heads=2, steps=4"),
        ("gaussian(d=2)", "vae", "latent=2, width=8, steps=4"),
        ("gaussian(d=2)", "ddpm", "width=8, depth=1, levels=3, steps=4"),
    ],
)
def test_a_tune_goes_on_from_the_weights_it_is_given(task, model, small):
    """At a rate of nothing it ends where it began, and it takes its share of the steps."""
    cell = cell_of(f"{task} | {model}({small}) | replace @ n=40 T=0", seeds=range(2))
    (now,) = generations(cell)
    data, rng = nature(cell), Stream(range(2), "tune")
    x = data.ask(20, rng.at("x"))
    y = data.answer(x, rng.at("y"))
    corpus = Corpus.of(x, y, (2,), labels=data.labels)
    still = lift(dataclasses.replace(cell.model, lr=1e-30)).with_start(now.teacher, 0.5)
    begun = still.fit(corpus, rng.at("fit"))
    assert torch.equal(now.teacher.answer(x, rng.at("a")), begun.answer(x, rng.at("a")))
    assert begun.account["steps"] == now.teacher.account["steps"] / 2
    moved = (
        lift(dataclasses.replace(cell.model, lr=0.1))
        .with_start(now.teacher, 0.5)
        .fit(corpus, rng.at("fit"))
    )
    pairs = zip(
        begun.teachers[0].module.parameters(), moved.teachers[0].module.parameters(), strict=True
    )
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_weights_of_unrelated_starts_are_not_averaged():
    for model, fine in (("mlp", False), ("mlp(depth=0)", True), ("cnn", False)):
        why = cell_of(f"digits | {model} | replace | weight-averaging @ n=40 T=1").incompatibility()
        assert why is None if fine else "so an average has no meaning" in why
        assert cell_of(f"digits | {model} | replace | anchor @ n=40 T=1").incompatibility() is None
    for init, fine in (("scratch", False), ("previous", True)):
        why = cell_of(
            f"grammar-stories | causal-lm(init={init}) | replace | weight-averaging @ n=40 T=1"
        ).incompatibility()
        assert (why is None) is fine


def test_diffusion_is_guided_and_nothing_else():
    assert (
        "use neon instead"
        in cell_of("gaussian | vae | replace | negative-guidance @ n=40 T=1").incompatibility()
    )
    for act in ("neon", "autophagy-penalty"):
        assert (
            "blends predicted noise"
            in cell_of(f"gaussian | ddpm | replace | {act} @ n=40 T=1").incompatibility()
        )


@pytest.mark.slow
def test_negative_guidance_undoes_a_sampler_that_shrinks():
    """Diffusion that is read out at half its variance: what guidance opposes is narrower, so that more is left."""
    world = "gaussian(truth_is=fixed) | ddpm(width=32, depth=2, levels=20, steps=600) | replace(decode=temperature(t=0.6))"
    without, with_it = (
        last(f"{world} {act} @ n=500 T=1", range(2)).teacher.mean_and_factor()[1][..., 0, 0] ** 2
        for act in ("", "| negative-guidance(w=1, tune=0.5)")
    )
    assert (without < 0.75).all()
    assert (with_it > 1.2 * without).all()


# -- together -------------------------------------------------------------------------------------------------------

PAIRS = list(
    itertools.permutations(
        [
            "truncated-ce",
            "weight-averaging",
            "anchor",
            "neon",
            "autophagy-penalty",
        ],
        2,
    )
)


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_two_methods_use_together_what_each_uses(one, two):
    now = last(f"bigram(K=5) | counts | mix(real=0.2) | {one} + {two} @ n=50 T=2")
    reads_first = any(act.startswith(("anchor", "weight-averaging")) for act in (one, two))
    assert now.ledger.track() == ("first" if reads_first else "blind")
    assert (now.scores["total_variation"] < 1).all()


def test_a_wrapper_lets_a_loss_through_in_either_order():
    task = "bigram(K=5) | counts | replace"
    for wrapper in ("weight-averaging", "neon(w=0.3)", "autophagy-penalty"):
        for loss in ("focal", "label-smoothing"):
            one, two = (
                scores(f"{task} | {a} + {b} @ n=50 T=2")
                for a, b in ((wrapper, loss), (loss, wrapper))
            )
            torch.testing.assert_close(one["total_variation"], two["total_variation"])
            alone = scores(f"{task} | {wrapper} @ n=50 T=2")["total_variation"]
            assert not torch.allclose(one["total_variation"], alone)


def test_a_wrapper_lets_validation_through():
    now = last(
        "linear(d=5) | ridge | replace | weight-averaging + tuned-penalty(share=0.5) @ n=40 T=2"
    )
    other = last(
        "linear(d=5) | ridge | replace | tuned-penalty(share=0.5) + weight-averaging @ n=40 T=2"
    )
    torch.testing.assert_close(now.scores["excess_risk"], other.scores["excess_risk"])
    assert now.ledger.track() == "first+real"
