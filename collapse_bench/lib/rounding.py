"""Comparisons that rounding must not decide.

The last bits of a sum, a matrix product, an exponential or a logarithm differ between processors
and libraries.  Numbers that are equal in exact arithmetic, such as the likelihoods of two symbols
with equal counts or two equal distances, then compare either way, and a chain that sorts, selects
or cuts by them takes another course.  The functions here compare to about twelve digits, so that
such numbers are ties.  A tie goes to the first one.

Sums, differences, products, quotients and roots of single numbers are rounded alike everywhere
(IEEE 754).  Comparisons of these need nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 40  # of float64's 53 that a comparison uses
ROUNDING = 2.0**-BITS  # relative size below which a difference counts as rounding
SINGLE = 2.0**-18  # the same for float32
TINY = 2.0**-960  # smaller values stay as they are: their steps would not be normal numbers


def rounding_of(values: Tensor) -> float:
    """The relative size below which a difference between such values counts as rounding."""
    return ROUNDING if values.dtype == torch.float64 else SINGLE


def settled(values: Tensor, scale: Tensor | None = None) -> Tensor:
    """``values (..., n)`` on a grid, float64, for comparisons only; infinite values stay.

    The step is the rounding of the value itself or of a typical value, whichever is larger:
    ``scale (..., 1)``, by default the median magnitude of the finite values along the last
    dimension.  Steps are powers of two, so the order of values never changes.
    """
    if not values.numel():
        return values.double()
    precision, values = rounding_of(values), values.double()
    size = values.abs().where(values.isfinite(), torch.nan)
    typical = size.nanmedian(-1, keepdim=True).values if scale is None else scale.double()
    size = torch.fmax(size, typical)
    step = precision * size / torch.frexp(size).mantissa  # a power of two, exactly
    normal = values.isfinite() & (size >= TINY)
    return torch.where(normal, (values / step).round() * step, values)


def at_least(values: Tensor, bound: Tensor | float) -> Tensor:
    """Whether ``values`` reach a positive ``bound``, up to rounding."""
    return values >= bound * (1 - rounding_of(values))


def extrapolated(one: Tensor, other: Tensor, w: float) -> Tensor:
    """(1 - w) one + w other of non-negative values; for w outside [0, 1] at least 0.

    Where the two terms cancel, nothing is left: their rounding error would otherwise count as a
    symbol that is still alive.
    """
    value = torch.lerp(one, other, w)
    if 0 <= w <= 1:
        return value
    return torch.where(remains(value, abs(1 - w) * one + abs(w) * other), value, 0.0)


def remains(difference: Tensor, terms: Tensor) -> Tensor:
    """Whether a difference is positive beyond the rounding of its ``terms``' magnitudes."""
    return difference > rounding_of(difference) * terms
