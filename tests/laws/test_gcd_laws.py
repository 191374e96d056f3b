"""The sieve of greatest common divisors: the engine against what is claimed and predicted of it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from holding import follow, holds

from collapse_bench import cell_of, theory
from collapse_bench.laws.verify import groups, verdicts
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import gcd


@pytest.mark.slow
def test_what_the_plugin_claims_holds():
    claims = [c for c in registry().claims() if c.law.startswith("gcd.")]
    found = [
        v
        for spec, chains, some in groups(claims, quick=True)
        for v in verdicts(spec, chains, some, registry())
    ]
    assert [(v.claim.law, v.claim.setting, v.z) for v in found if not v.good] == []
    assert {v.claim.law for v in found} == {
        name for name in theory.laws() if name.startswith("gcd.")
    }
    assert len(found) == len(claims) > 10


@pytest.mark.parametrize(
    "spec",
    [
        "gcd(max=1000, test=200, each=1) | gcd-sieve(examples=4) | replace @ n=200 T=3",
        "gcd(max=1000, test=200, each=1) | gcd-sieve(examples=4) | accumulate @ n=200 T=2",
        "gcd(max=1000, test=200, each=1) | gcd-sieve(examples=4) | accumulate | nature @ n=150 T=2",
        "gcd(max=500, test=200, each=1) | gcd-sieve(examples=3, grok=1) | replace | nature @ n=60 T=2 growth=1",
        "gcd(base=6, max=300, operands=log-uniform, test=200, each=1) | gcd-sieve(examples=3, grok=2) @ n=60 T=3",
    ],
)
def test_predicted_curves_are_met(spec):
    predicted = registry().predicted(cell_of(spec))
    assert len(predicted) == cell_of(spec).generations + 1
    if "nature" not in spec and "accumulate" not in spec:
        assert predicted[0] < predicted[-1] - 0.01  # skills are lost
    for k, _, scores, _ in follow(spec, 250):
        holds(f"collapse_theory: {spec} k={k}", scores["error"], predicted[k - 1], slack=0.005)


@pytest.mark.parametrize(
    "spec",
    [
        "gcd | gcd-sieve(noise=0.1) @ n=50 T=1",
        "gcd | gcd-sieve | mix @ n=50 T=1",
        "gcd(outcomes=inverse) | gcd-sieve @ n=50 T=1",
        "gcd | gcd-sieve | verify-filter @ n=50 T=1",
    ],
)
def test_where_no_law_is_known_none_is_told(spec):
    assert registry().predicted(cell_of(spec)) is None


def test_the_staircase_has_its_largest_steps_at_2_and_3():
    """What each prime adds to the accuracy once those before it are known: 20.3, 10.1, 3.8, 2.0 points."""
    known = [1, 2, 6, 30, 210]
    steps = [gcd.accuracy(b) - gcd.accuracy(a) for a, b in pairwise(known)]
    assert [round(100 * step, 1) for step in steps] == [20.3, 10.1, 3.8, 2.0]
    assert gcd.accuracy(10) - gcd.accuracy(2) == pytest.approx(0.034, abs=5e-4)
    for p in (2, 3, 5, 7, 11):
        assert gcd.accuracy(p) / gcd.accuracy(1) == pytest.approx(1 / (1 - p**-2))
    assert gcd.accuracy(1) == pytest.approx(6 / math.pi**2)
