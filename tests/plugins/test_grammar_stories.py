"""Stories of a grammar: every probability is known, and what is known agrees with what is written."""

from __future__ import annotations

import math

import pytest
import torch

from collapse_bench import UsageError, cell_of, generations
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.text.language import events_of
from collapse_bench.plugins.generators.grammar_stories import LEXICONS, GrammarStories, lexicon
from collapse_bench.registry.discovery import registry


def stories(**settings) -> GrammarStories:
    return GrammarStories(**{"words": 40, "test": 8, "judged": 4} | settings)


def drawn(chains=2, **settings):
    return stories(**settings).sample_truth(Stream(range(chains)).at("truth"))


def written(data, n, name="rows"):
    rng = Stream(range(data.truth.chain_shape[0])).at(name)
    x = data.ask(n, rng.at("x"))
    return x, data.answer(x, rng.at("y"))


@pytest.mark.parametrize("prompt", [0, 5, 9])
def test_next_words_have_probability_one_together(prompt):
    """At every place of a story, over all words and the end."""
    data = drawn(1, prompt=prompt, block=40)
    x, y = written(data, 3)
    V, L = data.labels, y.shape[-1]
    for i in range(L):
        options = y[:, :, None].expand(1, 3, V + 1, L).clone()
        options[..., i] = torch.cat([torch.arange(V), torch.tensor([-1])])
        options[..., i + 1 :] = -1
        logp = data.logp(
            x[:, :, None].expand(1, 3, V + 1, prompt).flatten(1, 2), options.flatten(1, 2)
        )[..., i].reshape(3, V + 1)
        open_places = events_of(y)[0, :, i]
        assert torch.allclose(
            logp[open_places].exp().sum(-1), torch.ones(int(open_places.sum())).double()
        )


def test_what_is_written_is_possible_and_what_is_changed_is_not():
    data = drawn(4, block=60, sentences=5)
    x, y = written(data, 200)
    assert data.verify(x, y).all()
    assert torch.isfinite(data.logp(x, y)).all()
    names = set(range(*_tokens(data, "name")))
    hero = y[..., 7:8]
    again = (y == hero) & (torch.arange(60) > 8)
    other = torch.where(hero == min(names), hero + 1, min(names))
    changed = torch.where(again, other, y)
    touched = again.any(-1)
    assert 0.5 < touched.double().mean() < 1
    assert not data.verify(x, changed)[
        touched
    ].any()  # the hero's name is bound to the end of the story
    assert torch.equal(
        data.verify(x, changed)[~touched], torch.ones(int((~touched).sum()), dtype=torch.bool)
    )
    broken = y.clone()
    broken[..., 3] = 0
    logp = data.logp(x, broken)
    assert (
        logp[..., 3:][events_of(broken)[..., 3:]] == -torch.inf
    ).all()  # it has left the language for good
    assert (logp[~events_of(broken)] == 0).all()


def _tokens(data, name):
    law = data._grammar.laws[data._grammar.lexicon[name]]
    return law.words[0], law.words[-1] + 1


def test_deeds_go_by_kind():
    """Who is known by their kind does what that kind does: the law of deeds differs between kinds, and not within one."""
    data = drawn(1, words=60, exponent=2.0, sentences=8, block=100)
    _, y = written(data, 4000)
    text = y[0]
    first, _ = _tokens(data, "deed")
    lo, _ = _tokens(data, "kind")
    then = data._grammar.token["then"]
    at = (text[:, :-2] == then).nonzero()
    deeds, kinds = text[at[:, 0], at[:, 1] + 2], text[at[:, 0], 5]
    favourite = {int(k): int(deeds[kinds == k].mode().values) for k in kinds.unique()}
    said = data.truth.ranked[0]
    slot = data._grammar.slots[data._grammar.lexicon["deed"]]
    m = _tokens(data, "deed")[1] - first
    for kind, deed in favourite.items():
        if (kinds == kind).sum() > 200:
            assert deed == int(said[slot + (kind - lo) % 16 * m])
    assert len(set(favourite.values())) > 1


