"""Mitigations that select: limits, what they charge, and rows that are absent, equal or rare."""

from __future__ import annotations

import math

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.access import Access
from collapse_bench.core.components import BiasedVerifier, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.rows.selection import likelihood, numbers, refilled
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.plugins.generators.zipf import Zipf
from collapse_bench.plugins.mitigations.deduplicate import Deduplicate
from collapse_bench.plugins.mitigations.entropy_selection import EntropySelection
from collapse_bench.plugins.mitigations.kmeans_cover import KMeansCover
from collapse_bench.plugins.mitigations.low_perplexity import LowPerplexity
from collapse_bench.plugins.mitigations.moment_matching import MomentMatching, closest


def run(spec: str, seeds=(1, 2, 3)):
    cell = cell_of(spec, seeds=seeds)
    assert cell.incompatibility() is None, cell.incompatibility()
    return list(generations(cell))


def taps_of(data, n: int = 20, teacher=None) -> Access:
    rng = Stream([4, 5])
    drawn = data.sample_truth(rng.at("truth"))
    return Desk(drawn, teacher or drawn, 1, n, rng, Ledger()).access(PROTOCOL)


# -- limits and prices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "how"),
    [
        ("gaussian(d=2) | gaussian-fit", "low-perplexity(keep=1)"),
        ("gaussian(d=2) | gaussian-fit", "best-of-k(k=1)"),
        ("gaussian(d=2) | gaussian-fit", "self-selection(k=1)"),
        ("gaussian(d=2) | gaussian-fit", "kmeans-cover(keep=1)"),
        ("gaussian(d=2) | gaussian-fit", "moment-matching(pool=1)"),
        ("gaussian(d=2) | gaussian-fit", "verified-retraining(slack=1e9, oversample=1)"),
        ("linear(d=2) | ols", "verified-retraining(slack=1e9, oversample=1)"),
        ("linear(d=2) | ols", "noisy-verify(phi=1, psi=1, refill=1)"),
    ],
)
def test_at_its_neutral_value_a_method_does_nothing(task, how):
    ours, none = (run(f"{task} | accumulate | {act} @ n=20 T=3") for act in (how, "none"))
    for left, right in zip(ours, none, strict=True):
        for name, value in left.scores.items():
            assert torch.allclose(value, right.scores[name], rtol=1e-9), name


@pytest.mark.parametrize(
    ("task", "how", "track", "spent"),
    [
        ("linear(d=3) | ols", "noisy-verify", "verifier", {"verifier_calls": 80}),
        ("linear(d=3) | ols", "oracle-verify(refill=1)", "verifier", {"verifier_calls": 40}),
        ("linear(d=3) | ols", "low-perplexity", "blind", {}),
        (
            "linear(d=3) | ols",
            "best-of-k(k=4)",
            "first+provenance",
            {"generated_rows": 120, "provenance_lookups": 40},
        ),
        (
            "linear(d=3) | ols",
            "best-of-k(k=4, reward=verifier)",
            "provenance+verifier",
            {"verifier_calls": 160},
        ),
        (
            "linear(d=3) | ols",
            "verified-retraining",
            "first+verifier",
            {"verifier_calls": 80},
        ),
        (
            "linear(d=3) | ols",
            "verified-retraining(as_first=false)",
            "verifier",
            {"verifier_calls": 80},
        ),
        (
            "linear(d=3) | ols",
            "self-selection(k=3)",
            "provenance",
            {"generated_rows": 80, "provenance_lookups": 40},
        ),
        ("grammar-stories | ngram(order=2)", "deduplicate", "blind", {}),
        (
            "linear(d=3) | ols",
            "moment-matching(real=0.5)",
            "real",
            {"real_rows": 20, "real_unique": 10},
        ),
        ("gaussian | gaussian-fit", "kmeans-cover", "blind", {}),
        ("gaussian | gaussian-fit", "entropy-selection", "blind", {}),
    ],
)
def test_the_ledger_shows_the_track_that_the_page_names(task, how, track, spent):
    ledger = run(f"{task} | replace | {how} @ n=20 T=2")[-1].ledger
    assert ledger.track() == track
    for substance, amount in spent.items():
        assert ledger.by_methods(substance) == amount


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("half-space | averaging | replace | best-of-k", "one label to a question"),
        (
            "gaussian(sampler=exact-law) | gaussian-fit | replace | best-of-k",
            "choose sampler=explicit",
        ),
        ("gaussian | gaussian-fit | replace | best-of-k(reward=verifier)", "has no verifier"),
        ("linear | ols | replace | best-of-k(reward=coordinate)", "linear is regression"),
        ("zipf | counts | replace | verified-retraining", "zipf has none"),
        ("pictures | vae | replace | oracle-verify", "pictures has no verifier"),
        ("linear | ols | replace | kmeans-cover", "fits density data"),
        ("zipf | counts | replace | deduplicate", "fits sequence data"),
        ("half-space | averaging | replace | self-selection", "one label to a question"),
    ],
)
def test_where_it_makes_no_sense_a_sentence_says_why(spec, words):
    assert words in cell_of(spec).incompatibility()


