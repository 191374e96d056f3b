"""Mitigations that ask where a row comes from, or write it anew: each against its law."""

from __future__ import annotations

import dataclasses
import itertools
import math
from operator import attrgetter

import closed_forms as law
import pytest
import torch
from holding import LARGEST_Z, agrees, follow, holds, log, z_of
from scipy.stats import binom

from collapse_bench import cell_of, generations
from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.lib.distributions.tables import ContextTeacher, TableTeacher
from collapse_bench.lib.rows.resampling import raced
from collapse_bench.lib.text.grams import token_pairs
from collapse_bench.plugins.mitigations.detector_resampling._detection import detector, logistic
from collapse_bench.plugins.mitigations.watermark import Favour, green, score

# -- how the teacher is read out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        "zipf(K=10000, beta=1.5, sampler=exact-law) | counts | replace{} @ n=10000 T=20",
        "gaussian(d=3) | gaussian-fit | mix(real=0.3{}) @ n=20 T=4",
    ],
)
def test_unbiased_decoding_undoes_any_decoder(task):
    plain, comma = task.replace("{}", ""), "" if "replace{}" in task else ", "
    biased = "(decode=temperature(t=0.9))" if not comma else ", decode=temperature(t=0.9)"
    act, _, sizes = task.replace("{}", biased).partition(" @")
    seeds = range(10)
    undone = generations(cell_of(f"{act} | unbiased-decoding @{sizes}", seeds=seeds))
    for mine, theirs in zip(undone, generations(cell_of(plain, seeds=seeds)), strict=True):
        assert mine.scores.keys() == theirs.scores.keys()
        assert all(torch.equal(mine.scores[name], theirs.scores[name]) for name in mine.scores)


def test_unbiased_decoding_keeps_the_tail():
    # support after 20 generations, Zipf beta = 1.5, K = n = 10^4: 124 without bias against 2 at T = 0.9
    for entry, published in (("| unbiased-decoding ", 124), ("", 2)):
        spec = "zipf(K=10000, beta=1.5, sampler=exact-law) | counts | replace(decode=temperature(t=0.9)) "
        *_, (_, teacher, _, data) = follow(f"{spec}{entry}@ n=10000 T=20", 30)
        agrees(
            f"Zipf T=0.9 {entry}: support", data.diagnostics(teacher)["support"], published, 0.5, 10
        )


@pytest.mark.parametrize(
    ("act", "left"),
    [("min-p", 0.2 ** (-1 / 1.5)), ("hot(t=1.5, min_p=0.22)", 0.22 ** (-1.5 / 1.5))],
)
def test_min_p_leaves_ranks_up_to_a_power_of_the_floor(act, left):
    # one fit to 10^6 rows, of which the first ranks come out in their order
    spec = f"zipf(K=1000, beta=1.5, sampler=exact-law) | counts | replace | {act} @ n=1000000 T=1"
    *_, (_, teacher, _, data) = follow(spec, 4)
    assert (data.diagnostics(teacher)["support"] == math.floor(left)).all()


# -- watermark -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stories():
    """Real texts, (1, 400, L), the same under any key."""
    data = nature(cell_of("grammar-stories | ngram | replace @ n=400 T=0", seeds=[3]))
    rng = Stream([3])
    x = data.ask(400, rng.at("x"))
    return Corpus.of(x, data.answer(x, rng.at("y")), (1,), labels=data.labels)


@pytest.mark.parametrize("gamma", [0.25, 0.5])
def test_the_watermark_score_of_real_text_has_mean_0_and_variance_1_over_keys(stories, gamma):
    z = torch.stack(
        [score(*token_pairs(stories), key, gamma)[0] for key in range(300)]
    )  # (keys, texts)
    assert (z.std(0) > 0).all()
    each = (
        z.mean(-1),
        (z**2).mean(-1),
    )  # texts share pairs of words, so that keys are what is independent
    for name, sample, expected in (("mean", each[0], 0.0), ("second moment", each[1], 1.0)):
        measured, error, z_score = z_of(sample, expected)
        assert abs(z_score) <= LARGEST_Z, f"{name} of z: {measured:.4f}, standard error {error:.4f}"
        assert error < 0.05


