"""The share-known estimator: its law, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.errors import Incompatible
from collapse_bench.registry.discovery import registry
from collapse_bench.theory import growing


@pytest.mark.parametrize("protocol", ["accumulate(real=0.2)", "mix(real=0.2)"])
@pytest.mark.parametrize("sampler", ["explicit", "exact-law"])
def test_the_mean_of_a_growing_web_has_the_error_of_who_knows_the_share(protocol, sampler):
    # in units of sigma^2/M: .556 at a = .2, t = 20
    spec = f"gaussian(sampler={sampler}) | gaussian-fit(sigma=1) | {protocol} | ratio-debias"
    *_, last = generations(cell_of(f"{spec} @ n=50 T=20", seeds=range(3000)))
    law = growing.share_known(M=50, a=0.2, t=20)
    assert law * 50 == pytest.approx(0.556, abs=5e-4)
    loss = last.scores["w2"].double()
    assert abs(loss.mean() - law) < 4 * loss.std() / 3000**0.5 < 0.15 * law
    assert last.ledger.track() == "blind"


def test_the_prediction_of_a_growing_size_is_the_weighted_one():
    cell = cell_of(
        "gaussian | gaussian-fit(sigma=1) | accumulate(real=0.5) | ratio-debias @ n=20 T=4 growth=1",
        seeds=range(4000),
    )
    law = registry().predicted(cell)
    assert law[4] == pytest.approx(1 / (20 + 0.25 * (40 + 60 + 80 + 100)))
    for now in generations(cell):
        loss = now.scores["w2"].double()
        assert abs(loss.mean() - law[now.t]) < 4 * loss.std() / 4000**0.5


def test_a_fitted_variance_stays_near_the_truth():
    # the pool of `none` keeps the variance too, but its mean drifts: the steps must not inflate it
    cell = cell_of(
        "gaussian(d=2) | gaussian-fit | accumulate(real=0.3) | ratio-debias @ n=200 T=10",
        seeds=range(400),
    )
    *_, last = generations(cell)
    factor = last.teacher.mean_and_factor()[1]
    variance = factor.pow(2).sum((-2, -1)) / 2
    assert (
        abs(variance.mean() - 1) < 4 * variance.std() / 400**0.5 + 1 / 200
    )  # leading order in 1/n


@pytest.mark.parametrize("protocol", ["accumulate(real=0.3)", "mix(real=0.3)"])
def test_rows_of_one_kind_and_their_sums_move_the_parameters_alike(protocol):
    spec = f"linear(d=3) | ridge(lam=0.1) | {protocol} | ratio-debias @ n=40 T=3"
    runs = list(generations(cell_of(spec, seeds=range(4))))
    halves = [list(generations(cell_of(spec, seeds=[seed]))) for seed in range(4)]
    together = torch.stack([run[-1].scores["excess_risk"][0] for run in halves])
    assert torch.allclose(runs[-1].scores["excess_risk"], together, rtol=1e-9)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("accumulate", "choose real > 0"),
        ("replace", "choose real > 0"),
        ("mix(real=0.3, fresh=false)", "choose mix(real=...) or accumulate(real=...)"),
        ("accumulate-subsample(real=0.3)", "choose mix(real=...) or accumulate(real=...)"),
        ("mix(real=0.3, decode=temperature(t=0.9))", "leave out decode and first"),
    ],
)
def test_it_refuses_where_the_share_is_not_known(rest, words):
    reason = cell_of(
        f"gaussian | gaussian-fit | {rest} | ratio-debias @ n=20 T=2"
    ).incompatibility()
    assert reason is not None
    assert words in reason


def test_it_refuses_rows_that_another_method_adds():
    spec = "gaussian | gaussian-fit | mix(real=0.3) | real-anchor(k=5) + ratio-debias"
    with pytest.raises(Incompatible, match="another mitigation changed their number"):
        list(generations(cell_of(f"{spec} @ n=20 T=2", seeds=[1])))