def test_a_verifier_that_passes_nothing_is_refused():
    with pytest.raises(UsageError, match="phi or psi must be positive"):
        cell_of("linear | ols | replace | noisy-verify(phi=0, psi=0)")


# -- refill ---------------------------------------------------------------------------------------------------------

FILTERS = {
    "low-perplexity": "gaussian(d=2) | gaussian-fit",
    "high-surprise": "gaussian(d=2) | gaussian-fit",
    "kmeans-cover": "gaussian(d=2) | gaussian-fit",
    "moment-matching": "gaussian(d=2) | gaussian-fit",
    "oracle-verify": "half-space(d=5) | averaging",
    "noisy-verify(phi=1, psi=1)": "half-space(d=5) | averaging",
    "verified-retraining(slack=1e9)": "linear(d=2) | ols",
}


@pytest.mark.parametrize("how", FILTERS)
@pytest.mark.parametrize(
    ("protocol", "sizes"),
    [
        ("replace", [20, 20, 20]),
        ("accumulate", [20, 40, 60]),
        ("accumulate-subsample", [20, 20, 20]),
    ],
)
def test_a_filter_reads_as_many_rows_as_no_filter(how, protocol, sizes):
    runs = run(f"{FILTERS[how]} | {protocol} | {how} @ n=20 T=2")
    fewer = how == "oracle-verify"  # it may accept less than half
    for now, size in zip(runs, sizes, strict=True):
        assert (now.size <= size + 1e-9).all()
        assert fewer or (now.size == size).all()


def test_the_refill_is_of_the_protocols_own_mixture_and_paid_for():
    """Of 40 composed rows instead of 20, 10 instead of 5 are real."""
    plain, filled = (
        run(f"gaussian | gaussian-fit | mix(real=0.25) | low-perplexity{how} @ n=20 T=3")[-1].ledger
        for how in ("(refill=false)", "")
    )
    assert plain.track() == "blind"
    assert filled.track() == "real"
    assert filled.by_methods("real_rows") == 3 * 5
    assert filled.total("real_rows") - plain.total("real_rows") == 3 * 5


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.77, 1.0])
def test_refilled_and_kept_are_n(keep):
    for n in (1, 7, 20, 101):
        assert round(keep * refilled(n, keep)) == n


# -- likelihood -----------------------------------------------------------------------------------------------------


class Said(Teacher):
    """Says log-probabilities or scores that are given."""

    def __init__(self, logp=None, expect=None):
        self._logp, self._expect = logp, expect

    def logp(self, x, y):
        return super().logp(x, y) if self._logp is None else self._logp

    def mean_answer(self, x):
        return self._expect


