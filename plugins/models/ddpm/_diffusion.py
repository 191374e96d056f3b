"""Diffusion: an answer is noise from which predicted noise is removed, level by level.

A level is given by the share ``a`` of signal in u_a = sqrt(a) u + sqrt(1 - a) e, where u is an
answer in its own unit and e is standard normal; 0 = level without noise, a[0] = 1.  Outside of that
unit a level is a standard deviation: y + noise e.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.progress import report_step
from collapse_bench.lib.distributions.decoding import truncates
from collapse_bench.lib.neural.generative import DrawnTeacher, Unit

ROWS = 1 << 12  # answers sampled per chunk
Schedule = Literal["linear", "cosine"]
Variance = Literal["upper", "lower"]


def signal(kind: Schedule, levels: int) -> Tensor:
    """a[0 .. levels], float64: by a rate of noise that rises ``linear``ly from 0.1 to 20 (Ho et
    al., arXiv 2006.11239, at 1000 levels; the same noise in all at any other number), or along a
    ``cosine`` (Nichol and Dhariwal, arXiv 2102.09672)."""
    t = torch.arange(levels + 1, dtype=torch.float64) / levels
    if kind == "cosine":
        a = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    else:
        a = torch.exp(-(0.1 * t + 19.9 * t**2 / 2))
    # At the last step of the cosine a would be 0, and sampling divides by it.
    kept = (a[1:] / a[:-1]).clamp_min(0.001)
    return torch.cat([kept.new_ones(1), kept]).cumprod(0)


@dataclass(frozen=True, eq=False)
class Plan:
    """How to sample: levels a[0 .. L] float64, variance between levels, scale of the noise."""

    a: Tensor
    variance: Variance = "upper"
    temperature: float = 1.0


def ancestral(
    guess: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, int],
    plan: Plan,
    generator: torch.Generator,
) -> Tensor:
    """Answers (n, d) in their unit, by Ho et al.'s sampler; guess(u (n, d), a ()) -> e (n, d).

    The variance of a step is the ``upper`` bound beta_t, which is exact if the distribution is N(0,
    I), or the ``lower`` bound beta_t (1 - a[t-1]) / (1 - a[t]), exact for a point mass.  The noise
    is scaled by the root of the temperature, so that the covariance of a Gaussian is multiplied by
    the temperature.
    """

    def noise() -> Tensor:
        return plan.temperature**0.5 * torch.randn(
            shape, generator=generator, device=generator.device
        )

    a, u = plan.a.to(generator.device), noise()
    for t in range(len(a) - 1, 0, -1):
        kept = a[t] / a[t - 1]
        drawn = 1 - kept if plan.variance == "upper" else (1 - kept) * (1 - a[t - 1]) / (1 - a[t])
        u = (u - (1 - kept) / (1 - a[t]).sqrt() * guess(u, a[t])) / kept.sqrt()
        u = (u + drawn.sqrt() * noise()).float()
    return u


class DiffusionTeacher(DrawnTeacher):
    """A teacher that samples by diffusion; subclasses define ``guess``, ``unit`` and ``plan``."""

    unit: Unit
    plan: Plan

    def guess(self, x: Tensor, u: Tensor, a: Tensor) -> Tensor:
        """The expected noise e (n, d) in u = sqrt(a) answer + sqrt(1 - a) e, all in ``unit``.

        Questions x (n, ...), u (n, d), a ().
        """
        raise NotImplementedError

    def eps(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """The expected noise e (n, d) in y = answer + noise e, in the units of the data.

        y (n, d), noise > 0 ().  It allows teachers with different units to be compared.
        """
        a = self.unit.scale**2 / (self.unit.scale**2 + noise**2)
        return self.guess(x, a.sqrt() * self.unit.inside(y), a)

    def score(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Gradient (n, d) of the log-density of noised answers at y: -eps / noise (Tweedie)."""
        return -self.eps(x, y, noise) / noise

    def answer(self, x: Tensor, rng) -> Tensor:
        generator, d = rng.torch_generator(), self.unit.mean.shape[0]
        drawn = []
        for asked in x.split(ROWS):
            drawn.append(
                ancestral(partial(self.guess, asked), (len(asked), d), self.plan, generator)
            )
            report_step("sample", sum(map(len, drawn)), len(x))
        return self.unit.outside(torch.cat(drawn))

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        if truncates(top_p, top_k, min_p, processor):
            raise self._lacks(
                "decoded",
                "be truncated: of the decoder's settings diffusion knows only temperature",
            )
        return (
            self
            if temperature is None
            else self._planned(replace(self.plan, temperature=temperature))
        )

    def _planned(self, plan: Plan) -> DiffusionTeacher:
        twin = copy.copy(self)
        object.__setattr__(twin, "plan", plan)
        return twin

    def blend(self, other: DiffusionTeacher, w: float) -> BlendedDiffusion:
        """The teacher whose prediction is (1 - w) times this one's plus w times the other's at
        every level; below 0, w guides away from the other (Alemohammad et al., arXiv
        2408.16333)."""
        return BlendedDiffusion(self, other, w, self.unit, self.plan)

    @property
    def device(self) -> torch.device:
        return self.unit.mean.device


@dataclass(frozen=True, eq=False)
class BlendedDiffusion(DiffusionTeacher):
    """A blend of two diffusions, with the unit and the plan of the first."""

    one: DiffusionTeacher
    other: DiffusionTeacher
    w: float
    unit: Unit
    plan: Plan

    @property
    def asked(self) -> int:
        return self.one.asked

    def guess(self, x: Tensor, u: Tensor, a: Tensor) -> Tensor:
        y, noise = self.unit.outside(u / a.sqrt()), self.unit.scale * ((1 - a) / a).sqrt()
        return (1 - self.w) * self.one.guess(x, u, a) + self.w * self.other.eps(x, y, noise)
