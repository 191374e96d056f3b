"""Memorisers, bigram tables and softmax regression: the engine against the laws of heavy tails."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from holding import follow, holds

from collapse_bench import cell_of
from collapse_bench.core.components import Protocol
from collapse_bench.core.loop import generations
from collapse_bench.laws.verify import groups, verdicts
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import discrete, tails
from collapse_bench.theory._zipf import zipf

OURS = ("zipf", "zipf-memory", "bigram")


@pytest.mark.slow
@pytest.mark.parametrize("world", OURS)
def test_what_the_plugins_claim_holds(world):
    claims = [c for c in registry().claims() if c.spec.split("(")[0] == world]
    found = [
        v
        for spec, chains, some in groups(claims, quick=True)
        for v in verdicts(spec, chains, some, registry())
    ]
    assert [(v.claim.law, v.claim.setting, v.z) for v in found if not v.good] == []
    assert len(found) == len(claims) > 5


@pytest.mark.parametrize(
    "spec",
    [
        "zipf(K=40) | counts | accumulate @ n=30 T=2",
        "zipf(K=40) | counts | accumulate | nature @ n=30 T=2",
        "zipf(K=40, sampler=exact-law) | counts | mix(real=0.3) | nature @ n=30 T=2",
        "zipf(K=40) | counts | iterative-mix(real=0.3) | nature @ n=33 T=3 growth=0.5",
        "zipf-memory(K=60) | memory | mix(real=0.3, fresh=false) | nature @ n=33 T=3 growth=0.5",
        "zipf-memory(K=60) | memory | replace @ n=40 T=4",
        "zipf-memory(K=60, sampler=exact-law) | memory | mix(real=0.3) @ n=40 T=1",
        "zipf-memory(K=60) | memory | accumulate | nature @ n=40 T=3",
        "zipf-memory(K=60) | memory | replace | nature @ n=40 T=2 growth=1",
        "zipf-memory(K=5000, beta=1.3) | memory | verify-filter(oversample=2) @ n=2000 T=2",
        "bigram(K=8) | counts | accumulate | nature @ n=160 T=2",
        "bigram(K=8, beta=1.2, sampler=exact-law) | counts | replace @ n=80 T=1",
        "zipf(beta=0.8, K=40) | counts @ n=30 T=0",
        "zipf(beta=0, K=40) | counts | replace | nature @ n=30 T=1",
        "bigram(K=8, beta=0.6) | counts | accumulate | nature @ n=160 T=1",
        "zipf-memory(beta=0.7, K=60) | memory | replace @ n=40 T=3",
    ],
)
def test_predicted_curves_are_met(spec):
    predicted = registry().predicted(cell_of(spec))
    assert predicted is not None
    assert not math.isnan(predicted[0])
    *_, data = next(follow(spec, 1))
    for k, _, scores, _ in follow(spec, 200 if "5000" in spec else 1500):
        if not math.isnan(predicted[k - 1]):
            holds(
                f"collapse_theory: {spec} k={k}",
                scores[data.primary],
                predicted[k - 1],
                slack=0.02 * (k > 1),
            )


@pytest.mark.parametrize(
    "spec",
    [
        "zipf(K=40) | counts(smoothing=1) @ n=30 T=2",
        "zipf(K=40) | counts | replace | top-p @ n=30 T=2",
        "zipf(K=40) | counts @ n=30 T=2 first=zipf(beta=2, K=40)",
        "bigram(K=8, visits=drawn) | counts @ n=80 T=2",
        "bigram(K=8) | counts @ n=81 T=2",
        "zipf-memory(K=40) | associative-memory @ n=80 T=2",
    ],
)
def test_nothing_is_predicted_where_no_law_is_known(spec):
    assert registry().predicted(cell_of(spec)) is None


@dataclasses.dataclass(frozen=True)
class Half(Protocol):
    """A stranger: every generation reads half of the rows that it may."""

    def compose(self, access, memory):
        return access.synthetic(access.n // 2), None


@pytest.mark.parametrize(
    "spec",
    ["zipf(K=40) | counts @ n=30 T=2", "zipf-memory(K=40) | memory | replace | nature @ n=30 T=2"],
)
def test_how_much_a_protocol_reads_that_is_no_standard_one_is_not_guessed(spec):
    assert registry().predicted(dataclasses.replace(cell_of(spec), protocol=Half())) is None


def test_a_filter_that_passes_too_little_is_not_predicted():
    spec = "zipf-memory(K=5000, beta=1.3) | memory | verify-filter(oversample=1.01) @ n=2000 T=4"
    assert [math.isnan(value) for value in registry().predicted(cell_of(spec))] == [
        False,
        True,
        True,
        True,
        True,
    ]


# -- what costs nothing to be large ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "zipf(K=1000, sampler=exact-law) | counts",
        "zipf-memory(K=1000, sampler=exact-law) | memory",
        "bigram(K=30, sampler=exact-law) | counts",
        "bigram(K=30, visits=drawn, sampler=exact-law) | counts",
    ],
)
def test_counts_stand_for_many_rows_and_lose_none(spec):
    n = 10**14 + 1
    *_, last = generations(cell_of(f"{spec} | accumulate @ n={n} T=2", seeds=range(3)))
    assert (last.size == 3 * n).all()
    assert last.memory.n == 3 * (30**2 if "bigram" in spec else 1000 + ("memory" in spec))
    assert (last.memory.count.sum(-1) == 3 * n).all()


# -- cut, narrowed and mixed sources --------------------------------------------------------------------------------


def test_a_cut_source_keeps_the_ranks_of_nature():
    """With infinitely many inputs a memoriser of the first 20 symbols lacks just the mass of the others, on every seed."""
    spec = "zipf(K=50, sampler=exact-law) | counts @ n=1000000000000 T=0 first=zipf(K=50, read=top-k(k=20), sampler=exact-law)"
    _, teacher, scores, _ = next(follow(spec, 20))
    assert torch.allclose(
        scores["missing_mass"], torch.tensor(zipf(50, 1.5)[20:].sum()), atol=1e-12
    )
    assert ((teacher.p > 0).sum(-1) == 20).all()


def test_a_share_of_real_inputs_ends_the_plateau():
    """Rank 20 is cut, and one input in a hundred is real: before and after T = k^beta / pi."""
    world = "zipf(K=300, truth_is=fixed, sampler=exact-law) | counts @ T=0 n="
    for T in (2000, 200_000):
        for pi in (0.0, 0.01):
            source = f"zipf(K=300, read=top-k(k=20), plain={pi}, sampler=exact-law)"
            _, _, scores, _ = next(follow(f"{world}{T} first={source}", 300))
            law = tails.hutter(1.5, T, kind="mix", k=20, pi=pi, N=300)
            if pi:
                holds(f"mixed memoriser, pi={pi} T={T}", scores["missing_mass"], law, sees=0.1)
            else:
                assert torch.allclose(
                    scores["missing_mass"], torch.tensor(zipf(300, 1.5)[20:].sum()), atol=1e-12
                )


# -- tables per context ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["explicit", "exact-law"])
def test_contexts_met_at_random_thin_the_law(sampler):
    """Of n pairs each is (context, token i) with probability p_i / K: missing mass sum p_i (1 - p_i / K)^n."""
    K, n, p = 10, 120, zipf(10, 1.3)
    spec = f"bigram(K={K}, beta=1.3, visits=drawn, sampler={sampler}) | counts @ n={n} T=0"
    _, _, scores, _ = next(follow(spec, 1500))
    holds(f"bigram, contexts drawn, {sampler}", scores["missing_mass"], float(p @ (1 - p / K) ** n))


@pytest.mark.parametrize("model", ["counts", "softmax-regression"])
def test_each_context_drifts_like_a_law_of_its_own(model):
    K, M = 6, 10
    for k, teacher, _, data in follow(f"bigram(K={K}, beta=1) | {model} @ n={K * M} T=3", 400):
        if k in (1, 4):
            drift = data.diagnostics(teacher)["l2_drift"]
            holds(f"bigram per context, {model}, k={k}", drift, discrete.l2_drift(K, 1.0, M, k))


@pytest.mark.parametrize("data", ["zipf(K=30)", "bigram(K=6)"])
def test_softmax_regression_without_penalty_is_the_table_of_frequencies(data):
    """Generation by generation: the same draws from tables that agree to the tolerance of the optimiser."""
    cells = [
        cell_of(f"{data} | {model} @ n=60 T=4", seeds=range(50))
        for model in ("counts", "softmax-regression")
    ]
    for counted, trained in zip(*map(generations, cells), strict=True):
        assert (counted.teacher.p - trained.teacher.p).abs().max() < 1e-8
        assert (counted.teacher.p == 0).any()


def test_a_penalised_softmax_regression_is_stationary():
    """(1/n) (n_x p_x - counts) + 2 lam W = 0, with W = log p up to a constant per context: the mean of W is 0."""
    lam, n, K = 0.01, 200, 7
    cell = cell_of(
        f"bigram(K={K}, visits=drawn) | softmax-regression(lam={lam}) | accumulate @ n={n} T=0",
        seeds=range(9),
    )
    (last,) = generations(cell)
    count, p = last.memory.tally(K, K), last.teacher.p
    W = p.log() - p.log().mean(-1, keepdim=True)
    gradient = (count.sum(-1, keepdim=True) * p - count) / n + 2 * lam * W
    assert gradient.abs().max() < 1e-9
    assert W.abs().max() > 0.1


# -- capacity -------------------------------------------------------------------------------------------------------


def test_a_memory_with_room_knows_what_it_read():
    """Where all is stored alike and d is large, an associative memory errs as one without limit."""
    world = "zipf-memory(K=30, sampler=exact-law) | {} @ n=40 T=0"
    limited, unlimited = (
        next(generations(cell_of(world.format(model), seeds=range(200)))).scores["error"]
        for model in ("associative-memory(d=512, rho=0)", "memory")
    )
    assert torch.allclose(
        limited, unlimited
    )  # of what it never read it says what it knows, which is wrong
    assert unlimited.min() > 0.01


@pytest.mark.parametrize("rho", [1.0, 0.5])
def test_more_dimensions_know_more(rho):
    errors = []
    for d in (16, 64, 256):
        spec = f"zipf-memory(K=100, sampler=exact-law) | associative-memory(d={d}, rho={rho}) @ n=100000000 T=0"
        errors.append(float(next(follow(spec, 30))[2]["error"].mean()))
    assert errors[0] > 1.2 * errors[1] > 1.44 * errors[2]
