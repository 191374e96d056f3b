"""Distributions on the line, each a table of quantiles of weighted rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rounding import ROUNDING

NARROWEST = 1e-3  # width of a cell, in standard deviations of the column
NODES, SCORES = 1024, 9.0  # of a rule over scores between -SCORES and SCORES
LOWEST = -700.0  # smallest logarithm of a tail mass whose normal score is a number


@dataclass(frozen=True, eq=False)
class Quantiles:
    """For each column a table for each class, of K cells of mass 1 / K.

    knots (R, d, C, K - 1) ascending; below and above (R, d, C); all float64.  Within the inner
    cells the density is constant.  The lowest and the highest cell are exponential tails with mean
    excess ``below`` and ``above``.
    """

    knots: Tensor
    below: Tensor
    above: Tensor

    @property
    def cells(self) -> int:
        return self.knots.shape[-1] + 1

    def scored(self, y: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """(normal score, log-density in nats) of values y (R, d, n) of classes (R, n); (R, d, n).

        A score is the standard normal quantile of the value of the distribution function.
        """
        K, label = self.cells, label[..., None, :].expand_as(y)
        cell = torch.zeros_like(label)
        # Knots are values of rows, and values of a table repeat: a value at a knot belongs to the
        # cell above it, whatever the last bits of both are.
        reached = self.knots - ROUNDING * self.knots.abs().amax(-1, keepdim=True)
        for c in range(self.knots.shape[-2]):
            knots = reached[..., c, :].contiguous()
            cell = torch.where(label == c, torch.searchsorted(knots, y, right=True), cell)
        lower, upper = cell == 0, cell == K - 1
        left = (cell - 1).clamp_(0, K - 3)
        width = self.knots.diff(dim=-1)
        low = _looked_up(self.knots, label, left)
        inner = (left + 1 + (y - low) / _looked_up(width, label, left)) / K
        # The knot next to a tail: the first one, or the last one.
        last = torch.where(upper, K - 2, 0)
        scale = _looked_up(torch.stack([self.below, self.above], -1), label, upper.long())
        excess = (y - _looked_up(self.knots, label, last)).abs_().div_(scale)
        tail = (-excess - math.log(K)).clamp_(min=LOWEST).exp_()
        high = upper | (inner > 0.5)
        mass = torch.where(lower | upper, tail, torch.where(high, 1 - inner, inner))
        z = torch.special.ndtri(mass)
        logp = torch.where(
            lower | upper, -excess - scale.log(), -_looked_up(width.log(), label, left)
        )
        return torch.where(high, -z, z), logp - math.log(K)

    def values(self, z: Tensor, label: Tensor) -> Tensor:
        """The values (R, d, n) with these normal scores (R, d, n), of classes (R, n)."""
        K, label = self.cells, label[..., None, :].expand_as(z)
        # mass beyond z, on its side; ndtr would lose its digits far out
        mass = torch.erfc(z.abs() / math.sqrt(2)) / 2
        high = z > 0
        place = torch.where(high, K - K * mass, K * mass)
        left = place.long().sub_(1).clamp_(0, K - 3)
        low = _looked_up(self.knots, label, left)
        inner = low + (place - left - 1) * _looked_up(self.knots.diff(dim=-1), label, left)
        scale = _looked_up(torch.stack([-self.below, self.above], -1), label, high.long())
        end = _looked_up(self.knots, label, torch.where(high, K - 2, 0))
        tail = end - scale * (K * mass).log()
        return torch.where(K * mass < 1, tail, inner)

    def mean(self) -> Tensor:
        """The means (R, d, C)."""
        knots, K = self.knots, self.cells
        inner = (knots[..., 1:] + knots[..., :-1]).sum(-1) / 2
        ends = knots[..., 0] - self.below + knots[..., -1] + self.above
        return (inner + ends) / K

    def variance(self) -> Tensor:
        """The variances (R, d, C)."""
        mean = self.mean()
        about = self.knots - mean[..., None]
        middle, width = (about[..., 1:] + about[..., :-1]) / 2, about.diff(dim=-1)
        inner = (middle.square() + width.square() / 12).sum(-1)
        low = (about[..., 0] - self.below).square() + self.below.square()
        high = (about[..., -1] + self.above).square() + self.above.square()
        return (inner + low + high) / self.cells

    def hermite(self, orders: int) -> Tensor:
        """Coefficients E[value(z) He_m(z)] / sqrt(m!) for m = 1 .. orders, (R, d, C, orders).

        Over a standard normal score z, by the rule of midpoints, and scaled to unit variance.  Two
        values whose scores have correlation r have correlation sum_m a_m b_m r^m (Mehler 1866).
        """
        z = torch.linspace(-SCORES, SCORES, NODES, dtype=torch.float64, device=self.knots.device)
        mass = (-z.square() / 2).exp()
        mass = mass / mass.sum()
        polynomials = [torch.ones_like(z), z]
        for m in range(1, orders):
            grown = z * polynomials[m] - math.sqrt(m) * polynomials[m - 1]
            polynomials.append(grown / math.sqrt(m + 1))
        against = mass[:, None] * torch.stack(polynomials[1:], -1)
        out = []
        chain_shape, (d, classes) = self.knots.shape[:-3], self.knots.shape[-3:-1]
        for c in range(classes):
            label = torch.full((*chain_shape, NODES), c, device=z.device)
            value = self.values(z.expand(*chain_shape, d, NODES), label)
            value = value - (value @ mass)[..., None]
            sd = (value.square() @ mass).sqrt()
            out.append(value @ against / sd[..., None])
        return torch.stack(out, -2)


def _looked_up(table: Tensor, label: Tensor, place: Tensor) -> Tensor:
    """Entries (R, d, n) of a table (R, d, C, k), for classes and places (R, d, n)."""
    return table.flatten(-2).gather(-1, label * table.shape[-1] + place)


def quantiles_of(y: Tensor, weight: Tensor, cells: int, least: Tensor) -> Quantiles:
    """The tables of columns y (R, d, n) whose rows count ``weight`` (R, C, n) in each class.

    Knot k is the smallest value up to which k / K of the weight lies, moved up where needed so that
    no inner cell is narrower than ``least`` (R, d).  Mean excesses are those of the rows, and at
    least half the mean width of an inner cell.  Weight 2 equals a row written twice, and weight 0
    an absent row.
    """
    ordered, order = y.sort(dim=-1, stable=True)
    share = torch.arange(1, cells, dtype=torch.float64, device=y.device) / cells
    steps = least[..., None] * torch.arange(cells - 1, dtype=torch.float64, device=y.device)
    tables = []
    for c in range(weight.shape[-2]):
        own = weight[..., c, None, :].expand_as(y)
        reach = own.gather(-1, order).cumsum(-1)
        total = reach[..., -1:].clamp_min(1e-300)
        # Rounding of a sum must not decide between two rows where a cell ends exactly at one.
        place = torch.searchsorted(reach, (total * share * (1 - 1e-12)).contiguous())
        at = ordered.gather(-1, place.clamp_max(y.shape[-1] - 1))
        knots = (at - steps).cummax(-1).values + steps
        per_cell = total[..., 0] / cells
        # Half a cell is what it is for a uniform distribution.  The rows of a tail can be one row.
        half = (knots[..., -1] - knots[..., 0]) / (2 * (cells - 2))
        below = (own * (knots[..., :1] - y).clamp_min(0)).sum(-1) / per_cell
        above = (own * (y - knots[..., -1:]).clamp_min(0)).sum(-1) / per_cell
        tables.append((knots, torch.maximum(below, half), torch.maximum(above, half)))
    knots, below, above = (
        torch.stack(part, dim)
        for part, dim in zip(zip(*tables, strict=True), (-2, -1, -1), strict=True)
    )
    return Quantiles(knots, below, above)
