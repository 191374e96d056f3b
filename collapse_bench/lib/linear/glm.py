"""Generalised linear models with canonical links: their conditional laws, and their teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.rng import Stream

MANY = 100.0  # above this mean the inverse of the distribution function is a special function
LARGEST = 30.0  # the predictor x.w is cut here, where a Poisson mean is 1e13


@dataclass(frozen=True)
class Family:
    """An exponential family: density of a label proportional to exp(y e - A(e)), e = x.w."""

    log_partition: Callable[[Tensor], Tensor]  # A
    mean: Callable[[Tensor], Tensor]  # A'
    variance: Callable[[Tensor], Tensor]  # A''
    low: float  # the means of the family lie between these, both excluded
    high: float
    labels: Callable[[Tensor, Tensor], Tensor]  # (means, uniform numbers) -> labels

    def sampled(self, mean: Tensor, rng: Stream) -> Tensor:
        """One label (R, n) float64 for each mean (R, n); a mean outside the family is cut."""
        u = rng.uniform(mean.shape[-1])
        edge = 1e-12
        return self.labels(mean.double().clamp(self.low + edge, self.high - edge), u)


def _poisson_labels(mean: Tensor, u: Tensor) -> Tensor:
    """By inversion, so that a row's label depends on its own mean and number only."""
    m, v = mean.cpu().numpy().ravel(), u.double().cpu().numpy().ravel()
    counts = np.zeros_like(m)
    many = m > MANY
    if many.any():
        counts[many] = np.ceil(scipy.special.pdtrik(v[many], m[many])).clip(0)
    rows = np.flatnonzero(~many)
    chance = np.exp(-m[rows])
    below, k = chance.copy(), 0  # P(count = k), P(count <= k)
    while len(rows):
        above = (v[rows] > below) & (chance > 0)  # the tail has underflowed where chance is 0
        rows, chance, below, k = rows[above], chance[above], below[above], k + 1
        counts[rows] = k
        chance = chance * (m[rows] / k)
        below = below + chance
    return torch.as_tensor(counts, device=mean.device).reshape(mean.shape)


FAMILIES = {
    "bernoulli": Family(
        torch.nn.functional.softplus,
        torch.sigmoid,
        lambda e: torch.sigmoid(e) * torch.sigmoid(-e),
        0.0,
        1.0,
        lambda mean, u: (u < mean).double(),
    ),
    "poisson": Family(torch.exp, torch.exp, torch.exp, 0.0, 1e15, _poisson_labels),
}


@dataclass(frozen=True, eq=False)
class GLMTeacher(Teacher):
    """w (R, d) float64.  Its answer is the mean label A'(x.w); the data sample labels from it."""

    w: Tensor
    family: str

    def predictor(self, x: Tensor) -> Tensor:
        """x.w, (R, n) float64."""
        e = (x.double() @ self.w[..., None])[..., 0]
        return e.clamp(-LARGEST, LARGEST)

    def mean_answer(self, x: Tensor) -> Tensor:
        return FAMILIES[self.family].mean(self.predictor(x))

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.mean_answer(x)

    def blend(self, other: GLMTeacher, w: float) -> GLMTeacher:
        return GLMTeacher(torch.lerp(self.w, other.w, w), self.family)
