"""Frechet distance and the shares of near neighbours: hand-computed, closed forms, and expectations where laws agree."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from collapse_bench.core.rng import Stream
from collapse_bench.plugins.generators.pictures import _measures as images
from collapse_bench.plugins.generators.pictures._measures import (
    Reference,
    frechet,
    moments,
    neighbourly,
    radii,
)


def points(*values):
    return torch.tensor(values, dtype=torch.float64)[..., None]


def covariances(n, d, rank=None):
    root = Stream(3, f"cov{n}").normal(n, d, rank or d).double()
    return root @ root.mT / d


# -- Frechet distance -----------------------------------------------------------------------------------------------


def test_on_the_line_it_is_the_distance_of_means_and_deviations():
    m, v = torch.tensor([[1.0], [4.0]]).double(), torch.tensor([[[9.0]], [[0.25]]]).double()
    found = frechet(m, v, torch.tensor([2.0]).double(), torch.tensor([[4.0]]).double())
    torch.testing.assert_close(found, torch.tensor([1 + 1, 4 + 1.5**2]).double())


def test_covariances_that_commute_are_compared_axis_by_axis():
    a, b = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turn, _ = torch.linalg.qr(Stream(2).normal(6, 6).double())
    zero = torch.zeros(6).double()
    found = frechet(zero, turn @ a.diag() @ turn.mT, zero, turn @ b.diag() @ turn.mT)
    torch.testing.assert_close(found, (a.sqrt() - b.sqrt()).square().sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [5, 2])
def test_it_agrees_with_the_formula_in_matrix_roots(rank):
    S, T = covariances(2, 5, rank)
    m = Stream(4).normal(2, 5).double()
    # the root of a singular product is where the formula in roots itself is weak: it is given a little more
    bump = 0 if rank == 5 else 1e-9 * np.eye(5)
    root = sqrtm((S.numpy() + bump) @ (T.numpy() + bump)).real
    due = float((m[0] - m[1]).square().sum() + S.trace() + T.trace()) - 2 * np.trace(root)
    assert float(frechet(m[0], S, m[1], T)) == pytest.approx(due, rel=1e-9 if rank == 5 else 1e-3)


def test_a_law_is_at_no_distance_from_itself_also_where_it_has_lost_dimensions():
    for S in (covariances(1, 8)[0], covariances(1, 8, 3)[0], torch.zeros(8, 8).double()):
        assert float(frechet(torch.ones(8).double(), S, torch.ones(8).double(), S)) < 1e-12 * max(
            1, S.trace()
        )


def test_it_is_symmetric_and_grows_with_the_square_of_the_unit():
    S, T = covariances(2, 4)
    m = Stream(5).normal(2, 4).double()
    there, back = frechet(m[0], S, m[1], T), frechet(m[1], T, m[0], S)
    torch.testing.assert_close(there, back)
    torch.testing.assert_close(frechet(3 * m[0], 9 * S, 3 * m[1], 9 * T), 9 * there)


def test_of_two_samples_of_one_law_means_are_apart_by_their_variances():
    """E |m - m0|^2 = tr S (1/M + 1/N), and covariances add to that: the bias of the distance of samples."""
    M, N, d, chains = 200, 300, 3, 400
    fake, real = (
        Stream(range(chains)).normal(M, d).double(),
        Stream(range(chains), "r").normal(N, d).double(),
    )
    gap = (moments(fake)[0] - moments(real)[0]).square().sum(-1)
    due = d * (1 / M + 1 / N)
    assert abs(gap.mean() - due) < 4 * gap.std() / chains**0.5 < due / 5
    assert (frechet(*moments(fake), *moments(real)) > gap).all()


# -- neighbours -----------------------------------------------------------------------------------------------------


def test_by_hand():
    real, fake = points(0, 1, 2, -9), points(0.5, 4, 11.5, 30)
    assert radii(real, 1).tolist() == [1, 1, 1, 9]
    assert radii(fake, 1).tolist() == [3.5, 3.5, 7.5, 18.5]
    found = neighbourly(fake, real, 1)
    assert {name: float(v) for name, v in found.items()} == {
        "precision": 1 / 4,  # 0.5 alone is within 1 of 0 and of 1
        "recall": 3 / 4,  # 0, 1 and 2 are within 3.5 of 0.5; nothing reaches -9
        "density": 2 / 4,
        "coverage": 2 / 4,
    }
    assert radii(real, 2).tolist() == [2, 1, 2, 10]
    assert float(neighbourly(fake, real, 2)["density"]) == (4 + 1) / (
        2 * 4
    )  # 0.5 is in every ball, 4 in that of 2


def test_equal_sets_are_near_and_sets_far_apart_are_not():
    same = Stream(1).normal(50, 4).double()
    near, far = neighbourly(same, same), neighbourly(same + 100, same)
    assert {name: float(v) for name, v in near.items()} == pytest.approx(
        {
            "precision": 1,
            "recall": 1,
            "density": 6 / 5,
            "coverage": 1,
        }  # a point lies in its own ball too
    )
    assert all(float(v) == 0 for v in far.values())
    losses = Reference(same).losses(same)
    assert float(losses["frechet_distance"]) < 1e-12
    assert [float(losses[name]) for name in ("precision_lost", "recall_lost", "coverage_lost")] == [
        0,
        0,
        0,
    ]


def test_a_sample_that_repeats_one_point_is_precise_and_recalls_nothing():
    real = Stream(1).normal(60, 3).double()
    found = neighbourly(real[7].expand(40, 3), real)
    assert float(found["precision"]) == 1
    assert float(found["recall"]) == 1 / 60  # the point itself, in a ball of radius nought
    assert float(found["coverage"]) < 0.5


@pytest.mark.parametrize(("M", "N", "k"), [(60, 60, 5), (100, 40, 3), (30, 80, 1)])
def test_where_both_laws_are_one_density_and_coverage_are_what_they_should_be(M, N, k):
    """Density 1, coverage 1 - prod_{i=1..k} (N - i) / (M + N - i), for any law without ties (Naeem et al. 2020)."""
    chains = 300
    fake, real = (
        Stream(range(chains)).normal(M, 4).double(),
        Stream(range(chains), "real").normal(N, 4).double(),
    )
    each = [neighbourly(f, r, k) for f, r in zip(fake, real, strict=True)]
    due = {
        "density": 1.0,
        "coverage": 1 - math.prod((N - i) / (M + N - i) for i in range(1, k + 1)),
    }
    for name, law in due.items():
        found = torch.stack([one[name] for one in each])
        error = float(found.std()) / chains**0.5
        assert abs(float(found.mean()) - law) < 4 * error < 0.1, name
    swapped = [neighbourly(r, f, k) for f, r in zip(fake, real, strict=True)]
    assert all(
        one["precision"] == other["recall"] for one, other in zip(each, swapped, strict=True)
    )


# -- chains ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain_shape", [(), (2,), (2, 3)])
def test_a_chain_is_measured_alike_by_itself_among_others_and_in_pieces(chain_shape, monkeypatch):
    seeds = Stream(np.arange(math.prod(chain_shape)).reshape(chain_shape))
    fake, real = seeds.normal(30, 4), Reference(Stream(9).normal(40, 4).double())
    whole = real.losses(fake)
    assert all(
        value.shape == chain_shape and value.dtype == torch.float64 for value in whole.values()
    )
    monkeypatch.setattr(images, "BUDGET", 500)
    pieces = Reference(real.features).losses(fake)
    for name, value in whole.items():
        assert torch.equal(value, pieces[name]) or name == "frechet_distance", name
        for r in np.ndindex(chain_shape):
            torch.testing.assert_close(real.losses(fake[r])[name], value[r], rtol=1e-12, atol=1e-12)


def test_a_chain_that_is_no_number_spoils_no_other():
    fake, real = Stream(range(3)).normal(30, 4), Reference(Stream(9).normal(40, 4).double())
    spoilt = fake.clone()
    spoilt[1, 4, 2] = torch.nan
    found = real.losses(spoilt)
    assert all(value.isnan().tolist() == [False, True, False] for value in found.values())
    torch.testing.assert_close(
        found["frechet_distance"][2], real.losses(fake)["frechet_distance"][2]
    )


def test_there_must_be_a_kth_neighbour():
    with pytest.raises(ValueError, match=r"5 points have no 5-th neighbour; k must be in \[1, 4\]"):
        radii(points(0, 1, 2, 3, 4), 5)
