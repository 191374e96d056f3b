"""The suite's own code gives the numbers that it gave: records are reused across releases as long
as it does.

After a wanted change of numbers, see the message of the test, and write the values again:
``python tests/core/test_numerics.py``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from collapse_bench import cell_of
from collapse_bench.core.identity import NUMERICS
from collapse_bench.registry.discovery import registry
from collapse_bench.running.chains import run_chains

GOLDEN = Path(__file__).with_name("golden_numerics.json")
SEEDS = [0, 7]
RELATIVE = 1e-9

#: small cells that between them use every world, model, protocol and shared piece of code that runs
#: without data files
CELLS = """
gaussian(d=2) | gaussian-fit | replace | temperature(t=1.1) @ n=20 T=2
gaussian | kde | accumulate | noise-augmentation @ n=20 T=2
gaussian | gaussian-fit | mix(real=0.2) | replay + golden-ratio @ n=20 T=2
gaussian(sampler=exact-law) | gaussian-fit | replace @ n=20 T=2
gaussian(d=2) | gaussian-fit | accumulate(real=0.3) | ratio-debias @ n=20 T=2
linear(d=4) | ridge(lam=0.1) | replace | share-schedule(shares=[0.5, 0.2]) @ n=20 T=3
linear(d=4) | ridge(lam=0.1) | replace | self-distillation @ n=20 T=2
linear(d=4) | ridge(lam=0.1) | mix(real=0.5) | two-stage(lam=0.2) @ n=20 T=2
gaussian-mixture(minority=0.1) | mixture-fit | replace | moment-matching @ n=40 T=1
linear(d=4) | ols | accumulate-subsample | distrust @ n=20 T=2
linear(d=4) | ridge(lam=0.1) | replace | oracle-verify + adaptive-ridge @ n=20 T=2
linear(d=4) | ridge(lam=0.1) | replace | tuned-penalty @ n=20 T=2
linear(d=4) | random-features(width=5, lam=0.1) | replace | real-anchor(k=5) @ n=20 T=2
half-space(d=4) | least-squares | replace | noise-augmentation @ n=30 T=2
linear(d=4) | ridge | iterative-mix | mix-weights @ n=20 T=2
glm(d=3) | glm-fit | mix(real=0.5) @ n=60 T=2
glm(d=3, labels_are=poisson) | glm-fit(family=poisson) | accumulate @ n=60 T=2
planar(shape=circles) | kde | replace @ n=30 T=1
tabular(table=wine) | gaussian-copula | mix(real=0.2) | detector-resampling @ n=60 T=2
gaussian(d=2) | gaussian-copula | accumulate @ n=40 T=2
half-space(d=4) | least-squares(lam=0.1) | mix(real=0.2) @ n=30 T=1 first=noisy-labels(p=0.3)
linear(d=4) | ridge | mix(real=0.5) | ratio-cap @ n=20 T=2 growth=0.5
half-space(d=4) | least-squares | verify-filter(phi=0.8) | noisy-verify @ n=30 T=2
half-space(d=4) | logistic | mix(real=0.2) | star-quotas + deliberate-practice @ n=30 T=1
half-space(d=4) | logistic | mix(real=0.2) | confidence-penalty + boosted-labels @ n=30 T=1
half-space(d=4) | logistic | replace @ n=30 T=1 first=weak-labeller
linear(d=4) | ridge | mix(real=0.2) | ecosystem(m=2) @ n=20 T=2
linear(d=4) | ridge | replace | frozen-relabel @ n=20 T=2 first=linear-surrogate
linear(d=4) | random-projection | replace | verified-retraining @ n=20 T=2
linear(d=4) | ridge | replace | tuned-weighting + neon @ n=20 T=1 first=ols-chain
gaussian(d=2) | gaussian-fit | mix(real=0.2) | anchor + autophagy-penalty @ n=20 T=2
gaussian(d=2) | gaussian-fit | mix(real=0.2) | entropy-selection + self-correction @ n=20 T=2
gaussian(d=2) | gaussian-fit | mix(real=0.2) | quantile-map @ n=20 T=2
gaussian(d=2) | gaussian-fit | mix(real=0.2) | growing + kmeans-cover @ n=20 T=2
gaussian | gaussian-fit | mix(real=0.2) | high-surprise + real-anchor(k=3) @ n=20 T=2
zipf(K=40, read=top-k(k=20)) | counts | replace(decode=hot) | top-p @ n=40 T=2
zipf(K=40) | counts | mix(real=0.2) | weight-averaging @ n=40 T=2
half-space(d=4) | least-squares | replace @ n=30 T=2 first=noisy-labels(p=0.3)
zipf(K=40) | counts | replace | top-k(k=9) @ n=40 T=2
zipf(K=40) | counts | replace | plural-preferences(k=3) @ n=40 T=2
zipf(K=40) | counts | mix(real=0.2) | tail-injection + watermark(z=1) @ n=40 T=2
zipf(K=40) | counts | mix(real=0.5) | detector-resampling @ n=40 T=2
zipf-memory(K=40) | memory | replace | min-p @ n=40 T=2
zipf-memory(K=40) | associative-memory(d=8) | replace @ n=40 T=2
bigram(K=6) | counts | replace | truncated-ce @ n=60 T=1
bigram(K=6) | softmax-regression | replace | label-smoothing @ n=60 T=1
digits | averaging | replace | low-perplexity @ n=40 T=1
gcd(max=30, test=40, each=5) | gcd-sieve | replace | best-of-k(k=2) @ n=60 T=1
grammar-stories | ngram(order=2) | replace | ngram-resampling @ n=30 T=1
grammar-stories | ngram(order=2) | replace | token-edit @ n=30 T=1
gaussian(d=2) | gaussian-fit | mix(real=0.2) | frozen @ n=20 T=2
gaussian(d=2) | gaussian-fit | replace | keep-first(a=0.3) @ n=20 T=2
gaussian(d=2) | gaussian-fit | replace | trivial @ n=20 T=1
gaussian(d=2) | gaussian-fit | mix(real=0.2) | real-now @ n=20 T=2
linear(d=4) | ridge | accumulate(real=0.2) | real-only @ n=20 T=2
half-space(d=4) | least-squares | replace | verifier-only @ n=30 T=2
gcd(max=30, test=40, each=5) | gcd-sieve | replace | verifier-only @ n=60 T=1
linear(d=4) | ols | replace | verifier-only(shift=0.2) @ n=30 T=1
zipf(K=40, sampler=exact-law) | counts | replace | thinned @ n=40 T=2
linear(d=4) | ridge | replace | thinned(refill=true) @ n=20 T=2
grammar-stories | ngram(order=2) | replace | trivial @ n=30 T=1
gaussian(d=2, drift=0.1) | gaussian-fit | mix(real=0.3) | tracking @ n=20 T=2
gaussian(drift=0.1) | gaussian-fit(sigma=1) | accumulate(real=0.2) @ n=20 T=2
linear(d=4, drift=0.1) | ols | accumulate-subsample(real=0.2) | replay-buffer @ n=20 T=3
half-space(d=4, drift=0.3) | averaging | replace @ n=30 T=2
zipf(K=20, novel=0.2, blocks=2) | counts | mix(schedule=[0.5, 0.2]) @ n=40 T=2
bigram(K=5, novel=0.2, blocks=2) | counts | mix(real=0.2) @ n=50 T=2
grammar-stories(words=40, novel=0.3, blocks=2) | ngram(order=2) | replace @ n=30 T=2
grammar-stories | ngram(order=2) | replace | deduplicate @ n=30 T=1
gcd(max=30, test=40, each=5) | gcd-sieve | replace | self-selection(k=3) @ n=60 T=1
"""
#: networks, whose sums are taken in other orders by other kernels
NETWORKS = """
digits | mlp(width=8, steps=5) | replace | early-stopping @ n=40 T=1
digits | cnn(width=2, steps=2) | replace | focal @ n=20 T=1
gcd(max=30, test=40, each=5) | transformer(layers=1, width=8, heads=2, steps=2) | replace @ n=40 T=1
"""
#: metrics that a package from outside computes
OTHERS = {"self_bleu", "self_bleu_lost", "compression_lost"}
TELLS = (
    "{cell}: {name} was {was:.17g} and is {now:.17g}. Records of before are then wrong to reuse. If one plugin computes "
    "otherwise, raise its `version`; if code that plugins share does, raise NUMERICS in collapse_bench/core/identity.py. "
    "Say in CHANGELOG.md what moved, and write the values again: python tests/core/test_numerics.py"
)


def measured(spec: str) -> dict[str, list[float]]:
    """The last generation of a cell: metric -> its value in each chain; and what its law predicts."""
    record = run_chains(cell_of(spec), SEEDS)
    assert set(record.status.values()) <= {"done", "starved"}, record.facts.reason
    last = record.generation == record.facts.generations
    found = {
        name: [float(v) for v in record.value[last & (record.metric == name)]]
        for name in sorted(set(record.metric[last]) - OTHERS)
    }
    law = record.facts.theory.predicted
    return found if law is None else {**found, "law": [math.nan if v is None else v for v in law]}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_values_are_of_this_version(golden):
    assert golden["numerics"] == NUMERICS, (
        "write the values again: python tests/core/test_numerics.py"
    )
    assert set(golden["cells"]) == {*lines(CELLS), *lines(NETWORKS)}


@pytest.mark.parametrize("spec", lines(CELLS))
def test_no_number_moves_without_a_word(spec, golden):
    hold(spec, golden["cells"][spec], RELATIVE)


@pytest.mark.parametrize("spec", lines(NETWORKS))
def test_no_number_of_a_network_moves_without_a_word(spec, golden):
    hold(spec, golden["cells"][spec], 1e-4)


def hold(spec: str, before: dict[str, list[float]], relative: float) -> None:
    now = measured(spec)
    assert set(now) == set(before), f"{spec} tells other quantities: {set(now) ^ set(before)}"
    for name, values in before.items():
        for was, is_now in zip(values, now[name], strict=True):
            was = math.nan if was is None else was
            close = math.isclose(was, is_now, rel_tol=relative, abs_tol=1e-13)
            said = TELLS.format(cell=spec, name=name, was=was, now=is_now)
            assert close or (math.isnan(was) and math.isnan(is_now)), said


def test_every_kind_of_plugin_is_among_them():
    """All that need neither files nor minutes."""
    used = {part.title() for spec in lines(CELLS + NETWORKS) for _, part in cell_of(spec).parts()}
    heavy = {"causal-lm", "ddpm", "vae"}  # their training loop is that of mlp
    files = {"idx-images", "pictures", "text"}
    named = {
        "negative-guidance",
        "unbiased-decoding",
    }  # need such a model, or a decoder that can be undone
    known = registry().classes
    for kind in ("generator", "model", "protocol", "mitigation"):
        assert known[kind].keys() - used <= heavy | files | named | {"none", "nature"}


if __name__ == "__main__":
    cells = {
        spec: {
            name: [None if math.isnan(v) else v for v in values]
            for name, values in measured(spec).items()
        }
        for spec in lines(CELLS + NETWORKS)
    }
    text = json.dumps({"numerics": NUMERICS, "cells": cells}, indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
