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


def singular(kind: str) -> torch.Tensor:
    """Rows (R, 8, D) with a singular product."""
    rows = random(8, D)
    if kind == "first column 0":
        rows[..., 0] = 0
    elif kind == "a column in the middle depends on earlier ones":
        rows[..., 2] = rows[..., 0] - 3 * rows[..., 1]
    elif kind == "two columns in the middle depend on the first":
        rows[..., 1:3] = rows[..., :1] * torch.tensor([2.0, -0.1])
    elif kind == "rank 2":
        rows = random(8, 2, seed=1) @ random(2, D, seed=2)
    elif kind == "rank 2 in coordinates 2 and 4":
        rows[..., [0, 1, 3]] = 0
    elif kind == "one chain of three":
        rows[1, :, 1] = rows[1, :, 0]
    elif kind == "scales far apart":
        rows[..., 2] = rows[..., 0] - 3 * rows[..., 1]
        rows *= torch.tensor([1e-200, 1e-200, 1e-200, 1e-205, 1.0], dtype=torch.float64)
    elif kind == "all 0":
        rows = 0 * rows
    return rows


@pytest.mark.parametrize(
    "kind",
    [
        "first column 0",
        "a column in the middle depends on earlier ones",
        "two columns in the middle depend on the first",
        "rank 2",
        "rank 2 in coordinates 2 and 4",
        "one chain of three",
        "scales far apart",
        "all 0",
    ],
)
def test_a_root_of_a_singular_product_is_one_function_of_it(kind):
    rows = singular(kind)
    factor, size = root_of(rows), rows.abs().amax(-2)[..., None]
    size = torch.where(size > 0, size, 1.0)
    assert torch.equal(factor, factor.tril())
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    assert (diagonal >= 0).all()
    # the diagonal is 0 where a column depends on those before it, and so is all of that column
    rank = [torch.linalg.matrix_rank((rows / size.mT)[..., :j]) for j in range(1, D + 1)]
    assert torch.equal((diagonal > 0).cumsum(-1), torch.stack(rank, -1))
    assert not factor.abs().sum(-2)[diagonal == 0].any()
    scaled = rows / size.mT
    close((factor / size) @ (factor / size).mT, scaled.mT @ scaled)
    for other in (rows.flip(-2), -rows, rotation(8) @ rows, torch.cat([0 * rows, rows], -2)):
        close(root_of(other) / size, factor / size)


def test_a_root_of_ten_thousand_dependent_rows_has_no_noise():
    rows = random(10_000, 3) @ random(3, 10, seed=1)
    assert ((root_of(rows).diagonal(dim1=-2, dim2=-1) > 0).sum(-1) == 3).all()


def test_a_thin_direction_is_kept():
    """Rounding is a part of the length of a column, not of the longest one."""
    rows = random(8, D) * torch.tensor([1, 1e-200, 1, 1, 1e-12], dtype=torch.float64)
    rows[..., 3] = rows[..., 2] + 1e-10 * rows[..., 3]
    assert (root_of(rows).diagonal(dim1=-2, dim2=-1) > 0).all()


def test_a_fit_to_singular_sums_is_that_to_their_rows():
    rows = random(20, D)
    rows[..., 1] = 2 * rows[..., 0]
    rows = rows - rows.mean(-2, keepdim=True)
    sums = Moments(torch.full((R,), 20.0).double(), rows.mean(-2), rows.mT @ rows)
    by_sums = fitted(Corpus.of_sums(sums)).factor
    assert not by_sums[..., 1].any()
    torch.testing.assert_close(by_sums, root_of(rows) / 20**0.5, rtol=1e-6, atol=1e-9)
    teacher = fitted(Corpus.of(None, rows, (R,)))
    assert torch.isneginf(teacher.logp(None, rows)).all()  # no density


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


def test_a_root_of_rows_that_are_not_finite_is_not_finite():
    rows = random(8, D)
    rows[1, 0, 2] = torch.nan
    factor = root_of(rows)
    assert factor[1].isnan().any()
    close(factor[[0, 2]], root_of(rows[[0, 2]]))