def test_real_text_is_rarely_taken_for_marked(stories):
    gamma, threshold = 0.25, 2.0
    token, before = token_pairs(stories)
    z = torch.stack([score(token, before, key, gamma)[0] for key in range(300)])
    T = torch.tensor(
        [
            len({*zip(b.tolist(), t.tolist(), strict=True)} - {(b_, -1) for b_ in b.tolist()})
            for t, b in zip(token[0], before[0], strict=True)
        ]
    )
    due = binom.sf(
        (gamma * T + threshold * (T * gamma * (1 - gamma)).sqrt()).floor(), T, gamma
    ).mean()
    holds("watermark: false positives at z > 2", (z > threshold).double().mean(-1), due, sees=0.4)
    assert 0.5 < due / 0.02275 < 2  # of the order of 1 - Phi(2)
    far = (z > 4).double().mean()
    assert far < 5e-4  # 1 - Phi(4) = 3.2e-5; the binomial law of few tokens has a heavier tail


def test_a_green_list_gains_what_the_algebra_says():
    p = torch.rand(5, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(
        -1
    )
    favour = Favour(key=7, gamma=0.25, delta=2.0)
    for teacher in (TableTeacher(p), ContextTeacher(p[None, :, :].expand(2, -1, -1))):
        marked = teacher.decoded(processor=favour).read
        before = (
            torch.full((5, 1), -1) if type(teacher) is TableTeacher else torch.arange(5)[:, None]
        )
        listed = green(before, torch.arange(40), 7, 0.25)
        G = (p * listed).sum(-1)
        alpha = math.exp(2.0)
        assert torch.allclose(
            (marked * listed).sum(-1), (alpha * G / (1 + (alpha - 1) * G)).expand(marked.shape[:-1])
        )
    assert listed.any(-1).all()
    assert not listed.all(-1).any()


def test_own_outputs_are_found_as_often_as_the_green_share_says():
    # 200 tokens, all alike after every context, of which 60 are written: hits are binomial given the lists' sizes
    V, T, gamma, delta, key, chains, rows = 200, 60, 0.25, 2.0, 11, 4, 500
    uniform = torch.full((V, V), 1 / V, dtype=torch.float64).expand(chains, V, V)
    teacher, rng = (
        ContextTeacher(uniform).decoded(processor=Favour(key, gamma, delta)),
        Stream(range(chains)),
    )
    token, written = rng.integers(V, rows, 1), []
    for i in range(T):
        written.append(token[..., 0])
        token = teacher.answer(token, rng.at("write", i))[..., None]
    written = torch.stack([*written, token[..., 0]], -1)  # (R, rows, T + 1)
    z = score(written[..., 1:], written[..., :-1], key, gamma)
    G = green(torch.arange(V)[:, None], torch.arange(V), key, gamma).double().mean(-1)
    share = math.exp(delta) * G / (1 + (math.exp(delta) - 1) * G)  # after each token
    hit = green(written[..., :-1], written[..., 1:], key, gamma).double()
    excess = (hit - share[written[..., :-1]]).mean(-1).flatten()
    holds(
        "watermark: share of green tokens above what lists say, plus 1", 1 + excess, 1.0, sees=0.02
    )
    # pairs seldom come again (60^2 / 2 of 4 10^4), and a row is found where its hits pass 15 + 4 sqrt(60 x 3/16)
    due = binom.sf(
        math.floor(gamma * T + 4 * math.sqrt(T * gamma * (1 - gamma))), T, float(share.mean())
    )
    found = (z > 4).double().mean()
    assert due > 0.99
    assert abs(found - due) < 0.01, (found, due)


def test_the_watermark_takes_the_models_own_rows_out_of_a_mixture():
    spec = "grammar-stories | ngram | mix(real=0.5) | watermark(delta=6) @ n=200 T=2"
    kept = {}

    @dataclasses.dataclass(frozen=True)
    class Look(Mitigation):
        def curate(self, corpus, access):
            real = (access.provenance(corpus) == 0).double()
            for name, share in (("real", real), ("synthetic", 1 - real)):
                kept[access.t, name] = (corpus.weight * share).sum(-1) / share.sum(-1)
            return corpus

    cell = cell_of(spec, seeds=range(4))
    list(generations(dataclasses.replace(cell, mitigations=(*cell.mitigations, Look()))))
    for t in (1, 2):
        assert kept[t, "real"].mean() > 0.99
        assert kept[t, "synthetic"].mean() < 0.3


# -- drawing by weight ---------------------------------------------------------------------------------------------


def test_a_race_of_few_among_many_is_won_by_weight():
    # of a draw without replacement the first to arrive is row i with probability w_i / sum w, whatever the others do
    w, chains = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0]), 20000
    corpus = Corpus.of(None, torch.arange(5).expand(chains, 5), (chains,), labels=5)
    won = raced(corpus, w.log().double().expand(chains, 5), 0.2, Stream(range(chains)))
    assert (won.sum(-1) == 1).all()
    for i in range(4):
        holds(f"race: row {i} is first", won[:, i], float(w[i] / w.sum()))
    assert (won[:, 4] == 0).all()


