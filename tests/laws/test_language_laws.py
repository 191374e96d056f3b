"""Laws of language: entropy, frequencies, Markov sources, and what replacing does to a language model."""

from __future__ import annotations

import math

import pytest
import torch
from holding import follow, holds

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.lib.text.language import events_of
from collapse_bench.plugins.generators.grammar_stories import GrammarStories
from collapse_bench.registry.discovery import registry


@pytest.mark.parametrize(
    "settings", [{}, {"exponent": 2.0, "sentences": 8}, {"block": 20}, {"prompt": 7, "exponent": 0}]
)
def test_nature_pays_its_entropy(settings):
    """Expected nats of a story by the grammar's own sum over places, against stories; and how many tokens they have."""
    chains, n = 200, 60
    data = GrammarStories(**{"test": 2, "judged": 2, **settings}).sample_truth(
        Stream(range(chains))
    )
    rng = Stream(range(1000, 1000 + chains))
    x = data.ask(n, rng.at("x"))
    y = data.answer(x, rng.at("y"))
    nats, tokens = -data.logp(x, y).sum((-2, -1)), events_of(y).sum((-2, -1))
    # a ratio of two means: its linear part about the law has mean nought
    gap = nats - data.entropy_rate * tokens
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(chains)
    assert 4 * float(gap.std()) / math.sqrt(chains) < 0.02 * float(nats.mean())


def test_nature_writes_words_as_often_as_its_law_says():
    chains, n = 100, 200
    data = GrammarStories(truth_is="fixed", words=60, test=2, judged=2).sample_truth(
        Stream(range(chains))
    )
    y = data.answer(data.ask(n, Stream(range(chains))), Stream(range(chains)))
    flat = y.flatten(-2)
    counts = torch.zeros(chains, data.labels + 1, dtype=torch.float64)
    counts = counts.scatter_add(-1, flat + 1, torch.ones_like(flat, dtype=torch.float64))[:, 1:] / n
    z = (counts - data.frequency).mean(0) / (counts.std(0) / math.sqrt(chains)).clamp_min(1e-12)
    constant = (
        counts.std(0) < 1e-12
    )  # words of the first sentence that no other has: exactly one in every story
    assert torch.allclose(counts[:, constant], data.frequency[:, constant])
    assert float(z[~constant].abs().max()) < 4.5  # of some 80 words
    share = data.truth.held_out.rare_share
    assert ((share > 0) & (share <= 0.05)).all()


@pytest.mark.parametrize("states", [2, 4])
def test_bigrams_learn_a_markov_source(states):
    """Of N steps of a Markov chain with K states, maximum likelihood pays K (K - 1) / 2N nats per token beyond the entropy
    rate, to first order in 1/N."""
    chains, N = 400, 4000
    P = (
        torch.rand(
            states, states, generator=torch.Generator().manual_seed(states), dtype=torch.float64
        )
        + 0.3
    )
    P = P / P.sum(-1, keepdim=True)
    pi = torch.linalg.matrix_power(P, 200)[0]
    rng = Stream(range(chains)).at("chain")
    u, reach = rng.uniform(N), P.cumsum(-1)
    state, walk = torch.zeros(chains, dtype=torch.int64), []
    for i in range(N):
        state = (u[:, i, None] > reach[state]).sum(-1).clamp_max(states - 1)
        walk.append(state)
    corpus = Corpus.of(None, torch.stack(walk, -1)[:, None], (chains,), labels=states)
    model = registry().build("model", "ngram(order=2, smoothing=jelinek-mercer, lam=1)")
    pair = torch.arange(states**2).expand(chains, -1)
    logq = model.fit(corpus, rng).logp((pair // states)[..., None], (pair % states)[..., None])[
        ..., 0
    ]
    excess = (pi[:, None] * P * (P.log() - logq.reshape(chains, states, states))).sum((-2, -1))
    holds(
        "excess nats of a Markov chain",
        excess,
        states * (states - 1) / (2 * N),
        slack=0.05,
        sees=0.3,
    )


@pytest.mark.parametrize("model", ["ngram", "ngram(order=2, smoothing=jelinek-mercer, lam=0.95)"])
def test_replacing_harms_and_mixing_less(model):
    """What is lost over generations on paired chains: replace > mix(real=0.5) > nature, which stays where it began."""
    data, T, chains = "grammar-stories(words=80, block=32, judged=8)", 3, 16

    def run(protocol, act=""):
        spec = f"{data} | {model} | {protocol}{act} @ n=200 T={T}"
        return [scores for _, _, scores, _ in follow(spec, chains, seeds=tuple(range(chains)))]

    worst, half, best = run("replace"), run("mix(real=0.5)"), run("replace", " | nature")
    for loss in ("nats", "excess_nats", "total_variation"):
        for more, less in ((worst[-1], half[-1]), (half[-1], best[-1]), (worst[-1], worst[0])):
            gap = more[loss] - less[loss]
            assert float(gap.mean()) > 4 * float(gap.std()) / math.sqrt(chains), loss
    for loss in ("rare_nats", "tail_missing"):
        gap = worst[-1][loss] - best[-1][loss]
        assert float(gap.mean()) > 4 * float(gap.std()) / math.sqrt(chains), loss
    drift = best[-1]["nats"] - best[0]["nats"]
    assert abs(float(drift.mean())) < 4 * float(drift.std()) / math.sqrt(chains)