def test_likelihood_of_a_sequence_is_per_token_and_its_end_is_one():
    y = torch.tensor([[[3, 1, -1, -1], [3, 1, 2, 0]]])
    said = Said(logp=torch.tensor([[[-1.0, -1.0, -4.0, 0.0], [-1.0, -1.0, -1.0, -1.0]]]))
    assert likelihood(said, Corpus.of(y, y, (1,))).tolist() == [[-2.0, -1.0]]


def test_likelihood_of_a_label_without_probabilities_is_its_margin():
    y = torch.tensor([[0, 2]])
    said = Said(expect=torch.tensor([[[5.0, 1.0, 4.0], [5.0, 1.0, 4.0]]]))
    assert likelihood(said, Corpus.of(None, y, (1,))).tolist() == [[1.0, -1.0]]


def test_likelihood_of_a_number_falls_with_its_residual():
    said = Said(expect=torch.tensor([[0.0, 0.0]]))
    assert likelihood(said, Corpus.of(None, torch.tensor([[0.5, -3.0]]), (1,))).tolist() == [
        [-0.25, -9.0]
    ]


# -- absent rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        LowPerplexity(refill=False),
        KMeansCover(keep=0.3, refill=False),
    ],
    ids=str,
)
def test_rows_of_weight_zero_change_no_choice(act):
    access = taps_of(Gaussian(d=2))
    rows = access.real(20)
    junk = Corpus.of(
        None, torch.cat([rows.y[:, :4], rows.y[:, :3] * 50], 1), (2,), weight=torch.zeros(2, 7)
    )
    alone, beside = (
        act.curate(corpus, taps_of(Gaussian(d=2))).weight for corpus in (rows, rows + junk)
    )
    assert torch.allclose(beside[:, :20], alone)
    assert (beside[:, 20:] == 0).all()


# -- repeats --------------------------------------------------------------------------------------------------------


def weights(y, share=None, gram=2, x=None, **more):
    corpus = Corpus.of(x, torch.as_tensor(y), (1,), **more)
    return Deduplicate(share, gram).curate(corpus, None).weight.tolist()[0]


def test_of_equal_sequences_the_one_of_most_weight_is_left():
    seven, eight = [7, 3, -1], [8, 3, -1]
    assert weights([[seven, seven, eight]]) == [1, 0, 1]
    by_weight = torch.tensor([[0.0, 1.0, 3.0, 2.0]])
    assert weights([[seven, seven, seven, eight]], weight=by_weight) == [0, 0, 3, 2]
    prompts = torch.tensor([[[1], [2], [1]]])
    assert weights([[seven, seven, eight]], x=prompts) == [1, 1, 1]


def test_distinct_sequences_stay_exactly_as_they_are():
    corpus = Corpus.of(None, torch.tensor([[[7, 3, -1], [7, -1, -1], [7, 3, 3]]]), (1,))
    assert Deduplicate().curate(corpus, None) is corpus


def test_a_count_becomes_one():
    y, count = torch.tensor([[[0, 4], [1, 4], [2, 4]]]), torch.tensor([[5, 0, 1]])
    corpus = Corpus.of(None, y, (1,), count=count)
    assert Deduplicate().curate(corpus, None).multiplicity.tolist() == [[1, 0, 1]]


def test_short_sequences_of_few_symbols_are_told_apart():
    grid = torch.cartesian_prod(*[torch.arange(16)] * 3)[None]
    assert sum(weights(grid.repeat(1, 2, 1))) == 16**3


def test_sequences_of_known_ngrams_are_repeats():
    story = [[[1, 2, 3, 4], [2, 3, 4, -1], [1, 2, 9, 9], [1, 2, 3, 4]]]
    assert weights(story) == [1, 1, 1, 0]
    assert weights(story, share=1.0) == [1, 0, 1, 0]
    assert weights(story, share=0.3) == [1, 0, 0, 0]
    assert weights(story, share=0.3, gram=9) == [1, 1, 1, 0]  # none is so long
    absent = torch.tensor([[0.0, 1.0, 1.0, 1.0]])
    assert weights(story, share=1.0, gram=3, weight=absent) == [0, 1, 1, 1]


