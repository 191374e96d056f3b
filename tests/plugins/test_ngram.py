"""n-grams: their law is a law, their writing follows it, and counts are what they are on paper."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.lib.text.language import events_of
from collapse_bench.plugins.models import ngram as ngrams
from collapse_bench.plugins.models.counts import Counts
from collapse_bench.plugins.models.ngram import NGram, _summed, _Texts
from collapse_bench.registry.discovery import registry

V, L = 3, 4
DECODINGS = [
    {},
    {"temperature": 0.5},
    {"top_k": 2},
    {"top_p": 0.7},
    {"min_p": 0.3},
    {"temperature": 2.0, "top_k": 3},
]
MODELS = ["order=1", "order=2", "order=3", "order=6", "order=2, smoothing=jelinek-mercer, lam=0.7"]
MLE = "smoothing=jelinek-mercer, lam=1"


def ngram(text="") -> NGram:
    return registry().build("model", f"ngram({text})")


def lessons(n=40, prompt=0, chain_shape=(), seed=0) -> Corpus:
    """Random texts, some of which fill their length, with random prompts before them."""
    rng = Stream(torch.arange(math.prod(chain_shape)).reshape(chain_shape).numpy() + seed)
    lengths = rng.at("lengths").integers(L + 1, n)
    y = (
        rng.at("tokens").uniform(n, L).square().mul(V).long()
    )  # the first token is the most frequent
    y = torch.where(torch.arange(L) < lengths[..., None], y, -1)
    return Corpus.of(rng.at("prompts").integers(V, n, prompt), y, chain_shape, labels=V)


def every(length: int) -> torch.Tensor:
    """All texts of up to ``length`` tokens, ended ones padded by -1."""
    texts = [some for k in range(length + 1) for some in itertools.product(range(V), repeat=k)]
    return torch.tensor([[*some, *[-1] * (length - len(some))] for some in texts])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prompt", [0, 2])
@pytest.mark.parametrize("decoding", DECODINGS)
def test_all_texts_together_have_probability_one(model, prompt, decoding):
    teacher = ngram(model).fit(lessons(prompt=prompt), Stream(0)).decoded(**decoding)
    y = every(L)
    for x in (torch.zeros(len(y), prompt, dtype=torch.int64), torch.full((len(y), prompt), 2)):
        logp = teacher.logp(x, y)
        assert float(logp.sum(-1).exp().sum()) == pytest.approx(1, abs=1e-9)
        assert (logp[~events_of(y)] == 0).all()


@pytest.mark.parametrize(
    "model", ["order=1", "order=3", "order=3, smoothing=jelinek-mercer, lam=0.5"]
)
@pytest.mark.parametrize("decoding", [{}, {"temperature": 0.7, "top_k": 3}])
def test_writing_follows_the_law(model, decoding):
    n, chain_shape = 4000, (2,)
    teacher = (
        ngram(model)
        .fit(lessons(prompt=1, chain_shape=chain_shape), Stream([0, 1]))
        .decoded(**decoding)
    )
    x = torch.ones(*chain_shape, n, 1, dtype=torch.int64)
    y, texts = teacher.answer(x, Stream([5, 6])), every(L)
    p = teacher.logp(x[:, : len(texts)], texts.expand(*chain_shape, -1, -1)).sum(-1).exp()
    for r in range(2):
        seen = Counter(map(tuple, y[r].tolist()))
        for text, q in zip(texts.tolist(), p[r].tolist(), strict=True):
            if q * n >= 5:
                assert abs(seen[tuple(text)] - n * q) < 4.5 * math.sqrt(n * q * (1 - q)), text
        assert all(
            q > 0
            for text, q in zip(texts.tolist(), p[r].tolist(), strict=True)
            if seen[tuple(text)]
        )


@pytest.mark.parametrize("model", ["order=1", "order=3", "order=4, smoothing=jelinek-mercer"])
@pytest.mark.parametrize("prompt", [0, 2])
@pytest.mark.parametrize("room", [0, 7, 40, 1 << 24])
@pytest.mark.parametrize("chunk", [3, 1 << 22])
def test_laws_that_are_kept_write_the_same_texts(model, prompt, room, chunk, monkeypatch):
    """As many as fit are kept; the reference searches in laws that are computed at each place."""
    monkeypatch.setattr(ngrams, "KEPT", room * (V + 1))
    monkeypatch.setattr(ngrams, "BUDGET", chunk * (V + 1))
    corpus = lessons(prompt=prompt, chain_shape=(2,))
    teacher = ngram(model).fit(corpus, Stream([0, 0])).decoded(temperature=1.3, top_p=0.9)
    said = teacher.answer(corpus.x, Stream([3, 4]))
    u, texts = Stream([3, 4]).uniform(40, L).reshape(-1, L), _Texts(teacher, corpus.x, 40)
    for i in range(L):
        rows = texts.open()
        for some, law, index in teacher._laws(texts.path(rows, i), None):
            stacked = (law - law.amax(-1, keepdim=True)).exp().cumsum(-1)
            stacked = stacked / stacked[:, -1:] + torch.arange(len(law))[:, None]
            place = torch.searchsorted(stacked.flatten(), index + u[rows[some], i], right=True)
            texts.write(rows[some], i, place - index * (V + 1))
    assert torch.equal(said, texts.y.reshape(said.shape))
    assert teacher.kept.used <= min(room, len(teacher.trie.total))
    if room in (0, 1 << 24):
        assert (teacher.kept.used > 0) == (room > 0)


def test_whole_rows_of_probabilities_are_those_of_each_symbol():
    teacher = ngram("order=3").fit(lessons(chain_shape=(3,)), Stream([0, 0, 0]))
    before = torch.cartesian_prod(*[torch.arange(V + 1)] * 2).repeat(3, 1)  # also unseen contexts
    path = teacher.trie.path(torch.arange(3).repeat_interleave((V + 1) ** 2), before)
    rows = teacher.trie.rows(path)
    for symbol in range(V + 1):
        single = teacher.trie.probability(path, torch.full_like(path[:, 0], symbol))
        torch.testing.assert_close(rows[:, symbol], single, rtol=1e-14, atol=0)
    shuffled = torch.randperm(len(path), generator=torch.Generator().manual_seed(1))
    assert torch.equal(teacher.trie.rows(path[shuffled]), rows[shuffled])
    assert torch.equal(teacher.trie.rows(path[:1]), rows[:1])


def test_witten_bell_by_hand():
    corpus = Corpus.of(None, torch.tensor([[0, 1, 0, -1], [0, 0, 1, 1]]), (), labels=2)
    teacher = ngram("order=2").fit(corpus, Stream(0))
    # after nothing: 0 four times, 1 three times, the end once: 8 symbols of 3 types over a floor of 1/3 each
    one = {0: (4 + 3 / 3) / 11, 1: (3 + 3 / 3) / 11, "end": (1 + 3 / 3) / 11}
    # after 0 stood 1, end, 0, 1; after 1 stood 0, 1; at the beginning 0, 0
    after = {
        (0, 1): (2 + 3 * one[1]) / 7,
        (0, 0): (1 + 3 * one[0]) / 7,
        (0, "end"): (1 + 3 * one["end"]) / 7,
        (1, 0): (1 + 2 * one[0]) / 4,
        (1, "end"): (0 + 2 * one["end"]) / 4,
        ("start", 0): (2 + 1 * one[0]) / 3,
        ("start", 1): (0 + 1 * one[1]) / 3,
    }
    y = torch.tensor([[0, 1, 0, -1], [1, -1, -1, -1], [0, 0, -1, -1]])
    said = teacher.logp(torch.zeros(3, 0, dtype=torch.int64), y).exp()
    due = [
        [after["start", 0], after[0, 1], after[1, 0], after[0, "end"]],
        [after["start", 1], after[1, "end"], 1, 1],
        [after["start", 0], after[0, 0], after[0, "end"], 1],
    ]
    assert torch.allclose(said, torch.tensor(due, dtype=torch.float64), atol=1e-12)


def test_maximum_likelihood_is_relative_frequency():
    """And where a context was never read, that of the shorter one."""
    corpus = Corpus.of(
        None, torch.tensor([[0, 1, 0, 1], [0, 1, 1, -1], [0, 0, -1, -1]]), (), labels=3
    )
    teacher = ngram(f"order=3, {MLE}").fit(corpus, Stream(0))
    y = torch.tensor([[0, 1, 0, 1], [0, 2, 0, 0], [1, 1, -1, -1]])
    p = teacher.logp(torch.zeros(3, 0, dtype=torch.int64), y).exp()
    assert p[0].tolist() == pytest.approx([1, 2 / 3, 1 / 2, 1])  # after 01: 0 and 1; after 10: 1
    assert p[1].tolist()[:2] == pytest.approx([1, 0])
    # after 2 nothing was read, so that no context counts: 5 of 11; after (2, 0) nothing either: after 0 stood 1, 1, 0, end, 1
    assert p[1].tolist()[2:] == pytest.approx([5 / 11, 1 / 5])
    # 1 never began a text; after the start and 1 nothing was read, and after 1 stood 0, 1, end
    assert p[2].tolist()[0] == 0
    assert p[2].tolist()[1:3] == pytest.approx([1 / 3, 1.0])


def test_order_one_is_counts():
    """On texts that fill their length, where no end is read: the table of relative frequencies, for each chain."""
    y = lessons(60, chain_shape=(4,)).y.clamp_min(0)
    teacher = ngram(f"order=1, {MLE}").fit(Corpus.of(None, y, (4,), labels=V), Stream(range(4)))
    table = Counts().fit(Corpus.of(None, y.flatten(-2), (4,), labels=V), Stream(range(4)))
    symbols = torch.arange(V).expand(4, V)
    single = teacher.logp(torch.zeros(4, V, 0, dtype=torch.int64), symbols[..., None])
    assert torch.allclose(single.exp(), table.logp(None, symbols).exp(), atol=1e-12)


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0.01, 0.99))
@settings(max_examples=15, deadline=None)
def test_blend_is_the_union_at_these_weights(seed, order, w):
    one, two = lessons(20, 1, seed=seed), lessons(31, 1, seed=seed + 1)
    model = ngram(f"order={order}")
    left, right = (model.fit(corpus, Stream(seed)) for corpus in (one, two))
    union = one.weighted(torch.full((20,), 1 - w)) + two.weighted(torch.full((31,), w))
    both = model.fit(union, Stream(seed))
    y = every(L)
    x = torch.ones(len(y), 1, dtype=torch.int64)
    assert torch.allclose(left.blend(right, w).logp(x, y), both.logp(x, y), atol=1e-9)
    assert torch.allclose(left.blend(right, 0.0).logp(x, y), left.logp(x, y), atol=1e-9)
    assert torch.allclose(left.blend(right, 1.0).logp(x, y), right.logp(x, y), atol=1e-9)


def test_redraw_changes_marked_tokens_alone():
    corpus = lessons(300, 1)
    teacher = ngram("order=2").fit(corpus, Stream(0))
    mask = Stream(3).uniform(300, L) < 0.5
    y = teacher.redraw(corpus.x, corpus.y, mask, Stream(4))
    assert torch.equal(y < 0, corpus.y < 0)
    assert torch.equal(y[~mask], corpus.y[~mask])
    assert not torch.equal(y, corpus.y)
    # the first token anew, given its prompt: by the law without the end
    n = 6000
    x = torch.ones(n, 1, dtype=torch.int64)
    first = torch.tensor([[True, False]]).expand(n, 2)
    again = teacher.redraw(x, torch.zeros(n, 2, dtype=torch.int64), first, Stream(5))[:, 0]
    p = teacher.logp(x[:V], torch.stack([torch.arange(V), torch.full((V,), -1)], -1))[:, 0].exp()
    for token, q in enumerate((p / p.sum()).tolist()):
        assert abs(int((again == token).sum()) - n * q) < 4.5 * math.sqrt(n * q * (1 - q))


def test_a_processor_sees_question_and_what_was_said():
    """Nothing is said twice, nor what was asked: by a processor that forbids what stands in the context."""
    seen = []

    def fresh(logp, context):
        seen.append(context.shape[-1])
        said = torch.zeros(*context.shape[:-1], V + 2, dtype=torch.bool).scatter(
            -1, context + 1, True
        )[..., 1:]
        return logp.masked_fill(said, -torch.inf)

    corpus = lessons(50, 1)
    teacher = ngram("order=2").fit(corpus, Stream(0)).decoded(processor=fresh)
    y = teacher.answer(corpus.x, Stream(1))
    whole = torch.cat([corpus.x, y], -1)
    for token in range(V):
        assert int((whole == token).sum(-1).max()) <= 1
    assert sorted(set(seen)) == [1, 2, 3, 4][: len(set(seen))]
    texts = every(L)
    x = torch.ones(len(texts), 1, dtype=torch.int64)
    assert float(teacher.logp(x, texts).sum(-1).exp().sum()) == pytest.approx(1, abs=1e-9)
    assert (teacher.logp(x, torch.ones_like(texts))[:, 0] == -torch.inf).all()


@given(
    st.lists(st.lists(st.integers(0, 10**5 - 1), min_size=5, max_size=5), min_size=1, max_size=30),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_grams_beyond_63_bits_are_counted(rows, twice):
    """Five columns of 100 000 symbols want 83 bits."""
    rows = rows * (1 + twice)
    grams, count = _summed(torch.tensor(rows), torch.ones(len(rows), dtype=torch.float64), 10**5)
    assert {
        tuple(gram): many for gram, many in zip(grams.tolist(), count.tolist(), strict=True)
    } == Counter(map(tuple, rows))
    assert grams.tolist() == sorted(grams.tolist())


def test_a_teacher_survives_pickling_without_its_trie():
    corpus = lessons(100, 1)
    teacher = ngram().fit(corpus, Stream(0))
    before = teacher.logp(corpus.x, corpus.y)
    stored = pickle.dumps(teacher)
    assert torch.equal(pickle.loads(stored).logp(corpus.x, corpus.y), before)
    assert len(stored) == len(pickle.dumps(ngram().fit(corpus, Stream(0))))


def test_what_was_never_read_is_uniform():
    """A chain without a single row knows nothing: every symbol is alike."""
    y = lessons(10).y
    corpus = Corpus.of(
        None, torch.stack([y, y]), (2,), weight=torch.tensor([[0.0], [1.0]]).expand(2, 10), labels=V
    )
    teacher = ngram().fit(corpus, Stream([0, 1]))
    logp = teacher.logp(torch.zeros(2, 10, 0, dtype=torch.int64), torch.stack([y, y]))
    assert torch.allclose(logp[0], torch.where(events_of(y), -math.log(V + 1), 0.0).double())
    assert not torch.allclose(logp[1], logp[0])