@pytest.mark.parametrize(("share", "copies"), [(0.3, 1), (1.5, 3), (2.0, 3), (0.02, 1)])
def test_identical_rows_race_as_if_each_ran_alone(share, copies):
    # 3 kinds of rows, 600 of each: what is told of a count is the mean of what single rows do
    chains, many, log_weight = 200, 600, torch.tensor([0.0, -1.0, -3.0], dtype=torch.float64)
    kind = torch.arange(3).repeat_interleave(many).expand(chains, -1)
    single = Corpus.of(None, kind, (chains,), labels=3)
    taken = raced(single, log_weight[kind], share, Stream(range(chains)), copies)
    assert taken.max() <= copies
    assert (taken.sum(-1) == round(share * 3 * many)).all()
    counted = Corpus.of(
        None, torch.arange(3).expand(1, 3), (1,), count=torch.full((1, 3), many), labels=3
    )
    mean = raced(counted, log_weight[None], share, Stream([0]), copies)[0]
    assert mean.sum() * many == pytest.approx(share * 3 * many)
    for i in range(3):
        each = taken[:, i * many : (i + 1) * many].mean(-1)
        holds(
            f"race of counts: share {share}, {copies} copies, kind {i}",
            each,
            float(mean[i]),
            slack=0.01,
            sees=0.3,
        )


def test_gram_ratios_draw_single_symbols_by_the_law_of_real_rows():
    # two worlds of five symbols; few of many rows are kept, so that their law is that of the real rows looked at
    spec = "zipf(K=5, beta=1, truth_is=fixed, sampler=exact-law) | counts | replace | ngram-resampling(real=1, keep=0.0001, refill=false)"
    seen = generations(
        cell_of(
            f"{spec} @ n=1000000 T=1 first=zipf(K=5, beta=3, sampler=exact-law)", seeds=range(3)
        )
    )
    *_, last = seen
    assert (
        last.scores["total_variation"] < 0.003
    ).all()  # without it the other world's law is 0.38 away


# -- the detector --------------------------------------------------------------------------------------------------

#: real world, the world that the synthetic rows come from, model, and what a curve of two parameters may miss
WORLDS = {
    "numbers": ("gaussian(d=2)", "gaussian(d=2, sigma=1.4)", "gaussian-fit", 0.0),
    "questions": ("linear(d=4, noise=0.5)", "linear-surrogate(c2=0.3)", "ols", 0.03),
    "classes": ("half-space(d=5, mu2=2)", "half-space(tilt=1.0)", "averaging", 0.03),
    "symbols": ("zipf(K=20, beta=1)", "zipf(K=20, beta=1.6)", "counts", 0.05),
    "pairs": ("bigram(K=6, beta=0.8)", "bigram(K=6, beta=1.6)", "counts", 0.05),
    "equals": ("gaussian(d=2)", "gaussian(d=2)", "gaussian-fit", 0.0),
}


def scored(world, k=600, chains=60, fresh=600):
    """(probability of being synthetic, whether it is), (R, 2 fresh), of rows that the detector has not learnt from."""
    true, false, model, _ = WORLDS[world]
    cell, root = (
        cell_of(f"{true} | {model} | replace @ n=10 T=0 first={false}"),
        Stream(range(chains)),
    )
    data = cell.data.sample_truth(root.at("truth"))
    beside = "surrogate" in false or "tilt" in false or "zipf" in false
    other = cell.first_teacher.sample_truth(
        root.at("other" if beside else "truth"), data if beside else None
    )

    def rows(teacher, n, name):
        rng = root.at(name)
        x = data.ask(n, rng.at("x"))
        y = data.observe(teacher.answer(x, rng.at("y")), rng.at("noise"))
        return Corpus.of(x, y, rng.chain_shape, labels=data.labels)

    learnt = rows(other, k, "synthetic"), rows(data, k, "real")
    told = detector(*learnt, root.at("learn"), tokens=model == "counts")
    p = [
        told(rows(other, fresh, "new synthetic")).sigmoid(),
        told(rows(data, fresh, "new real")).sigmoid(),
    ]
    return torch.cat(p, -1), torch.cat([torch.ones_like(p[0]), torch.zeros_like(p[1])], -1)


