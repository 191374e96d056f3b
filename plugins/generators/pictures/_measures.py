"""How far generated samples stand from real ones in a space of features: Frechet distance, and who lies near whom.

Shapes: ``R`` is the replicate dimensions of what is generated (any number, also none); real features (N, F) are common
to all replicates.  All in float64 and free of random numbers.  Distances are taken by differences, so that equal
points are at distance nought and a chain's numbers do not depend on who is measured beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BUDGET = 1 << 22  # distances in work at a time
DIRECT = "donot_use_mm_for_euclid_dist"
NEAREST = 5  # k of the k-th nearest neighbour


@dataclass(frozen=True, eq=False)
class Reference:
    """Real features (N, F) float64, with what is known of them beforehand; ``k`` is that of the neighbours."""

    features: Tensor
    k: int = NEAREST

    @cached_property
    def law(self) -> tuple[Tensor, Tensor]:
        """Mean (F,) and covariance (F, F)."""
        return moments(self.features)

    @cached_property
    def radii(self) -> Tensor:
        """Distance of each point to its k-th neighbour, (N,)."""
        return radii(self.features, self.k)

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        """Losses (R,) of generated ``features (R, M, F)``: ``frechet_distance``, and 1 less each of the four shares of
        ``neighbourly``.  NaN for a chain of which any feature is not finite."""
        finite = features.isfinite().all(-1).all(-1)
        features = torch.where(finite[..., None, None], features.double(), 0.0)
        found = {"frechet_distance": frechet(*moments(features), *self.law)}
        shares = neighbourly(features, self.features, self.k, self.radii)
        found |= {f"{name}_lost": 1 - share for name, share in shares.items()}
        return {name: torch.where(finite, value, torch.nan) for name, value in found.items()}


# -- Gaussians ------------------------------------------------------------------------------------------------------


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (R, F) and unbiased covariance (R, F, F) of ``features (R, M, F)``."""
    mean = features.mean(-2)
    centred = features - mean[..., None, :]
    return mean, centred.mT @ centred / max(1, features.shape[-2] - 1)


def frechet(mean: Tensor, covariance: Tensor, mean0: Tensor, covariance0: Tensor) -> Tensor:
    """Squared Frechet distance of two Gaussians, (R,): |m - m0|^2 + tr S + tr S0 - 2 tr (S0^1/2 S S0^1/2)^1/2.

    (Dowson and Landau 1982; of samples on features of a classifier: Heusel et al., arXiv 1706.08500.)  The last trace is
    the sum of the singular values of A0^T A for any factors S = A A^T, which are taken from the eigenvectors; so a
    covariance may be singular, and no root of a matrix that is not symmetric is needed.  Of samples it is biased upwards,
    by about as much as two samples of one law are apart.
    """
    factor, factor0 = _factor(covariance), _factor(covariance0)
    across = torch.linalg.svdvals(factor0.mT @ factor).sum(-1)
    traces = factor.square().sum((-2, -1)) + factor0.square().sum((-2, -1))
    return (mean - mean0).square().sum(-1) + (traces - 2 * across).clamp_min(0)


def _factor(covariance: Tensor) -> Tensor:
    """A with A A^T the covariance, (R, F, F)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors * values.clamp_min(0).sqrt()[..., None, :]


# -- neighbours -----------------------------------------------------------------------------------------------------


def radii(points: Tensor, k: int = NEAREST) -> Tensor:
    """Distance of each of ``points (R, N, F)`` to its k-th nearest neighbour, itself left out, (R, N)."""
    N = points.shape[-2]
    if not 1 <= k < N:
        raise ValueError(
            f"the {k}-th neighbour among {N} points is none; k must lie in [1, {N - 1}]"
        )
    found = []
    for rows, distance in _distances(points, points):
        own = torch.arange(N, device=points.device)[rows]
        distance[..., torch.arange(len(own), device=points.device), own] = torch.inf
        found.append(distance.kthvalue(k, -1).values)
    return torch.cat(found, -1)


def neighbourly(
    fake: Tensor, real: Tensor, k: int = NEAREST, real_radii: Tensor | None = None
) -> dict[str, Tensor]:
    """Four shares (R,) of generated ``fake (R, M, F)`` and ``real (N, F)``; the ball of a point reaches to its k-th
    neighbour among its own kind.

    - ``precision``: of the generated points, those that lie in the ball of a real one;
    - ``recall``: of the real points, those that lie in the ball of a generated one (both Kynkaanniemi et al., arXiv
      1904.06991);
    - ``density``: real balls that a generated point lies in, on average, over k; 1 where both laws are one, and it may
      be more;
    - ``coverage``: of the real balls, those in which there is a generated point (both Naeem et al., arXiv 2002.09797).
    """
    real_radii = radii(real, k) if real_radii is None else real_radii
    fake_radii = radii(fake, k)
    M, N = fake.shape[-2], real.shape[-2]
    within = fake.new_zeros(fake.shape[:-2])
    precise = fake.new_zeros(fake.shape[:-2])
    covered, recalled = (
        torch.zeros(*fake.shape[:-2], N, dtype=torch.bool, device=fake.device) for _ in range(2)
    )
    for rows, distance in _distances(fake, real):
        inside = distance <= real_radii
        within += inside.sum((-2, -1))
        precise += inside.any(-1).sum(-1)
        covered |= inside.any(-2)
        recalled |= (distance <= fake_radii[..., rows, None]).any(-2)
    return {
        "precision": precise / M,
        "recall": recalled.double().mean(-1),
        "density": within / (k * M),
        "coverage": covered.double().mean(-1),
    }


def recall(fake: Tensor, real: Tensor, k: int = NEAREST) -> Tensor:
    """The recall (R,) alone of some real points, e.g. those of one class: they need no neighbours of their own."""
    reach = radii(fake, k)
    found = [
        (distance <= reach[..., None, :]).any(-1)
        for _, distance in _distances(real.expand(*fake.shape[:-2], -1, -1), fake)
    ]
    return torch.cat(found, -1).double().mean(-1)


def _distances(points: Tensor, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """(rows, distances (R, rows, N)) of ``points (R, M, F)`` from ``others (R, N, F)`` or (N, F), some rows at a time."""
    chains = points.shape[:-2].numel()
    high = max(1, BUDGET // max(1, chains * others.shape[-2]))
    for i in range(0, points.shape[-2], high):
        rows = slice(i, i + high)
        yield (
            rows,
            torch.cdist(
                points[..., rows, :].contiguous(), others.contiguous(), compute_mode=DIRECT
            ),
        )