# -- spread, cover, moments -----------------------------------------------------------------------------------------


def selected(rows, n, rule):
    """The weights (R, N) after a selection of n rows from a protocol's own pool."""
    corpus = Corpus.of(None, rows, rows.shape[:1])
    return EntropySelection(rule=rule).curate(corpus, taps_of(Gaussian(d=2), n=n)).weight


def test_the_greedy_order_is_that_of_a_plain_loop():
    rows = Stream([1, 2]).normal(30, 2).double()
    for chain, mine in zip(rows, selected(rows, 12, "greedy"), strict=True):
        chosen = [0]
        while len(chosen) < 12:
            away = torch.cdist(chain, chain[chosen]).amin(-1)
            chosen.append(int(away.argmax()))
        assert sorted(chosen) == torch.nonzero(mine)[:, 0].tolist()


def test_the_threshold_rule_is_that_of_a_plain_loop():
    rows = Stream([1, 2]).normal(30, 2).double()
    for chain, mine in zip(rows, selected(rows, 12, "threshold"), strict=True):
        chosen, limit = [0], float(torch.linalg.vector_norm(chain - chain[0], dim=-1).max())
        while len(chosen) < 12:
            for i in range(30):
                away = torch.linalg.vector_norm(chain[i] - chain[chosen], dim=-1).min()
                if away > limit and len(chosen) < 12:
                    chosen.append(i)
            limit *= 0.95
        assert sorted(chosen) == torch.nonzero(mine)[:, 0].tolist()


def test_the_threshold_rule_takes_equal_rows_last():
    rows = torch.tensor([0.0, 0.0, 5.0, 5.0, 9.0]).double()[None, :, None]
    assert selected(rows, 3, "threshold").tolist() == [[1, 0, 1, 0, 1]]
    assert selected(rows, 4, "threshold").sum() == 4


def test_the_one_pass_keeps_the_rows_of_the_farthest_neighbours():
    # more rows than one chunk of distances, far from zero
    rows = Stream([1, 2]).normal(700, 3).double() + 1e6
    for chain, mine in zip(rows - 1e6, selected(rows, 210, "once"), strict=True):
        exactly = "donot_use_mm_for_euclid_dist"
        away = torch.cdist(chain, chain, compute_mode=exactly).fill_diagonal_(math.inf).amin(-1)
        assert set(away.topk(210).indices.tolist()) == set(torch.nonzero(mine)[:, 0].tolist())


@pytest.mark.parametrize("rule", ["greedy", "threshold", "once"])
def test_absent_rows_are_not_selected(rule):
    rows = Stream([1, 2]).normal(20, 2).double()
    weight = torch.cat([torch.zeros(2, 5), torch.ones(2, 15)], -1)
    rows[:, :5] *= 50
    corpus = Corpus.of(None, rows, (2,), weight=weight)
    mine = EntropySelection(rule=rule).curate(corpus, taps_of(Gaussian(d=2), n=8)).weight
    assert (mine[:, :5] == 0).all()
    assert (mine.sum(-1) == 8).all()


def test_the_pool_of_entropy_selection_holds_all_generations_but_the_first():
    """Under replace n rows are read of (t - 1) n and n new ones; real rows that come again are paid for."""
    cell = cell_of(
        "gaussian(d=2) | gaussian-fit | replace | entropy-selection @ n=20 T=3", seeds=[1, 2]
    )
    sizes = [now.kept["entropy-selection"].n for now in generations(cell) if now.t]
    assert sizes == [20, 40, 60]
    *_, last = generations(cell)
    assert (last.size == 20).all()
    mixed = run("gaussian(d=2) | gaussian-fit | mix(real=0.25) | entropy-selection @ n=20 T=3")[-1]
    assert mixed.ledger.track() == "real"
    assert (mixed.ledger.by_methods("real_unique") == 10).all()