@pytest.mark.parametrize("world", [world for world in WORLDS if world != "equals"])
def test_of_rows_scored_p_a_share_p_is_synthetic(world):
    p, synthetic = scored(world)
    assert ((p - 0.5) * (synthetic - 0.5)).mean() > 0.003  # it has learnt something
    edges = torch.quantile(p.flatten(), torch.linspace(0, 1, 6, dtype=p.dtype)).unique()
    edges[-1] += 1
    for low, high in itertools.pairwise(edges):
        here = ((p >= low) & (p < high)).double()
        # per chain, so that what chains share of their own detector is in the standard error; its mean is the bin's
        gap = (here * (synthetic - p)).sum(-1) / here.sum(-1).mean()
        measured, error, z = z_of(gap, 0.0)
        log.info(
            "calibration of %s, p in [%.2f, %.2f) | %+.4f | 0 | %+.2f",
            world,
            low,
            high,
            measured,
            z,
        )
        assert abs(measured) <= LARGEST_Z * error + WORLDS[world][-1], (
            f"p in [{low:.2f}, {high:.2f}): {measured:+.4f}"
        )
        assert error < 0.015


def test_a_detector_of_equals_tells_nothing():
    p, synthetic = scored("equals", chains=200)
    rank = p.argsort(-1).argsort(-1).double()
    half = p.shape[-1] // 2
    auroc = ((rank * synthetic).sum(-1) - half * (half - 1) / 2) / half**2
    holds("detector of equals: AUROC", auroc, 0.5, sees=0.02)
    assert (p - 0.5).abs().mean() < 0.05  # and knows it


@pytest.mark.parametrize(("n", "f", "ridge"), [(40, 3, 1.0), (30, 40, 0.5), (50, 2, 0.0)])
def test_logistic_regression_against_scikit_learn(n, f, ridge):
    from sklearn.linear_model import LogisticRegression

    rng = Stream([1, 2])
    features, u = rng.normal(n, f).double(), rng.uniform(n)
    target, mass = (u < (features[..., 0]).sigmoid()).double(), rng.integers(3, n).double()
    found = logistic(features, target, mass, ridge)
    for r in range(2):
        theirs = LogisticRegression(C=1 / ridge if ridge else 1e12, tol=1e-10, max_iter=10_000)
        theirs.fit(features[r].numpy(), target[r].numpy(), sample_weight=mass[r].numpy())
        due = torch.tensor([*theirs.coef_[0], theirs.intercept_[0]])
        assert torch.allclose(found[r], due, rtol=1e-3, atol=1e-3)


# -- rows written anew ---------------------------------------------------------------------------------------------


def test_frozen_labels_stop_a_chain_at_its_second_fit():
    spec = "linear(d=4) | ols | replace | frozen-relabel @ n=30 T=6"
    for k, _, scores, _ in follow(spec, 4000):
        holds(
            f"OLS frozen labels: k={k}", scores["excess_risk"], law.ols_replace(4, [30] * min(k, 2))
        )


def test_noise_widens_a_gaussian_by_its_square():
    share, n = 0.4, 25
    spec = f"gaussian | gaussian-fit | replace | noise-augmentation(share={share}) @ n={n} T=4"
    for k, teacher, _, data in follow(spec, 20000):
        holds(
            f"noise: variance, k={k}",
            data.diagnostics(teacher)["variance"],
            (1 + share**2 * (1 - 1 / n)) ** (k - 1),
        )


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_noise_on_inputs_shrinks_a_linear_model_as_ridge_does(share):
    """Least squares on noisy Gaussian inputs: w / (1 + share^2) per generation, Bishop's penalty."""
    n, T = 400, 2
    spec = f"linear(d=3, truth_is=fixed) | ols | replace | noise-augmentation(share={share}) @ n={n} T={T}"
    for k, teacher, _, data in follow(spec, 1500):
        along = (data.weights(teacher) * data.truth.w).sum(-1) / (data.truth.w**2).sum(-1)
        holds(f"noise on inputs: slope, k={k}", along, (1 + share**2) ** -(k - 1), slack=1 / n)


def test_noise_is_on_questions_or_on_labels():
    def rows(task, act):
        seen = []

        @dataclasses.dataclass(frozen=True)
        class Watch(Mitigation):
            def curate(self, corpus, access):
                seen.append(corpus)
                return corpus

        cell = cell_of(f"{task} | replace @ n=30 T=1", seeds=[1])
        acts = (Watch(), *cell_of(f"{task} | replace | {act} @ n=30 T=1").mitigations, Watch())
        for _ in generations(dataclasses.replace(cell, mitigations=acts)):
            pass
        return (
            [sorted(v(c).flatten().tolist()) for c in seen]
            for v in (attrgetter("x"), attrgetter("y"))
        )

    for task in ("linear(d=2) | ols", "half-space(d=3) | averaging", "bigram(K=5) | counts"):
        for act, question in (
            ("noise-augmentation(share=1)", True),
            ("noise-augmentation(share=1, labels=true)", False),
        ):
            (x0, x1), (y0, y1) = rows(task, act)
            assert (x0 != x1, y0 != y1) == (question, not question), (task, act)
    for task in ("gaussian | gaussian-fit", "zipf(K=9) | counts", "grammar-stories | ngram"):
        (x0, x1), (y0, y1) = rows(task, "noise-augmentation(share=1)")
        assert (x0 != x1, y0 != y1) == (False, True), task


