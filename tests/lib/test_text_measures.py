"""Measures of text: by hand on small cases, in closed form on Zipf text, and against sacrebleu."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from collapse_bench.core.rng import Stream
from collapse_bench.lib.text import measures as measure

TEXTS = torch.tensor([[0, 1, 0, 1], [0, 1, 2, -1]])


def near(value):
    return pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("n", "share"), [(1, 3 / 7), (2, 3 / 5), (3, 1.0), (4, 1.0), (5, 0.0)])
def test_distinct_by_hand(n, share):
    # 1: {0, 1, 2} of 7; 2: 01 10 01 | 01 12 -> {01, 10, 12}; 3: 010 101 | 012; 4: 0101; 5: none
    assert float(measure.distinct(TEXTS, n)) == near(share)


def test_repetition_by_hand():
    assert float(measure.repetition(TEXTS, 2)) == near(
        1 - 4 / 5
    )  # 01 stands twice in the first text, once in the second
    assert float(measure.repetition(TEXTS, 3)) == 0
    assert float(measure.diversity(TEXTS)) == near(4 / 5)
    loop = torch.tensor([[0, 1] * 4])  # 7 2-grams, 6 3-grams, 5 4-grams, two different ones of each
    assert float(measure.diversity(loop)) == near(2 / 7 * 2 / 6 * 2 / 5)


def test_type_token_ratio_by_hand():
    assert float(measure.type_token_ratio(TEXTS, 3)) == near(
        (2 + 2) / 6
    )  # 010 | 101, and 2 is left over
    assert float(measure.type_token_ratio(TEXTS, 7)) == near(3 / 7)
    assert float(measure.type_token_ratio(TEXTS, 10)) == near(
        3 / 10
    )  # what is missing is nothing new


def test_law_of_words_by_hand():
    counts = measure.frequencies(TEXTS, 4)
    assert counts.tolist() == [3, 3, 1, 0]
    assert float(measure.vocabulary(counts)) == 3
    assert float(measure.entropy(counts)) == near(
        -(6 / 7 * math.log(3 / 7) + 1 / 7 * math.log(1 / 7))
    )


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.5])
def test_zipf_slope_of_an_exact_law(exponent):
    counts = 1e6 * torch.arange(1, 60, dtype=torch.float64) ** -exponent
    shuffled = torch.cat([counts, torch.zeros(9)])[
        torch.randperm(68, generator=torch.Generator().manual_seed(0))
    ]
    assert float(measure.zipf_slope(shuffled)) == pytest.approx(exponent, abs=1e-9)
    assert torch.isnan(measure.zipf_slope(torch.tensor([5.0, 0.0])))


def test_trimmed_keeps_the_first_tokens():
    cut = measure.trimmed(TEXTS, torch.tensor(5))
    assert cut.tolist() == [[0, 1, 0, 1], [0, -1, -1, -1]]
    assert measure.trimmed(TEXTS, torch.tensor(99)).equal(TEXTS)
    each = measure.trimmed(TEXTS.expand(2, 2, 4), torch.tensor([2, 6]))
    assert measure.tokens_in(each).tolist() == [2, 6]


def test_compression_ratio():
    noise = bytes(Stream(0).integers(256, 5000).tolist())
    assert measure.compression_ratio(noise) > 0.99
    assert measure.compression_ratio(noise * 2) == pytest.approx(
        measure.compression_ratio(noise) / 2, rel=0.03
    )
    assert measure.compression_ratio(b"a" * 5000) < 0.01


# -- self-BLEU ------------------------------------------------------------------------------------------------------


def test_self_bleu_of_identical_texts_is_one():
    same = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, -1]).expand(5, 9)
    assert float(measure.self_bleu(same)) == near(1)
    assert float(measure.self_bleu(torch.full((4, 6), -1))) == 1  # empty ones too


def test_self_bleu_by_hand():
    pair = torch.tensor(
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 5]]
    )  # of each 4/5, 3/4, 2/3 and 1/2 of n-grams match
    assert float(measure.self_bleu(pair)) == near((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert float(measure.self_bleu(torch.tensor([[0, 1, 2], [3, 4, 5]]))) == 0


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 12), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_self_bleu_is_that_of_sacrebleu(seed, m, L, V):
    from sacrebleu.metrics import BLEU

    rng = Stream([seed, seed + 1])
    lengths = rng.at("lengths").integers(L + 1, m)
    y = torch.where(torch.arange(L) < lengths[..., None], rng.at("tokens").integers(V, m, L), -1)
    bleu = BLEU(tokenize="none", effective_order=True)
    for book, ours in zip(y, measure.self_bleu(y), strict=True):
        texts = [" ".join(f"w{token}" for token in row if token >= 0) for row in book.tolist()]
        scores = []
        for i, text in enumerate(texts):
            others = texts[:i] + texts[i + 1 :]
            scores.append(
                bleu.sentence_score(text, others).score / 100 if text else float("" in others)
            )
        assert float(ours) == pytest.approx(np.mean(scores), abs=1e-9)


# -- what holds of all ----------------------------------------------------------------------------------------------


def everything(y, labels):
    counts = measure.frequencies(y, labels)
    found = [measure.distinct(y, n) for n in measure.ORDERS]
    found += [measure.repetition(y, n) for n in (2, 3, 4)]
    found += [
        measure.type_token_ratio(y, 7),
        measure.self_bleu(y),
        measure.entropy(counts),
        measure.vocabulary(counts),
    ]
    return torch.stack(found, -1)


@given(
    st.integers(0, 10_000),
    st.integers(2, 6),
    st.integers(1, 9),
    st.sampled_from([1, 2, 5, 50_000, 2**40]),
)
@settings(max_examples=40, deadline=None)
def test_names_of_tokens_and_neighbours_play_no_role(seed, m, L, base):
    """Other numbers for the tokens, up to those beyond exact packing, and replicates beside, change nothing."""
    V = 6
    rng = Stream(np.arange(seed, seed + 6).reshape(2, 3))
    lengths = rng.at("lengths").integers(L + 1, m)
    y = torch.where(torch.arange(L) < lengths[..., None], rng.at("tokens").integers(V, m, L), -1)
    whole = everything(y, V)
    for r in ((0, 0), (1, 2)):
        assert torch.allclose(whole[r], everything(y[r], V), atol=1e-12)
    turned = torch.where(y >= 0, (y * 5 + 1) % V, -1)  # 5 has an inverse modulo 6
    assert torch.allclose(whole, everything(turned, V), atol=1e-12)
    far = torch.where(y >= 0, y * base + base // 2, -1)
    for n in measure.ORDERS:
        assert torch.equal(measure.distinct(y, n), measure.distinct(far, n))


def test_nothing_written_is_no_diversity():
    y = torch.full((3, 4, 5), -1)
    assert (measure.distinct(y, 1) == 0).all()
    assert (measure.type_token_ratio(y) == 0).all()
    assert (measure.entropy(measure.frequencies(y, 7)) == 0).all()


# -- closed forms on Zipf text --------------------------------------------------------------------------------------

K, CHAINS, M, LENGTH = 40, 600, 10, 12
P = np.arange(1, K + 1) ** -1.2
P /= P.sum()


@pytest.fixture(scope="module")
def zipf():
    """Independent draws from a Zipf law, (CHAINS, M, LENGTH)."""
    reach = torch.from_numpy(np.cumsum(P))
    return torch.searchsorted(reach, Stream(range(CHAINS)).at("zipf").uniform(M, LENGTH)).clamp_max(
        K - 1
    )


def seen(p, N):
    """Expected number of outcomes of probabilities p that are met in N draws."""
    return float((1 - (1 - p) ** N).sum())


def entropy_of(N):
    """Expected plug-in entropy of N draws: each count is binomial."""
    j = np.arange(1, N + 1)
    share = -j / N * np.log(j / N)
    return float(sum(binom.pmf(j, N, p) @ share for p in P))


N = M * LENGTH
LAWS = {
    "vocabulary": (lambda y: measure.vocabulary(measure.frequencies(y, K)), seen(P, N)),
    "distinct-1": (lambda y: measure.distinct(y, 1), seen(P, N) / N),
    "type-token ratio on stretches of 30": (
        lambda y: measure.type_token_ratio(y, 30),
        seen(P, 30) / 30,
    ),
    "entropy": (lambda y: measure.entropy(measure.frequencies(y, K)), entropy_of(N)),
    # cut into texts of two tokens, the 2-grams are independent
    "distinct-2": (
        lambda y: measure.distinct(y.reshape(CHAINS, -1, 2), 2),
        seen(np.outer(P, P), N // 2) / (N // 2),
    ),
    "rep-1": (lambda y: measure.repetition(y, 1), 1 - seen(P, LENGTH) / LENGTH),
}


@pytest.mark.parametrize("law", LAWS)
def test_closed_forms_on_zipf_text(law, zipf):
    measured, expected = LAWS[law]
    sample = measured(zipf)
    error = float(sample.std()) / math.sqrt(CHAINS)
    assert abs(float(sample.mean()) - expected) < 4 * error < 0.02 * expected
