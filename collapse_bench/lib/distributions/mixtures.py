"""A teacher that is a mixture of Gaussians, each stored as weight, mean and factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.rng import Stream
from .gaussians import root_of


@dataclass(frozen=True, eq=False)
class MixtureTeacher(Teacher):
    """weight (R, K) summing to one, mean (R, K, d), factor (R, K, d, d); all float64."""

    weight: Tensor
    mean: Tensor
    factor: Tensor

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Rows (R, n, d) float64: draw a component by its weight, then mean + factor z."""
        n, d = x.shape[len(rng.chain_shape)], self.mean.shape[-1]
        which = drawn_by(self.weight, rng.at("component").uniform(n))[..., None]
        z = rng.at("z").normal(n, d).double().mT

        def component(k: int) -> Tensor:  # as columns: twice as fast
            return (self.factor[..., k, :, :] @ z).add_(self.mean[..., k, :, None]).mT

        rows = component(0)
        for k in range(1, self.weight.shape[-1]):
            rows = torch.where(which == k, component(k), rows)
        return rows

    def parts(self, y: Tensor) -> Tensor:
        """Log of weight times density of each component at rows y (R, n, d), in nats, (R, K, n)."""
        gap = y[..., None, :, :] - self.mean[..., None, :]  # (R, K, n, d)
        d = self.mean.shape[-1]
        if d == 1:
            z, log_det = (gap / self.factor)[..., 0], self.factor[..., 0, 0].abs().log()
        else:
            z = torch.linalg.solve(self.factor, gap.mT).mT
            z, log_det = (
                torch.linalg.vector_norm(z, dim=-1),
                torch.linalg.slogdet(self.factor).logabsdet,
            )
        return (self.weight.log() - log_det - 0.5 * d * math.log(2 * math.pi))[
            ..., None
        ] - 0.5 * z**2

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of each row in nats, (R, n, 1)."""
        return self.parts(y.double()).logsumexp(-2)[..., None]

    def mean_answer(self, x: Tensor) -> Tensor:
        mean = (self.weight[..., None] * self.mean).sum(-2)
        return mean[..., None, :].expand(*x.shape[:-1], mean.shape[-1])

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        mean = (self.weight[..., None] * self.mean).sum(-2)
        share = self.weight.sqrt()[..., None]
        within = (share[..., None] * self.factor.mT).flatten(-3, -2)
        return mean, root_of(torch.cat([share * (self.mean - mean[..., None, :]), within], -2))


def drawn_by(weight: Tensor, u: Tensor) -> Tensor:
    """Indices (R, n) int64 drawn by ``weight (R, K) >= 0`` with uniform numbers u (R, n).

    An index of weight 0 is never drawn.
    """
    reach = weight.cumsum(-1)
    # Rounding can leave the last value slightly off one, so the draw is scaled to it.
    return torch.searchsorted(reach, u * reach[..., -1:], right=True).clamp_max(
        weight.shape[-1] - 1
    )
