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
from collapse_bench.core.rng import Stream
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.rows.selection import likelihood, numbers
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
        ("gaussian(d=2) | gaussian-fit", "entropy-selection(keep=1)"),
        ("gaussian(d=2) | gaussian-fit", "entropy-selection(keep=1, rule=once)"),
        ("gaussian(d=2) | gaussian-fit", "kmeans-cover(clusters=1)"),
        ("gaussian(d=2) | gaussian-fit", "moment-matching(pool=1)"),
        ("gaussian(d=2) | gaussian-fit", "verified-retraining(slack=1e9, oversample=1)"),
        ("linear(d=2) | ols", "verified-retraining(slack=1e9, oversample=1)"),
        ("linear(d=2) | ols", "noisy-verify(phi=1, psi=1)"),
        ("gaussian(d=2) | gaussian-fit", "deduplicate"),
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
        ("linear(d=3) | ols", "noisy-verify", "verifier", {"verifier_calls": 40}),
        ("linear(d=3) | ols", "low-perplexity", "blind", {}),
        ("linear(d=3) | ols", "low-perplexity(oversample=3)", "blind", {"generated_rows": 80}),
        (
            "linear(d=3) | ols",
            "best-of-k(k=4)",
            "provenance",
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
            "verifier",
            {"verifier_calls": 80, "generated_rows": 40},
        ),
        ("linear(d=3) | ols", "deduplicate", "blind", {}),
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
    ],
)
def test_where_it_makes_no_sense_a_sentence_says_why(spec, words):
    assert words in cell_of(spec).incompatibility()


def test_a_verifier_that_passes_nothing_is_refused():
    with pytest.raises(UsageError, match="phi or psi must be positive"):
        cell_of("linear | ols | replace | noisy-verify(phi=0, psi=0)")


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
        LowPerplexity(),
        EntropySelection(),
        EntropySelection(rule="once"),
        KMeansCover(clusters=3),
        Deduplicate(),
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


def test_of_equal_rows_the_one_of_most_weight_is_left():
    assert weights([[2.0, 1.0, 2.0, 0.0, -0.0]]) == [1, 1, 0, 1, 0]
    assert weights([[7, 7, 7, 8]], weight=torch.tensor([[0.0, 1.0, 3.0, 2.0]])) == [0, 0, 3, 2]
    assert weights([[7, 7, 8]], x=torch.tensor([[[1.0], [2.0], [1.0]]])) == [
        1,
        1,
        1,
    ]  # other questions


def test_a_count_becomes_one():
    corpus = Corpus.of(None, torch.tensor([[0, 1, 2]]), (1,), count=torch.tensor([[5, 0, 1]]))
    assert Deduplicate().curate(corpus, None).multiplicity.tolist() == [[1, 0, 1]]


def test_small_whole_numbers_are_told_apart():
    """Their bits end in many zeros, which a hash of sums alone would not bear."""
    grid = torch.cartesian_prod(*[torch.arange(16.0)] * 3)[None]
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


def test_the_greedy_order_is_that_of_a_plain_loop():
    rows = Stream([1, 2]).normal(30, 2).double()
    kept = (
        EntropySelection(keep=0.4)
        .curate(Corpus.of(None, rows, (2,)), taps_of(Gaussian(d=2)))
        .weight
    )
    for chain, mine in zip(rows, kept, strict=True):
        chosen = [0]
        while len(chosen) < 12:
            away = torch.cdist(chain, chain[chosen]).amin(-1)
            chosen.append(int(away.argmax()))
        assert sorted(chosen) == torch.nonzero(mine)[:, 0].tolist()


def test_the_one_pass_keeps_the_rows_of_the_farthest_neighbours():
    rows = (
        Stream([1, 2]).normal(700, 3).double() + 1e6
    )  # more rows than one chunk of distances, far from zero
    kept = (
        EntropySelection(keep=0.3, rule="once")
        .curate(Corpus.of(None, rows, (2,)), taps_of(Gaussian(d=2)))
        .weight
    )
    for chain, mine in zip(rows - 1e6, kept, strict=True):
        away = (
            torch.cdist(chain, chain, compute_mode="donot_use_mm_for_euclid_dist")
            .fill_diagonal_(math.inf)
            .amin(-1)
        )
        assert set(away.topk(210).indices.tolist()) == set(torch.nonzero(mine)[:, 0].tolist())


def test_far_clusters_weigh_alike():
    centres = 100 * torch.arange(4.0).repeat_interleave(torch.tensor([1, 5, 14, 30]))
    rows = centres[:, None] + Stream([1, 2]).normal(50, 2).double()
    access = taps_of(Gaussian(d=2))
    weight = KMeansCover(clusters=4).curate(Corpus.of(None, rows, (2,)), access).weight
    share = torch.stack(
        [weight[:, centres == c].sum(-1) for c in centres.unique()], -1
    ) / weight.sum(-1, keepdim=True)
    assert torch.allclose(share, torch.full_like(share, 0.25))


def test_more_clusters_than_rows_weigh_every_row_alike():
    access = taps_of(Gaussian(d=2))
    rows = access.real(5)
    assert torch.allclose(
        KMeansCover(clusters=9).curate(rows, access).weight, torch.ones(2, 5).double()
    )


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
    assert MomentMatching(match="mean").curate(access.real(4), access).weight.sum(-1).tolist() == [
        4,
        4,
    ]


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
