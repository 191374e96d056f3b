"""Kernel density estimates, mixtures and means of known variance: the engine against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from holding import follow, gaussian, holds, slow

from collapse_bench import cell_of, generations, theory
from collapse_bench.registry.discovery import registry

FIRST_FITS = [
    "gaussian(sigma=2.0) | kde | replace | nature @ n=12 T=2",
    "gaussian | kde(rule=scaled, h=0.5) | replace | nature @ n=8 T=2",
    "gaussian | kde(rule=fixed, h=0.0) | replace @ n=10 T=0",
]
KNOWN_VARIANCE = [
    "gaussian | gaussian-fit(sigma=1.0) | replace @ n=10 T=5 growth=1",
    "gaussian(d=3, sigma=2.0) | gaussian-fit(sigma=2.0) | replace @ n=10 T=3",
    "gaussian | gaussian-fit(sigma=1.0) | mix(real=0.25) | golden-ratio(w=0.4) @ n=16 T=4",
    "gaussian(d=2) | gaussian-fit(sigma=1.0) | mix(real=0.5) | golden-ratio @ n=10 T=3 growth=1",
]
ONE_COMPONENT = ["gaussian | mixture-fit(components=1) | replace @ n=9 T=3 growth=0.5"]


POOLS = [
    "gaussian(sigma=2) | gaussian-fit | accumulate | nature @ n=6 T=3 growth=0.5",
    "gaussian(d=3) | gaussian-fit(sigma=1) | accumulate | nature @ n=4 T=3",
    "gaussian(sigma=3) | gaussian-fit(ddof=0) | accumulate @ n=20 T=8",
    "gaussian | gaussian-fit(ddof=1) | accumulate @ n=20 T=8",
]


@pytest.mark.parametrize("spec", FIRST_FITS + KNOWN_VARIANCE + ONE_COMPONENT + POOLS)
def test_predicted_risk(spec):
    predicted = registry().predicted(cell_of(spec))
    for k, _, scores, _ in follow(spec, 8000):
        slack = 0.02 if "accumulate @" in spec and k > 1 else 0.0  # to leading order
        holds(f"{spec} t={k - 1}", scores["w2"], predicted[k - 1], slack)


def test_no_law_is_claimed_where_none_is_known():
    for spec in (
        "gaussian | kde(rule=fixed, h=0.3) | replace @ n=10 T=2",
        "gaussian(d=2) | kde | replace @ n=10 T=2",
        "gaussian | kde | accumulate @ n=10 T=2",
        "gaussian | mixture-fit | replace @ n=10 T=2",
        "gaussian(sigma=2.0) | gaussian-fit(sigma=1.0) | replace @ n=10 T=2",
        "gaussian(d=2, beta=1.0) | gaussian-fit(sigma=1.0) | replace @ n=10 T=2",
        "gaussian | gaussian-fit | replace @ n=1 T=2",  # one row has no variance
        "gaussian | gaussian-fit | accumulate @ n=10 T=2",
        "gaussian(d=2) | gaussian-fit | accumulate @ n=100 T=2",
        "gaussian | gaussian-fit(sigma=1) | accumulate @ n=100 T=2",
        "gaussian | gaussian-fit | mix @ n=100 T=2",
        "gaussian | gaussian-fit | mix | golden-ratio @ n=10 T=2",
        "gaussian | gaussian-fit(sigma=1.0) | mix | golden-ratio + distrust @ n=10 T=2",
    ):
        assert registry().predicted(cell_of(spec)) is None, spec
    later = registry().predicted(cell_of("gaussian | kde | replace @ n=10 T=2"))
    assert math.isfinite(later[0])
    assert all(map(math.isnan, later[1:]))


# -- kernel density estimates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("M", "h", "sigma"), [(6, 0.5, 1.0), (25, 0.4, 2.0)])
def test_mean_density_of_a_kde_widens_by_its_kernel_each_time(M, h, sigma):
    spec = f"gaussian(sigma={sigma}) | kde(rule=fixed, h={h}) | replace @ n={M} T=4"
    for k, teacher, _, data in follow(spec, 20000):
        if k in (1, 5):
            drawn = sum(gaussian(teacher, data))  # variance of a draw about the true mean
            holds(f"kde: variance of a draw, M={M} h={h} k={k}", drawn, sigma**2 + k * h**2)


def test_kde_of_several_dimensions_widens_along_every_axis():
    M, b, d = 12, 0.7, 3
    spec = f"gaussian(d={d}, beta=1.0) | kde(rule=scaled, h={b}) | replace @ n={M} T=2"
    *_, (k, teacher, _, data) = follow(spec, 8000)
    truth, axes = data.truth.scale**2, data.truth.axes
    along = (axes.mT @ teacher.mean_and_factor()[1]).pow(2).sum(-1)
    for j in range(d):
        expected = (1 + b**2) * theory.kde.var_scaled(M, b, k, float(truth[j]) ** 0.5)
        holds(
            f"kde scaled: variance along axis {j}, d={d} M={M} b={b} k={k}", along[:, j], expected
        )


def test_shrinking_bandwidth_lets_an_accumulated_pool_settle():
    def variance(rule, h):
        spec = f"gaussian | kde(rule={rule}, h={h}) | accumulate @ n=10 T=60"
        seen = {}
        for k, teacher, _, _ in follow(spec, 400):
            if k in (20, 61):
                seen[k] = float((teacher.mean_and_factor()[1] ** 2).mean())
        return seen[61] - seen[20]

    h = 10 ** (1 / 5) * 0.5  # so that both rules begin alike
    assert variance("shrinking", h) < 0.5 * variance("fixed", 0.5)


# -- mixtures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["kde(rule=fixed, h=0.1)", slow("mixture-fit")])
def test_the_share_of_a_far_minority_is_a_martingale(model):
    spec = f"gaussian-mixture(minority=0.3, separation=20) | {model} | replace @ n=8 T=3"
    for k, teacher, _, data in follow(spec, 1500):
        if k in (1, 4):
            share = data.diagnostics(teacher)["minority_share"]
            holds(f"mixture, {model}: E share, k={k}", share, 0.3, sees=0.15)
        if k == 1:
            holds(f"mixture, {model}: P(minority gone)", (share == 0).double(), 0.7**8, sees=0.5)


def test_one_component_is_the_gaussian_of_maximum_likelihood():
    runs = [
        generations(cell_of(f"gaussian(d=3) | {model} | accumulate @ n=20 T=3", seeds=range(6)))
        for model in ("mixture-fit(components=1)", "gaussian-fit(ddof=0)")
    ]
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.scores["w2"], other.scores["w2"])