def test_symbols_drawn_anew_drift_faster():
    share, n = 0.3, 20
    spec = (
        f"zipf(K=30, beta=1.5) | counts | replace | noise-augmentation(share={share}) @ n={n} T=5"
    )
    for k, teacher, _, data in follow(spec, 8000):
        p = data.truth.teacher.p[0]
        due = (
            float(1 - (p**2).sum()) * (1 - 1 / n) ** k * (1 - (1 - (1 - share) ** 2) / n) ** (k - 1)
        )
        holds(f"noise: heterozygosity, k={k}", data.diagnostics(teacher)["heterozygosity"], due)


def test_quantiles_of_as_many_real_rows_are_those_rows():
    # with gamma = 1 every lesson is the expert's rows: no generation differs from another, nor from a fit to them
    spec = "gaussian | gaussian-fit | {} | quantile-map(gamma=1, k=40) @ n=40 T=4"
    for protocol in ("replace", "accumulate-subsample"):
        moments = [
            now.teacher.mean_and_factor()
            for now in generations(cell_of(spec.format(protocol), seeds=range(20)))
        ]
        for mean, factor in moments[2:]:
            assert torch.allclose(mean, moments[1][0], rtol=0, atol=1e-12)
            assert torch.allclose(factor, moments[1][1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.2, 0.5])
def test_a_quantile_map_holds_the_mean_by_a_spring(gamma):
    n, keep = 20, (1 - gamma) ** 2
    spec = f"gaussian | gaussian-fit(sigma=1.0) | replace | quantile-map(gamma={gamma}, k={n}) @ n={n} T=25"
    *_, (_, _, scores, _) = follow(spec, 8000)
    holds(f"quantile-map gamma={gamma}: W2^2", scores["w2"], 1 / n + keep / (1 - keep) / n)


def test_a_corrected_loop_stays_nearer_to_the_truth():
    """The paper's toy: a Gaussian in two dimensions, n = 100, all rows synthetic, many rounds."""
    loss = {}
    for act in ("none", "self-correction"):
        spec = f"gaussian(d=2) | gaussian-fit | replace | {act} @ n=100 T=30"
        *_, now = generations(cell_of(spec, seeds=range(60)))
        loss[act] = now.scores["w2"].double()
    gain = loss["none"] - loss["self-correction"]
    assert float(gain.mean()) > 3 * float(gain.std()) / len(gain) ** 0.5


def test_corrected_rows_are_centers_and_real_rows_stay():
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Watch(Mitigation):
        def curate(self, corpus, access):
            seen.append((corpus.y, access.provenance(corpus) > 0))
            return corpus

    cell = cell_of(
        "gaussian(d=2) | gaussian-fit | mix(real=0.5) | self-correction(clusters=5) @ n=40 T=1",
        seeds=[3],
    )
    for _ in generations(dataclasses.replace(cell, mitigations=(*cell.mitigations, Watch()))):
        pass
    [(y, synthetic)] = seen
    assert len(y[synthetic].unique(dim=0)) <= 5
    assert len(y[~synthetic].unique(dim=0)) == 20


def test_edits_of_single_symbols_eat_the_head():
    # the head is foretold throughout (p >= 0.4), and every head that is read is drawn anew from the teacher's law
    spec = "zipf(K=4, beta=3, truth_is=fixed) | counts | replace | token-edit(p=0.4, k=4, fresh=true) @ n=400 T=3"
    head = None
    for k, teacher, _, data in follow(spec, 1000):
        head = float(data.truth.teacher.p[0, 0])
        holds(f"token-edit: head after k={k}", teacher.p[:, 0], head**k)
    assert head**3 > 0.5


def test_edits_that_say_the_same_again_change_nothing():
    # of the one likeliest token, what was foretold beyond doubt is said again: every lesson is the real rows
    spec = "zipf(K=30, beta=2) | counts | replace | token-edit(p=0.51, k=1) @ n=50 T=3"
    moments = [now.teacher.p for now in generations(cell_of(spec, seeds=range(20)))]
    assert torch.equal(moments[1], moments[2])
    assert torch.equal(moments[2], moments[3])
    assert not torch.equal(moments[0], moments[1])