def test_far_clusters_keep_alike_where_they_can():
    """Two rows of each of four far clusters, but for the one that has only one."""
    sizes = torch.tensor([1, 5, 14, 30])
    centres = 100 * torch.arange(4.0).repeat_interleave(sizes)
    rows = centres[:, None] + Stream([1, 2]).normal(50, 2).double()
    access = taps_of(Gaussian(d=2))
    few = KMeansCover(keep=0.08, refill=False)
    weight = few.curate(Corpus.of(None, rows, (2,)), access).weight
    kept = torch.stack([weight[:, centres == c].sum(-1) for c in centres.unique()], -1)
    assert kept.tolist() == [[1, 1, 1, 1]] * 2


def test_a_cover_keeps_the_row_nearest_to_the_center_of_each_cluster():
    rows = torch.tensor([0.0, 1.0, 2.1, 100.0, 101.0, 102.1]).double()[None, :, None]
    few = KMeansCover(keep=1 / 3, refill=False)
    assert (
        few.curate(
            Corpus.of(None, rows.expand(2, -1, -1), (2,)), taps_of(Gaussian())
        ).weight.tolist()
        == [[0, 1, 0, 0, 1, 0]] * 2
    )


def test_a_cover_of_equal_rows_keeps_as_many_as_asked():
    rows = torch.zeros(2, 10, 2).double()
    kept = KMeansCover(refill=False).curate(Corpus.of(None, rows, (2,)), taps_of(Gaussian(d=2)))
    assert (kept.weight.sum(-1) == 5).all()


@pytest.mark.parametrize("target", [None, torch.eye(3).double()])
def test_exchanges_lower_the_gap_and_keep_the_number(target):
    rng = Stream(range(6))
    rows = 1.5 * rng.at("rows").normal(60, 3).double() + 0.3
    there = rng.at("there").uniform(60) < 0.9
    chosen = there & (torch.arange(60) < 25)

    def gap(which):
        share = which.double() / which.sum(-1, keepdim=True)
        off = share[:, None] @ rows
        second = (
            0
            if target is None
            else ((share[..., None] * rows).mT @ rows - target).square().sum((-2, -1))
        )
        return off.square().sum((-2, -1)) + second

    after = closest(rows, torch.ones(6, 60).double(), chosen, there, target)
    assert (after.sum(-1) == chosen.sum(-1)).all()
    assert not (after & ~there).any()
    assert (gap(after) < 0.2 * gap(chosen)).all()


def test_moments_of_many_columns_are_refused():
    access = taps_of(Gaussian(d=300), n=4)
    with pytest.raises(Incompatible, match="choose match=mean"):
        MomentMatching().curate(access.real(4), access)
    kept = MomentMatching(match="mean").curate(access.real(4), access)
    assert kept.weight.sum(-1).tolist() == [2, 2]


def test_numbers_are_questions_and_answers_side_by_side():
    corpus = Corpus.of(torch.tensor([[[3.0], [4.0]]]), torch.tensor([[1, 0]]), (1,), labels=2)
    assert numbers(corpus).tolist() == [[[3, 0, 1], [4, 1, 0]]]
    with pytest.raises(Incompatible, match="have no means"):
        numbers(Corpus.of(None, torch.zeros(1, 2, 5).long(), (1,), labels=9))


# -- the best of K, and a verifier with a centre --------------------------------------------------------------------


def test_real_rows_are_not_chosen_from():
    ours, none = (
        run(f"gaussian(d=2) | gaussian-fit | mix(real=1) | {how} @ n=20 T=2")[-1].scores["w2"]
        for how in ("best-of-k", "none")
    )
    assert torch.equal(ours, none)


