"""Mitigations that ask where a row comes from, or write it anew: neutral parameters, refusals, tracks."""

from __future__ import annotations

import re

import pytest
import torch

from collapse_bench import UsageError, cell_of, generations
from collapse_bench.lib.distributions.decoding import Decoding, as_it_is
from collapse_bench.running.chains import run_chains

GAUSS, ZIPF, LINEAR = "gaussian | gaussian-fit", "zipf(K=30) | counts", "linear(d=3) | ridge"
STORIES = "grammar-stories | ngram(order=2)"


@pytest.mark.parametrize(
    ("task", "act"),
    [
        (GAUSS, "noise-augmentation(share=0)"),
        (ZIPF, "noise-augmentation(share=0)"),
        (GAUSS, "self-correction(gamma=0)"),
        (GAUSS, "quantile-map(gamma=0)"),
        (GAUSS, "detector-resampling(power=0, oversample=1, copies=1)"),
        (GAUSS, "detector-resampling(oversample=3)"),  # all copies of all rows are taken
        (ZIPF, "detector-resampling(power=0, oversample=2, copies=2)"),
        (ZIPF, "ngram-resampling(keep=1)"),
        (ZIPF, "min-p(p=0)"),
        (ZIPF, "hot(t=1, min_p=0)"),
        (STORIES, "ngram-resampling(keep=1)"),
    ],
)
def test_at_neutral_parameters_nothing_is_changed(task, act):
    def losses(entry):
        return [
            now.scores
            for now in generations(
                cell_of(f"{task} | mix(real=0.4){entry} @ n=30 T=2", seeds=range(3))
            )
        ]

    for mine, theirs in zip(losses(f" | {act}"), losses(""), strict=True):
        assert all(torch.allclose(mine[name], theirs[name], rtol=1e-9, atol=1e-12) for name in mine)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (f"{ZIPF} | replace | unbiased-decoding @ n=9 T=1", "this protocol has none"),
        (f"{LINEAR} | replace | unbiased-decoding @ n=9 T=1", "linear gives regression data"),
        (f"{STORIES} | replace | watermark @ n=9 T=1", "provides no other rows"),
        (f"{STORIES} | mix(real=0) | watermark @ n=9 T=1", "provides no other rows"),
        (f"{ZIPF} | mix | watermark @ n=9 T=1", "score of at most 1.73"),
        (
            "zipf(sampler=exact-law) | counts | replace | token-edit @ n=9 T=1",
            "choose sampler=explicit",
        ),
        (
            "zipf(sampler=exact-law) | counts | replace | noise-augmentation @ n=9 T=1",
            "choose sampler=explicit",
        ),
        (f"{GAUSS} | replace | token-edit @ n=9 T=1", "gaussian gives density data"),
        (f"{ZIPF} | replace | token-edit @ n=9 T=1", "the likeliest one of zipf has 0.44"),
        (
            "bigram(K=6) | counts | replace | token-edit @ n=9 T=1",
            "the likeliest one of bigram has 0.55",
        ),
        (f"{ZIPF} | replace | frozen-relabel @ n=9 T=1", "zipf gives discrete data"),
        (f"{LINEAR} | replace | self-correction @ n=40 T=1", "linear gives regression data"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(spec, words):
    assert words in cell_of(spec).incompatibility()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            "self-correction(k=5, clusters=20)",
            "clusters=20 centers need at least as many real rows, and k=5",
        ),
        ("watermark(gamma=1)", "gamma must be > 0 and < 1, got 1"),
        ("noise-augmentation(share=1.5)", "share must be >= 0 and <= 1"),
        ("detector-resampling(real=0)", "real must be > 0"),
        ("token-edit(p=2)", "p must be >= 0 and <= 1"),
        ("ngram-resampling(keep=0)", "keep must be > 0 and <= 1"),
    ],
)
def test_parameters_out_of_range(act, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        cell_of(f"{ZIPF} | mix | {act} @ n=9 T=1")


@pytest.mark.parametrize(
    ("task", "act", "track", "unique"),
    [
        (GAUSS, "detector-resampling(real=0.4)", "real", 8),
        (ZIPF, "ngram-resampling(real=0.35, refill=false)", "real", 7),
        (ZIPF, "token-edit(p=0.3)", "real", 20),
        (ZIPF, "token-edit(p=0.3, fresh=true)", "real", 60),
        (GAUSS, "self-correction(k=9, clusters=3)", "provenance+real", 9),
        (GAUSS, "quantile-map(k=9)", "real", 9),
        (GAUSS, "noise-augmentation", "blind", 0),
        (STORIES, "watermark", "blind", 0),
        (LINEAR, "frozen-relabel", "first", 0),
        (LINEAR, "frozen-relabel(spare=true)", "first+provenance", 0),
    ],
)
def test_the_ledger_shows_what_a_method_knows(task, act, track, unique):
    told = run_chains(cell_of(f"{task} | mix(real=0.5) | {act} @ n=20 T=3"), [1, 2]).facts
    assert told.track == track
    assert told.ledger["real_unique_by_methods"] == (unique,) * 2


def test_a_frozen_labeller_can_spare_real_rows():
    # real labels have no noise here, so that what was not spared is seen at once
    spec = "linear(d=3, noise=0) | ols | mix(real=0.5{}) | frozen-relabel{} @ n=40 T=2 first=linear-surrogate(c2=1, noise=0)"
    spared, all_anew = (
        [
            now.scores["excess_risk"].mean()
            for now in generations(cell_of(spec.format("", more), seeds=range(5)))
        ]
        for more in ("(spare=true)", "")
    )
    assert spared[0] == all_anew[0]  # at generation 0 nobody was there before
    assert all_anew[2] == pytest.approx(float(all_anew[0]))
    assert spared[2] < 0.7 * all_anew[2]


def test_the_neutral_processor_takes_the_place_of_another():
    biased = Decoding(temperature=0.5, processor=lambda logp, context: logp * 2)
    assert not biased.plain
    assert biased.then(temperature=1.0, processor=as_it_is).plain
