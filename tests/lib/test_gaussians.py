"""A Gaussian's factor is a function of its covariance: no sign or basis is left to a library."""

from __future__ import annotations

import pytest
import torch

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.core.sums import Moments
from collapse_bench.lib.distributions.gaussians import GaussianTeacher, fitted, root_of

R, D = 3, 5


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return Stream(range(R)).at("test", seed).normal(*shape).double()


def rotation(d: int, seed: int = 9) -> torch.Tensor:
    return torch.linalg.qr(random(d, d, seed=seed)).Q


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_root_is_that_of_cholesky_in_any_basis_of_the_rows():
    rows = random(8, D)
    factor = root_of(rows)
    close(factor, torch.linalg.cholesky(rows.mT @ rows))
    close(root_of(rotation(8) @ rows), factor)
    close(root_of(-rows), factor)
    assert torch.equal(factor, factor.tril())


def test_a_root_of_few_rows_has_no_sign_to_choose():
    rows = random(2, D)
    close(root_of(rotation(2) @ rows), root_of(rows))
    assert (root_of(rows)[..., :2, :2].diagonal(dim1=-2, dim2=-1) > 0).all()


@pytest.mark.parametrize("w", [0.5, 0.3, 1.0, -0.5])
def test_a_blend_depends_on_the_covariances_only(w):
    """At w = 1/2 of a Gaussian with itself all inner eigenvalues are equal, and any basis will do."""
    one, other = random(D, D, seed=1), random(D, D, seed=2)
    other = one if w == 0.5 else 0.5 * other
    mean = random(D, seed=3)
    plain = GaussianTeacher(mean, one).blend(GaussianTeacher(mean, other), w).factor
    for seed in (11, 12, 13):
        turned = [
            GaussianTeacher(mean, f @ rotation(D, seed + i)) for i, f in enumerate((one, other))
        ]
        close(turned[0].blend(turned[1], w).factor, plain)
    if w >= 0:
        expected = (1 - w) * one @ one.mT + w * other @ other.mT
        close(plain @ plain.mT, expected)


def test_a_blend_on_a_line_keeps_its_sign():
    one, other = (GaussianTeacher(random(1), s * random(1, 1).abs()) for s in (1.0, -1.0))
    assert (one.blend(other, 0.3).factor > 0).all()


def test_a_thin_fit_depends_on_the_scatter_only():
    """A direction that is 1e-6 of the others; rows in another order, and reflected about the mean."""
    rows = random(20, D) * torch.tensor([1, 1, 1, 1, 1e-6]).double()
    rows = rows - rows.mean(-2, keepdim=True)
    factor = fitted(Corpus.of(None, rows, (R,))).factor
    assert (factor.diagonal(dim1=-2, dim2=-1) > 0).all()
    for other in (rows.flip(-2), -rows):
        close(fitted(Corpus.of(None, other, (R,))).factor, factor)


def test_a_thin_fit_of_sums_is_the_factor_of_their_scatter():
    rows = random(20, D) * torch.tensor([1, 1, 1, 1, 1e-5]).double()
    rows = rows - rows.mean(-2, keepdim=True)
    sums = Moments(torch.full((R,), 20.0).double(), rows.mean(-2), rows.mT @ rows)
    by_sums = fitted(Corpus.of_sums(sums)).factor
    torch.testing.assert_close(by_sums, root_of(rows) / 20**0.5, rtol=1e-6, atol=1e-9)
