"""Flawed sources of a linear world, and what learns from their rows: what the conformance kit cannot know."""

from __future__ import annotations

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.plugins.generators.linear_surrogate import LinearSurrogate
from collapse_bench.plugins.generators.ols_chain import OLSChain
from collapse_bench.plugins.mitigations.mix_weights import MixWeights
from collapse_bench.plugins.models.random_features import RandomFeatures
from collapse_bench.plugins.models.random_projection import RandomProjection
from collapse_bench.plugins.protocols.standard import IterativeMix, Mix

SEEDS = Stream(range(400))


def desk(data, source, n=50, t=0, rng=SEEDS):
    """(nature, the flawed source, the access at which that one writes)."""
    real = data.sample_truth(rng.at("truth"))
    flawed = source.sample_truth(rng.at("first"), real)
    return real, flawed, Desk(real, flawed, t, n, rng, Ledger(), age=t + 1).access(PROTOCOL)


# -- the surrogate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 1.5])
def test_the_excess_risk_of_the_surrogate_is_c2(beta):
    real, flawed, _ = desk(Linear(d=6, beta=beta), LinearSurrogate(c2=3.0))
    risk = real.losses(flawed, SEEDS.at("exam"))["excess_risk"]
    assert abs(risk.mean() - 3) < 4 * risk.std() / 20
    # isotropic in units of the real covariates: each axis bears the same share
    shares = (real.truth.spectrum * (flawed.truth.w - real.truth.w) ** 2).mean(0)
    torch.testing.assert_close(shares, torch.full_like(shares, 0.5), rtol=0.4, atol=0)


def test_its_rows_have_covariates_and_noise_of_their_own():
    _, flawed, access = desk(Linear(d=4, noise=2.0), LinearSurrogate(c2=0.0, beta=2.0, noise=0.1))
    corpus = access.synthetic(50)
    spread = corpus.x.pow(2).mean((0, 1))
    torch.testing.assert_close(
        spread, torch.tensor([1, 1 / 4, 1 / 9, 1 / 16]).double(), rtol=0.05, atol=0
    )
    residual = (corpus.y - flawed.mean_answer(corpus.x)).std()
    assert 0.09 < float(residual) < 0.11
    # and real rows are nature's
    assert float((access.real(50).x.pow(2).mean((0, 1)) - 1).abs().max()) < 0.05
    assert set(corpus.origin.unique().tolist()) == {1}


def test_by_default_its_questions_and_noise_are_those_of_nature():
    rng = SEEDS[:3]
    _, _, access = desk(Linear(d=4, noise=0.7, beta=1.0), LinearSurrogate(c2=0.0), rng=rng)
    data = Linear(d=4, noise=0.7, beta=1.0)
    _, _, plain = desk(data, data, rng=rng)
    torch.testing.assert_close(access.synthetic(20).x, plain.synthetic(20).x)


def test_with_the_same_questions_for_ever_it_asks_them_too():
    _, _, access = desk(Linear(d=3, fresh=False), LinearSurrogate(), rng=SEEDS[:2])
    torch.testing.assert_close(access.synthetic(9).x, access.real(9).x)


def test_its_sums_by_their_exact_law_are_those_of_its_rows():
    means = []
    for sampler in ("explicit", "exact-law"):
        _, _, access = desk(
            Linear(d=2, sampler=sampler, noise=2.0), LinearSurrogate(beta=1.0, noise=0.5)
        )
        sums = access.synthetic(40).products()
        means.append(torch.stack([sums.xx[:, 1, 1], sums.yy, sums.xy[:, 0]], -1))
    error = (means[0].var(0) + means[1].var(0)).sqrt() / 20
    assert ((means[0] - means[1]).mean(0).abs() < 4 * error).all()


def test_no_real_row_is_a_corpus_of_its_own_under_the_exact_law():
    spec = (
        "linear(d=3, sampler=exact-law) | ols | mix(real=0) @ n=30 T=0 first=linear-surrogate(c2=0)"
    )
    (now,) = generations(cell_of(spec, seeds=range(3)))
    assert now.scores["excess_risk"].isfinite().all()


@pytest.mark.parametrize("source", [LinearSurrogate(), OLSChain()])
def test_a_source_errs_about_weights_and_refuses_a_world_without(source):
    with pytest.raises(Incompatible, match="perturbs linear weights, and gaussian has none"):
        source.sample_truth(SEEDS, Gaussian().sample_truth(SEEDS))


@pytest.mark.parametrize("source", ["linear-surrogate", "ols-chain"])
def test_a_source_is_no_data(source):
    assert (
        "give it as the first teacher"
        in cell_of(f"{source} | ols @ n=20", seeds=[0]).incompatibility()
    )


# -- the chain -----------------------------------------------------------------------------------------------------


def test_a_chain_without_links_is_nature():
    real, flawed, _ = desk(Linear(d=3), OLSChain(links=0), rng=SEEDS[:2])
    torch.testing.assert_close(real.truth.w, flawed.truth.w)


