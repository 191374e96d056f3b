"""Distances between generated and real samples in a feature space: Frechet and nearest neighbours.

Shapes: ``R`` stands for any number of chain dimensions of generated features, also none; real
features (N, F) are shared by all chains.  Everything is deterministic and in float64.  Distances
are computed from differences and not from dot products, so that equal points have distance exactly
0 and the numbers of a chain do not depend on the other chains of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BUDGET = 1 << 22  # distances per chunk
DIRECT = "donot_use_mm_for_euclid_dist"
NEAREST = 5  # k of the k-th nearest neighbour


@dataclass(frozen=True, eq=False)
class Reference:
    """Real features (N, F) float64 with cached statistics; ``k`` is the rank of the neighbour."""

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
        """Losses (R,) of ``features (R, M, F)``: ``frechet_distance``, and 1 minus each share.

        The four shares are those of ``neighbourly``.  NaN for a chain with a feature that is not
        finite.
        """
        finite = features.isfinite().all(-1).all(-1)
        features = torch.where(finite[..., None, None], features.double(), 0.0)
        losses = {"frechet_distance": frechet(*moments(features), *self.law)}
        shares = neighbourly(features, self.features, self.k, self.radii)
        losses |= {f"{name}_lost": 1 - share for name, share in shares.items()}
        return {name: torch.where(finite, value, torch.nan) for name, value in losses.items()}


# -- Gaussians -------------------------------------------------------------------------------------


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (R, F) and unbiased covariance (R, F, F) of ``features (R, M, F)``."""
    mean = features.mean(-2)
    centred = features - mean[..., None, :]
    return mean, centred.mT @ centred / max(1, features.shape[-2] - 1)


def frechet(mean: Tensor, covariance: Tensor, mean0: Tensor, covariance0: Tensor) -> Tensor:
    """Squared Frechet distance of two Gaussians, (R,).

    |m - m0|^2 + tr S + tr S0 - 2 tr (S0^1/2 S S0^1/2)^1/2 (Dowson and Landau 1982; on classifier
    features of samples: Heusel et al., arXiv 1706.08500).  The last trace is the sum of the
    singular values of A0^T A for any factors S = A A^T, here from the eigenvectors.  This way
    covariances can be singular, and no square root of a non-symmetric matrix is needed.  For
    samples the distance is biased upwards, by about the distance between two samples of one
    distribution.
    """
    factor, factor0 = _factor(covariance), _factor(covariance0)
    across = torch.linalg.svdvals(factor0.mT @ factor).sum(-1)
    traces = factor.square().sum((-2, -1)) + factor0.square().sum((-2, -1))
    return (mean - mean0).square().sum(-1) + (traces - 2 * across).clamp_min(0)


def _factor(covariance: Tensor) -> Tensor:
    """A with A A^T the covariance, (R, F, F)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors * values.clamp_min(0).sqrt()[..., None, :]


# -- neighbours ------------------------------------------------------------------------------------


def radii(points: Tensor, k: int = NEAREST) -> Tensor:
    """Distance of each of ``points (R, N, F)`` to its k-th nearest other point, (R, N)."""
    N = points.shape[-2]
    if not 1 <= k < N:
        raise ValueError(f"{N} points have no {k}-th neighbour; k must be in [1, {N - 1}]")
    reach = []
    for rows, distance in _distances(points, points):
        own = torch.arange(N, device=points.device)[rows]
        distance[..., torch.arange(len(own), device=points.device), own] = torch.inf
        reach.append(distance.kthvalue(k, -1).values)
    return torch.cat(reach, -1)


def neighbourly(
    fake: Tensor, real: Tensor, k: int = NEAREST, real_radii: Tensor | None = None
) -> dict[str, Tensor]:
    """Four shares (R,) of generated ``fake (R, M, F)`` and ``real (N, F)``.

    The ball of a point reaches to its k-th neighbour of its own kind, real or generated.

    - ``precision``: share of generated points inside the ball of a real point;
    - ``recall``: share of real points inside the ball of a generated point (both Kynkaanniemi et
      al., arXiv 1904.06991);
    - ``density``: mean number of real balls that contain a generated point, over k; 1 if both
      distributions are equal, and it can be larger;
    - ``coverage``: share of real balls that contain a generated point (both Naeem et al., arXiv
      2002.09797).
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
    """Recall (R,) of a subset of real points, e.g. one class; it needs no radii of real points."""
    reach = radii(fake, k)
    inside = [
        (distance <= reach[..., None, :]).any(-1)
        for _, distance in _distances(real.expand(*fake.shape[:-2], -1, -1), fake)
    ]
    return torch.cat(inside, -1).double().mean(-1)


def _distances(points: Tensor, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Chunks (rows, distances (R, rows, N)) of ``points (R, M, F)`` from ``others (R, N, F)``."""
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
