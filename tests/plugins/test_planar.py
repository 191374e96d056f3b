"""Densities in the plane: their curves, their density, and kernel estimates that read themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from collapse_bench import cell_of, generations
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.plugins.generators import planar

SHAPES = sorted(planar.CURVES)


def world(shape, noise=0.1, seeds=range(3)):
    return nature(cell_of(f"planar(shape={shape}, noise={noise}) | kde @ n=50 T=0", seeds=seeds))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_density_is_that_of_the_rows(shape):
    """It integrates to one, also over a part of the plane, where it counts the rows."""
    data, chains = world(shape, seeds=range(2)), 2
    edge = torch.linspace(-2.4, 2.4, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(edge, edge).expand(chains, -1, 2)
    density = data.logp(grid[..., :0], grid)[..., 0].exp() * (edge[1] - edge[0]) ** 2
    assert torch.allclose(density.sum(-1), torch.ones(chains).double(), atol=1e-9)
    rng = Stream(np.arange(chains))
    rows = data.answer(data.ask(10_000, rng.at("x")), rng.at("y"))
    # Cells of the grid belong to their centers, so the border of the part is between two of them.
    right = edge[64] + (edge[1] - edge[0]) / 2
    share = (rows[..., 0] < right).double().mean(-1)
    expected = (density * (grid[..., 0] < right)).sum(-1)
    error = (expected * (1 - expected) / 10_000).sqrt()
    assert ((share - expected).abs() < 4.5 * error).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_moments_are_those_of_the_curves(shape):
    _, factor = world(shape, 0.02).mean_and_factor()
    measured = factor.square().sum((-2, -1)) / 2
    assert measured.tolist() == pytest.approx([planar.axis_variance(shape) + 0.02**2] * 3, rel=1e-6)


def test_the_truth_loses_nothing_and_another_angle_does():
    data = world("moons")
    assert data.losses(data, Stream(np.arange(3)))["kl"].abs().max() == 0
    turned = data.with_truth(angle=data.truth.angle + 1.0)
    assert (data.losses(turned, Stream(np.arange(3)))["kl"] > 0.5).all()


@pytest.mark.parametrize("shape", ["circles", pytest.param("swiss-roll", marks=pytest.mark.slow)])
def test_the_mean_density_is_the_truth_convolved(shape):
    """Replace with a fixed bandwidth: after k estimates the truth plus N(0, k h^2), in the mean."""
    h, k, seeds = 0.15, 4, range(300)
    spec = f"planar(shape={shape}, noise=0.1, truth_is=fixed) | kde(rule=fixed, h={h}) | replace"
    for now in generations(cell_of(f"{spec} @ n=15 T={k - 1}", seeds=seeds)):
        teacher = now.teacher
    y = torch.tensor([[0.0, 0.0], [0.5, 0.2], [1.0, -0.1]], dtype=torch.float64)
    rows = y.expand(len(seeds), 3, 2)
    density = teacher.logp(rows[..., :0], rows)[..., 0].exp()
    wider = cell_of(
        f"planar(shape={shape}, noise={math.sqrt(0.01 + k * h**2)}, truth_is=fixed) | kde @ n=9 T=0",
        seeds=[0],
    )
    expected = nature(wider).logp(y[None, :, :0], y[None])[0, :, 0].exp()
    z = (density.mean(0) - expected) / (density.std(0) / len(seeds) ** 0.5)
    assert (z.abs() < 4).all(), z


def test_accumulating_keeps_the_likelihood_and_replacing_loses_it():
    """The finding of Kazdan et al. on these shapes, with a bandwidth that narrows."""
    last = {}
    for protocol in ("replace", "accumulate"):
        spec = f"planar(shape=circles) | kde(rule=shrinking, h=0.5) | {protocol} @ n=60 T=12"
        for now in generations(cell_of(spec, seeds=range(20))):
            last.setdefault(protocol, []).append(float(now.scores["kl"].mean()))
    assert last["replace"][-1] > last["replace"][0] + 0.5
    assert last["accumulate"][-1] < last["accumulate"][0] + 0.3