def test_a_chain_is_what_the_engine_runs():
    """Its excess risk is that of as many generations of least squares under replace."""
    real, flawed, _ = desk(Linear(d=3, noise=0.5), OLSChain(rows=20, links=4))
    chain = real.losses(flawed, SEEDS)["excess_risk"]
    *_, run = generations(
        cell_of("linear(d=3, noise=0.5) | ols | replace @ n=20 T=3", seeds=range(400))
    )
    gap = chain.mean() - run.scores["excess_risk"].mean()
    assert abs(gap) < 4 * (chain.var() + run.scores["excess_risk"].var()).sqrt() / 20


def test_a_chain_needs_more_rows_than_covariates():
    with pytest.raises(Incompatible, match="rows must be more than 10, got 5"):
        desk(Linear(d=10), OLSChain(rows=5), rng=SEEDS[:2])


# -- weights -------------------------------------------------------------------------------------------------------


def risks(spec, seeds=range(4)):
    return torch.stack(
        [now.scores["excess_risk"] for now in generations(cell_of(spec, seeds=seeds))]
    )


def test_rows_of_weight_nought_are_as_good_as_absent():
    first = "first=linear-surrogate(c2=100)"
    weighed = risks(
        f"linear(d=4) | ols | mix(real=0.5) | mix-weights(synthetic=0) @ n=60 T=0 {first}"
    )
    # the same real rows alone: taps serve them from the same stream
    alone = risks(f"linear(d=4) | ols | mix(real=1) @ n=30 T=0 {first}")
    torch.testing.assert_close(weighed, alone)


def test_equal_weights_change_nothing():
    spec = "linear(d=4) | ridge | mix(real=0.5){} @ n=60 T=2 first=linear-surrogate"
    torch.testing.assert_close(
        risks(spec.format("")), risks(spec.format(" | mix-weights(real=2, synthetic=2)"))
    )


def test_some_row_must_count():
    with pytest.raises(UsageError, match="real or synthetic must be positive"):
        MixWeights(real=0, synthetic=0)


# -- projections ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "width"), [(60, 20), (30, 80), (40, 40)])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_random_projection_is_random_features_without_their_activation(n, width, weighed):
    real, _, access = desk(Linear(d=50), LinearSurrogate(), rng=SEEDS[:3])
    corpus = access.real(n)
    if weighed:
        corpus = corpus.weighted(torch.linspace(0, 2, n).double().expand(3, n))
    pupils = [RandomProjection(width, 0.01), RandomFeatures(width, 0.01, "linear")]
    x = real.ask(10, SEEDS[:3].at("x"))
    one, other = (student.fit(corpus, SEEDS[:3].at("fit")).mean_answer(x) for student in pupils)
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


# -- mixing in rounds ----------------------------------------------------------------------------------------------


def rounds(protocol, sizes, rng=SEEDS[:2]):
    """Corpora of successive rounds, of whose labels a surrogate is the only author."""
    real, flawed, _ = desk(Linear(d=3), LinearSurrogate(), rng=rng)
    memory = None
    for t, n in enumerate(sizes):
        access = Desk(real, flawed, t, n, rng, Ledger(), age=t + 1).access(PROTOCOL)
        corpus, memory = protocol.compose(access, memory)
        yield corpus


def test_the_same_questions_are_labelled_again_beside_the_same_real_rows():
    first, later = rounds(IterativeMix(real=0.25), [40, 40])
    assert (first.n, later.n) == (40, 40)
    torch.testing.assert_close(first.x, later.x)
    torch.testing.assert_close(first.y[:, :10], later.y[:, :10])
    assert (first.y[:, 10:] != later.y[:, 10:]).all()
    assert later.origin[0].tolist() == [0] * 10 + [2] * 30


def test_a_growing_round_adds_questions_and_a_shrinking_one_drops_some():
    first, more, fewer = rounds(IterativeMix(real=0.25), [40, 60, 30])
    assert (more.n, fewer.n) == (10 + 45, 10 + 22)
    torch.testing.assert_close(first.x, more.x[:, :40])
    torch.testing.assert_close(more.x[:, :32], fewer.x)


def test_with_fresh_rows_it_is_mix():
    for mine, theirs in zip(
        rounds(IterativeMix(real=0.3, fresh=True), [20] * 3),
        rounds(Mix(real=0.3), [20] * 3),
        strict=True,
    ):
        torch.testing.assert_close(mine.y, theirs.y)


def test_questions_cannot_be_asked_again_where_there_are_none():
    cell = cell_of("linear(sampler=exact-law) | ols | iterative-mix @ n=40 T=1", seeds=[0])
    assert "asks the same questions again" in cell.incompatibility()
    assert (
        cell_of(
            "linear(sampler=exact-law) | ols | iterative-mix(fresh=true) @ n=40", seeds=[0]
        ).incompatibility()
        is None
    )


def test_a_source_is_drawn_beside_the_nature_of_its_cell():
    cell = cell_of("linear(d=7) | ols | replace @ n=40 T=0 first=linear-surrogate", seeds=range(2))
    assert cell.first_teacher.sample_truth(Stream(range(2)), nature(cell)).truth.w.shape == (2, 7)
