"""Distances between rows of numbers, and which center is closest, compared up to rounding.

Rows are drawn as mean + factor z with z of 24 bits, so that equal distances are common: two gaps
between neighbours, or a row in the middle between two centers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..rounding import ROUNDING, settled

BUDGET = 1 << 19  # distances that are held at a time


def comparable(distance: Tensor, rows: Tensor) -> Tensor:
    """Distances (..., n) or (..., n, K) from ``rows (..., n, p)``, settled for comparisons.

    Their noise is that of the coordinates: a few of the last bits of the largest one.
    """
    if not distance.numel():
        return distance
    largest = rows.abs().flatten(-2).amax(-1)
    scale = largest.reshape(*largest.shape, *(1,) * (distance.ndim - largest.ndim))
    return settled(distance, scale / 256)


def tolerance(rows: Tensor) -> Tensor:
    """The noise (...,) of distances from ``rows (..., n, p)``, which is that of the coordinates."""
    return rows.abs().flatten(-2).amax(-1).double() * (ROUNDING / 256)


def within(rows: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """Whether a row (n, p) has one of the centers (K, p) within its reach (n,)."""
    rows, centres = rows.double(), centres.double()
    step = max(1, BUDGET // max(1, len(centres)))
    pieces = zip(rows.split(step), reach.split(step), strict=True)
    return torch.cat([(_distance(some, centres).amin(-1) <= most) for some, most in pieces])


def _distance(rows: Tensor, centres: Tensor) -> Tensor:
    """Inner products would lose digits far from zero."""
    return torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist")


def closest(rows: Tensor, centres: Tensor, noise: Tensor | None = None) -> Tensor:
    """The index (..., n) of the center (..., K, p) closest to each row (..., n, p).

    The first one of those at equal distances.  A row in the middle between two centers is common,
    so distances are compared with a tolerance: on a grid, two equal distances can round apart.
    noise: the ``tolerance`` (...,) of the rows that these are part of; by default of these.
    """
    rows, centres = rows.double(), centres.double()
    if not rows.numel() or not centres.numel():
        return torch.cdist(rows, centres).argmin(-1)
    noise = (tolerance(rows) if noise is None else noise)[..., None, None]
    step = max(1, BUDGET // max(1, centres[..., 0].numel()))
    found = []
    for some in rows.split(step, -2):
        distance = _distance(some, centres)
        least = distance.amin(-1, keepdim=True)
        near = distance <= least * (1 + ROUNDING) + noise
        found.append(near.to(torch.uint8).argmax(-1))  # the first of equal ones
    return torch.cat(found, -1)