def test_what_was_chosen_persists():
    """The pool of generation 2 holds what was chosen in generation 1."""
    last = run(
        "gaussian | gaussian-fit | accumulate | best-of-k(k=3, reward=coordinate, top=true) @ n=200 T=2"
    )[-1]
    mean = [part.y.mean((-2, -1)) for part in last.memory.parts]
    assert (mean[1] > mean[0] + 0.4).all()
    assert (mean[2] > mean[0] + 0.4).all()


def test_a_right_answer_among_k_is_taken():
    half = "half-space(d=5) | averaging | replace | {} @ n=400 T=0 first=noisy-labels(p=0.45)"
    none, chosen = (
        run(half.format(how))[-1].scores["error_rate"]
        for how in ("none", "best-of-k(k=8, reward=verifier, top=true)")
    )
    assert (chosen < none).all()


def test_the_centre_stays_where_it_is():
    for data, width in ((Linear(d=3), 3), (Gaussian(d=4), 4)):
        here, there = (data.sample_truth(Stream(range(5)).at("truth")) for _ in range(2))
        assert torch.equal(here.verifier_center(0.5), here.verifier_center(0.5))
        assert torch.equal(here.verifier_center(0.5), there.verifier_center(0.5))
        gap = here.verifier_center(0.5) - here.verifier_center(0.0)
        assert gap.shape == (5, width)
        assert torch.allclose(gap.norm(dim=-1), torch.tensor(0.5).double())
        assert not torch.allclose(gap[0], gap[1])


@pytest.mark.parametrize(
    ("data", "model"),
    [("linear(d=4, beta=1)", "ridge(lam=0.1)"), ("gaussian(d=3)", "gaussian-fit")],
)
def test_a_center_is_no_closer_to_the_truth_than_generation_0(data, model):
    cell = cell_of(f"{data} | {model} | replace @ n=30 T=0", seeds=range(6))
    [now] = generations(cell)
    true = nature(cell)
    rng = Stream(range(6)).at("rows")
    x = true.ask(500, rng.at("x"))
    y = true.observe(true.answer(x, rng.at("y")), rng.at("noise"))

    def error(shift):
        away = true.verifier_center(shift) - true.verifier_center(0.0)
        spectrum = getattr(true.truth, "spectrum", torch.ones(1).double())
        return (spectrum * away**2).sum(-1)

    if "linear" in data:
        own = now.scores["excess_risk"]
        unit = error(1.0)
    else:
        own = (now.teacher.mean_and_factor()[0] - true.truth.teacher.mean).square().sum(-1)
        unit = torch.ones(6).double()
    least = (own / unit).sqrt()[..., None]
    assert torch.allclose(error(least), own)
    as_good = true.within(x, y, BiasedVerifier(0.01, 0.1, 0.5, now.teacher))
    by_hand = torch.stack(
        [
            true.within(x, y, BiasedVerifier(float(shift), 0.1, 0.5))[i]
            for i, shift in enumerate(least)
        ]
    )
    assert torch.equal(as_good, by_hand)
    far = BiasedVerifier(9.0, 0.1, 0.5, now.teacher)  # farther than generation 0
    assert torch.equal(true.within(x, y, far), true.within(x, y, BiasedVerifier(9.0, 0.1, 0.5)))


def test_taps_verify_around_a_centre_and_charge_it():
    access = taps_of(Linear(d=3))
    rows = access.real(400)
    around = access.verify(rows, centre=BiasedVerifier(2.0, 0.0, 1.0))
    off = (rows.y - (rows.x @ access.teacher.verifier_center(2.0)[..., None])[..., 0]).abs()
    assert torch.equal(around, off <= 1)
    passed = access.verify(rows, phi=1.0, psi=1.0, centre=BiasedVerifier(2.0, 0.0, 1.0))
    assert passed.all()
    assert access.ledger.total("verifier_calls") == 800
    with pytest.raises(Incompatible, match="no true parameters"):
        taps_of(Zipf(K=5)).verify(taps_of(Zipf(K=5)).real(3), centre=BiasedVerifier(0.0, 0.0, 1.0))