def test_prompts_are_beginnings_of_the_same_stories():
    whole, split = drawn(2), drawn(2, prompt=6)
    x, y = written(split, 100)
    assert (x >= 0).all()
    joined = torch.cat([x, y], -1)
    none = x[..., :0]
    assert torch.allclose(whole.logp(none, joined)[..., 6:], split.logp(x, y))
    _, free = written(whole, 4000)
    _, bound = written(split, 4000, "others")
    assert abs(_mean_length(free) - 6 - _mean_length(bound)) < 5 * 12 / math.sqrt(8000)


def _mean_length(y):
    return float((y >= 0).sum(-1).double().mean())


def test_ranks_are_dealt_per_seed_or_kept_in_order():
    one, other = drawn(2).truth.ranked
    assert not torch.equal(one, other)
    alike = drawn(2, truth_is="fixed")
    assert torch.equal(*alike.truth.ranked)
    first, _ = _tokens(alike, "thing")
    assert int(alike.frequency[0, first : _tokens(alike, "thing")[1]].argmax()) == 0


def test_a_flawed_first_teacher_keeps_natures_ranks():
    nature = drawn(2, exponent=1.0)
    flawed = stories(exponent=3.0).sample_truth(Stream(range(2)).at("first"), nature)
    assert torch.equal(flawed.truth.ranked, nature.truth.ranked)
    x, y = written(flawed, 500)
    assert nature.verify(x, y).all()
    assert -nature.logp(x, y).sum(-1).mean() < -nature.logp(*written(nature, 500)).sum(-1).mean()
    with pytest.raises(Incompatible, match="set words=40"):
        stories(words=50).sample_truth(Stream(range(2)), nature)
    task = "grammar-stories(words=40) | ngram | replace @ n=30 T=1"
    *_, last = generations(
        cell_of(f"{task} first=grammar-stories(words=40, exponent=3)", seeds=(0, 1))
    )
    assert last.scores["nats"].isfinite().all()


@pytest.mark.parametrize("name", LEXICONS)
def test_words_are_different_however_many(name):
    words = lexicon(name, 3000)
    assert len(set(words)) == 3000
    assert lexicon(name, 10) == words[:10]


def test_no_word_means_two_things():
    words = GrammarStories(words=2000).vocabulary
    lexicons = [set(lexicon(name, 2000)) for name in LEXICONS]
    assert len(words) == GrammarStories(words=2000).labels
    assert len(set(words)) == len(words)
    assert sum(map(len, lexicons)) == len(set().union(*lexicons))


def test_stories_are_spelled():
    data = drawn(1, words=300, truth_is="fixed", block=16)
    words = {word: i for i, word in enumerate(data.vocabulary)}
    story = "once there was a shy owl named Mia . then Mia sang ."
    tokens = torch.tensor(
        [[*map(words.get, story.split()), -1, -1, -1], [words["once"], *[-1] * 15]]
    )
    assert data.spell(tokens) == ["Once there was a shy owl named Mia. Then Mia sang.", "Once"]


@pytest.mark.parametrize("block", [10, 17, 48])
def test_a_story_is_cut_or_ends(block):
    data = drawn(1, block=block)
    _, y = written(data, 300)
    assert y.shape == (1, 300, block)
    assert ((y >= 0).sum(-1) >= 9).all()
    logp = data.logp(y[..., :0], y)
    full = y[..., -1] >= 0
    assert 0 < full.double().mean() < 1
    assert (logp[~full].sum(-1) < 0).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("words=5", "words must be >= 20"),
        ("prompt=10", "prompt must be >= 0 and <= 9"),
        ("judged=300", "judged must be at most test, got judged=300, test=200"),
        (
            'encoder="nowhere/at/all"',
            "grammar-stories: encoder: 'nowhere/at/all' does not exist; give the local path of a folder",
        ),
    ],
)
def test_bad_parameters_are_refused_with_a_sentence(text, words):
    with pytest.raises(UsageError) as refusal:
        registry().build("generator", f"grammar-stories({text})")
    assert words in str(refusal.value)
