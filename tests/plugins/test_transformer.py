"""The transformer: a law over sequences that sums to one, writing that obeys it, and what must not change it."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.text.arithmetic import encode
from collapse_bench.plugins.models.transformer import Transformer
from collapse_bench.records.checkpoint import packed, unpacked
from collapse_bench.registry.discovery import registry

TINY = Transformer(layers=2, width=16, heads=2, steps=30, batch=32, lr=0.01)


def rows(n=60, P=3, L=3, V=2, seed=0):
    """Questions and answers of all lengths, the answer leaning on the question."""
    rng = Stream(seed)
    x, y = rng.integers(V, n, P), rng.at("y").integers(V, n, L)
    y[:, :1] = torch.where(x.sum(-1, keepdim=True) % 2 == 0, y[:, :1], 0) if P else y[:, :1]
    for tokens, stream in ((x, rng.at("asked")), (y, rng.at("said"))):
        length = stream.integers(tokens.shape[1] + 1, n, 1)
        tokens[torch.arange(tokens.shape[1]) >= length] = -1
    return Corpus.of(x, y, (), labels=V)


@pytest.fixture(scope="module")
def teacher():
    return TINY.fit(rows(), Stream(1))


def every_answer(L, V):
    """All sequences of up to L tokens, -1 behind the end."""
    found = [
        list(said) + [-1] * (L - n)
        for n in range(L + 1)
        for said in itertools.product(range(V), repeat=n)
    ]
    return torch.tensor(found)


def plainly(teacher, x, L):
    """What is likeliest at every token, all read anew each time and row by row."""
    out = torch.full((len(x), L), -1)
    for r, at in itertools.product(range(len(x)), range(L)):
        if at and out[r, at - 1] < 0:
            continue
        question = x[r : r + 1, : int((x[r] >= 0).sum())]
        said = torch.cat([out[r : r + 1, :at], torch.zeros(1, 1, dtype=torch.int64)], 1)
        token = int(teacher.net(question, said)[0, at].argmax())
        out[r, at] = token if token != teacher.net.stop else -1
    return out


# -- the law --------------------------------------------------------------------------------------------------------

DECODINGS = [
    {},
    {"temperature": 0.6},
    {"top_k": 2},
    {"top_p": 0.8},
    {"min_p": 0.4},
    {"temperature": 2.0, "top_p": 0.9},
]


@pytest.mark.parametrize("settings", DECODINGS)
def test_the_law_sums_to_one_over_all_answers(teacher, settings):
    read, every = teacher.decoded(**settings), every_answer(3, 2)
    for question in ([0, 1, 1], [1, -1, -1], [-1, -1, -1]):
        x = torch.tensor([question]).expand(len(every), -1)
        assert float(read.logp(x, every).sum(-1).exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("settings", [*DECODINGS, {"top_k": 1}])
def test_what_is_written_obeys_the_law(teacher, settings):
    n, read, every = 20_000, teacher.decoded(**settings), every_answer(3, 2)
    x = torch.tensor([[1, 0, -1]])
    written = read.answer(x.expand(n, -1), Stream(3))
    law = read.logp(x.expand(len(every), -1), every).sum(-1).exp()
    for answer, p in zip(every, law.tolist(), strict=True):
        share = float((written == answer).all(-1).double().mean())
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-5


def test_beyond_the_end_there_is_nothing(teacher):
    x, y = torch.tensor([[1, 0, 1]]).expand(2, -1), torch.tensor([[-1, -1, -1], [1, -1, -1]])
    told = teacher.logp(x, y)
    assert told.dtype == torch.float64
    assert (told[0, 1:] == 0).all()
    assert told[1, 2] == 0
    assert (told[:, 0] < 0).all()
    assert told[1, 1] < 0


def test_without_a_question_there_is_still_a_law():
    corpus = rows(P=0)
    teacher = TINY.fit(corpus, Stream(1))
    every = every_answer(3, 2)
    nothing = torch.empty(len(every), 0, dtype=torch.int64)
    law = teacher.logp(nothing, every).sum(-1).exp()
    assert float(law.sum()) == pytest.approx(1, abs=1e-5)
    shares = torch.stack([(corpus.y == answer).all(-1).double().mean() for answer in every])
    assert 0.5 * float((law - shares).abs().sum()) < 0.25


# -- what must not matter -------------------------------------------------------------------------------------------


def test_a_padded_row_is_told_as_alone(teacher):
    corpus = rows(40, seed=5)
    together = teacher.logp(corpus.x, corpus.y)
    for r in range(40):
        x = corpus.x[r : r + 1, : int((corpus.x[r] >= 0).sum())]
        y = corpus.y[r : r + 1, : int((corpus.y[r] >= 0).sum()) + 1]
        alone = teacher.logp(x, y)
        assert torch.allclose(together[r : r + 1, : alone.shape[1]], alone, atol=1e-5)


def test_rows_beside_do_not_matter_for_what_is_written(teacher):
    x = rows(50, seed=6).x
    whole = teacher.answer(x, Stream(9))
    assert torch.equal(whole[:20], teacher.answer(x[:20], Stream(9)))


@pytest.mark.parametrize("L", [3, 6])
def test_the_cache_changes_nothing(L):
    corpus = rows(64, P=5, L=L, V=4)
    teacher = dataclasses.replace(TINY, steps=100).fit(corpus, Stream(2))
    written = teacher.decoded(top_k=1).answer(corpus.x, Stream(4))
    assert torch.equal(written, plainly(teacher, corpus.x, L))
    assert written.unique(dim=0).shape[0] > 3
    told = teacher.logp(corpus.x, written)
    assert (told >= teacher.logp(corpus.x, teacher.answer(corpus.x, Stream(5))) - 1e-5)[:, 0].all()


def test_the_weights_survive_a_checkpoint(teacher):
    corpus = rows(30, seed=7)
    again = unpacked(*packed(teacher))
    assert torch.equal(again.logp(corpus.x, corpus.y), teacher.logp(corpus.x, corpus.y))
    assert again.account == teacher.account


# -- learning -------------------------------------------------------------------------------------------------------


def test_it_learns_by_heart():
    """All pairs up to 12 in base 5: every answer right, and nearly certain."""
    values = torch.cartesian_prod(torch.arange(1, 13), torch.arange(1, 13))
    x, y = encode(values, 5, 2), encode(torch.gcd(*values.unbind(-1))[:, None], 5, 2)
    model = Transformer(
        layers=1, width=32, heads=4, steps=300, batch=72, lr=0.01, cosine=True, warmup=0.1
    )
    teacher = model.fit(Corpus.of(x, y, (), labels=6), Stream(0))
    assert torch.equal(teacher.decoded(top_k=1).answer(x, Stream(1)), y)
    assert float(teacher.logp(x, y).sum(-1).exp().mean()) > 0.95
    events = (y >= 0).sum(-1).add(1).clamp_max(3).sum()  # tokens and ends; 300 steps are 150 passes
    assert teacher.account["units"] == 150 * float(events)


def test_an_exchanged_loss_is_obeyed():
    """Under 1 - p(y) the likelier of two answers takes all, where -log p(y) keeps their shares."""
    y = torch.where(torch.arange(100)[:, None] < 70, 0, 1)
    corpus = Corpus.of(None, y, (), labels=2)
    model = Transformer(layers=1, width=16, heads=2, steps=150, batch=100, lr=0.01)
    plain = model.fit(corpus, Stream(0))
    sharp = model.with_loss(lambda logp, y: 1 - logp.gather(-1, y[:, None])[:, 0].exp()).fit(
        corpus, Stream(0)
    )
    zero = torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64)
    assert float(plain.logp(*zero).exp()) == pytest.approx(0.7, abs=0.03)
    assert float(sharp.logp(*zero).exp()) > 0.95


def test_validation_rows_stop_it():
    learnt, apart = rows(12, seed=1), rows(200, seed=2)
    model = dataclasses.replace(TINY, steps=100)
    stopped, late = (
        model.with_validation(apart).fit(learnt, Stream(0)),
        model.fit(learnt, Stream(0)),
    )
    assert stopped.account["stopped_at"] < 100
    told = [float(-t.logp(apart.x, apart.y).sum()) for t in (stopped, late)]
    assert told[0] < told[1]
    events = (apart.y >= 0).sum() + (apart.y < 0).any(-1).sum()
    assert stopped.account["validation_loss"] == pytest.approx(told[0] / float(events), rel=1e-4)


# -- verbs ----------------------------------------------------------------------------------------------------------


def test_redrawn_tokens_follow_the_law_and_the_rest_stays(teacher):
    n = 20_000
    x, y = torch.tensor([[0, 1, 1]]).expand(n, -1), torch.tensor([[1, 0, -1]]).expand(n, -1)
    mask = torch.tensor([[False, True, True]]).expand(n, -1)
    drawn = teacher.redraw(x, y, mask, Stream(1))
    assert (drawn[:, 0] == 1).all()
    assert (drawn[:, 2] == -1).all()  # the length stays
    both = torch.tensor([[1, 0, 0], [1, 1, 0]])
    law = teacher.logp(x[:2], both)[:, 1].exp()
    p = float(law[1] / law.sum())  # the end is not among what is drawn
    assert (
        abs(float((drawn[:, 1] == 1).double().mean()) - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-5
    )
    corpus = rows(50, seed=8)
    assert torch.equal(teacher.redraw(corpus.x, corpus.y, corpus.y < -1, Stream(2)), corpus.y)


def test_what_is_redrawn_stands_before_what_is_redrawn_next(teacher):
    """From left to right: the pair of redrawn tokens has the law of a pair of tokens."""
    n = 20_000
    x, y = torch.tensor([[1, 1, -1]]).expand(n, -1), torch.tensor([[0, 0, 0]]).expand(n, -1)
    drawn = teacher.redraw(x, y, torch.ones_like(y, dtype=torch.bool), Stream(1))
    for first in (0, 1):
        some = drawn[drawn[:, 0] == first]
        law = teacher.logp(x[:2], torch.tensor([[first, 0, 0], [first, 1, 0]]))[:, 1].exp()
        p = float(law[1] / law.sum())
        assert (
            abs(float((some[:, 1] == 1).double().mean()) - p)
            < 4 * math.sqrt(p * (1 - p) / len(some)) + 1e-5
        )


def test_a_processor_sees_what_stands_before(teacher):
    seen = {}

    def never_twice(logp, context):
        """No token is said twice in a row."""
        assert logp.shape[:-1] == context.shape[:-1]
        seen[context.shape] = context
        last = (
            context[..., -1]
            if context.shape[-1] == 3
            else context.gather(
                -1,
                ((context >= 0).long() * torch.arange(context.shape[-1])).argmax(-1, keepdim=True),
            )[..., 0]
        )
        said = context[..., 3:] >= 0
        same = (
            torch.nn.functional.one_hot(last.clamp_min(0), logp.shape[-1]).bool()
            & said.any(-1)[..., None]
        )
        return logp.masked_fill(same, -math.inf)

    read = teacher.decoded(processor=never_twice)
    x = torch.tensor([[1, 0, 1]]).expand(300, -1)
    written = read.answer(x, Stream(1))
    assert ((written[:, 1:] != written[:, :-1]) | (written[:, 1:] < 0)).all()
    assert (written >= 0).sum() > 300
    law = read.logp(x[:15], every_answer(3, 2)).sum(-1).exp()
    assert float(law.sum()) == pytest.approx(1, abs=1e-5)
    assert (read.logp(x, written).sum(-1) > -20).all()


def test_a_blend_stands_between():
    corpus = rows()
    one, two = TINY.fit(corpus, Stream(1)), TINY.fit(corpus, Stream(2))
    told = [one.blend(two, w).logp(corpus.x, corpus.y) for w in (0.0, 1.0)]
    assert torch.allclose(told[0], one.logp(corpus.x, corpus.y), atol=1e-6)
    assert torch.allclose(told[1], two.logp(corpus.x, corpus.y), atol=1e-6)
    half = one.blend(two, 0.5).net.tokens.weight
    assert torch.allclose(half, (one.net.tokens.weight + two.net.tokens.weight) / 2)
    other = dataclasses.replace(TINY, width=8).fit(corpus, Stream(1))
    with pytest.raises(Incompatible, match="same layers and widths"):
        one.blend(other, 0.5)


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("transformer(width=100)", "heads must divide the width, got heads=8 and width=100"),
        ("transformer(layers=0)", "layers must be > 0"),
        ("transformer(steps=5, epochs=1)", "either steps or epochs"),
        ("transformer(lr=0)", "lr must be > 0"),
        ("transformer(depth=2)", "depth"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        registry().build("model", text)


def test_tokens_and_lengths_beyond_what_was_learnt_are_refused(teacher):
    corpus = rows(10)
    with pytest.raises(UsageError, match="has token 1, and the data declare 1 tokens"):
        TINY.fit(Corpus.of(corpus.x, corpus.y.clamp_max(0), (), labels=1), Stream(1))
    with pytest.raises(Incompatible, match="questions of up to 3 tokens, got 4"):
        teacher.answer(torch.zeros(2, 4, dtype=torch.int64), Stream(1))
    with pytest.raises(Incompatible, match="answers of up to 3 tokens, got 5"):
        teacher.logp(corpus.x, torch.zeros(10, 5, dtype=torch.int64))
