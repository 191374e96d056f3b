"""What generative networks share: the unit of their rows, and a covariance estimated from draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.params import fact
from ...core.rng import Stream
from ...errors import Incompatible
from ..distributions.gaussians import root_of
from .neural import Neural

DRAWS = 4096  # answers that a covariance is estimated from


@dataclass(frozen=True, eq=False)
class Unit:
    """u = (y - mean) / scale: mean (d,) float64, one scale for all d numbers, so that learning does not
    depend on where a law lies and how large it is."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, corpus: Corpus) -> Unit:
        """Weighted mean of the answers (n, d) and the root of their mean variance."""
        y, share = corpus.y.flatten(1).double(), corpus.multiplicity / corpus.mass
        mean = share @ y
        return cls(mean, (share @ (y - mean).square()).mean().sqrt())

    def inside(self, y: Tensor) -> Tensor:
        """Rows (n, d) in this unit, float32; 0 where all rows it was computed from were equal."""
        return ((y.flatten(1).double() - self.mean) / self.scale.clamp_min(1e-150)).float()

    def outside(self, u: Tensor) -> Tensor:
        """Rows (n, d) in their own unit, float64."""
        return self.mean + self.scale * u.double()


@dataclass(frozen=True)
class Generative(Neural):
    """A network that learns a density of answers, given the question where there is one."""

    kinds = ("density",)

    def with_loss(self, loss):
        raise Incompatible(
            f"{self.title()} has no probabilities of labels or tokens whose loss could be exchanged"
        )


class DrawnTeacher(Teacher):
    """A teacher of densities whose mean and covariance are estimated from draws; ``asked`` is the width of
    its questions."""

    @fact
    def asked(self) -> int:
        return 0

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance factor (d, d) of ``DRAWS`` answers, with the same random numbers each time."""
        if self.asked:
            raise Incompatible(
                f"{type(self).__name__} answers questions, and has no covariance without one"
            )
        device = self.device
        y = self.answer(torch.empty(DRAWS, 0, device=device), Stream(0, "spread", device))
        mean = y.mean(0)
        return mean, root_of((y - mean) / (DRAWS - 1) ** 0.5)

    @property
    def device(self) -> torch.device:
        raise NotImplementedError
