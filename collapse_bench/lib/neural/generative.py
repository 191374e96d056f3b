"""What generative networks share: standardised rows, and a covariance estimated from draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.params import fact
from ...core.rng import Stream
from ...errors import Lacking
from ..distributions.gaussians import root_of
from .neural import Neural

DRAWS = 4096  # answers that a covariance is estimated from


@dataclass(frozen=True, eq=False)
class Unit:
    """u = (y - mean) / scale, with mean (d,) float64 and one scale for all d numbers.

    It makes learning independent of the location and scale of the data.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, corpus: Corpus) -> Unit:
        """Weighted mean of the answers (n, d), and the square root of their mean variance."""
        y, share = corpus.y.flatten(1).double(), corpus.multiplicity / corpus.mass
        mean = share @ y
        return cls(mean, (share @ (y - mean).square()).mean().sqrt())

    def inside(self, y: Tensor) -> Tensor:
        """Rows (n, d) in this unit, float32; 0 if all rows of its corpus were equal."""
        return ((y.flatten(1).double() - self.mean) / self.scale.clamp_min(1e-150)).float()

    def outside(self, u: Tensor) -> Tensor:
        """Rows (n, d) in the unit of the data, float64."""
        return self.mean + self.scale * u.double()


@dataclass(frozen=True)
class Generative(Neural):
    """A network that learns the density of answers, given the question if there is one."""

    kinds = ("density",)

    def with_loss(self, loss):
        raise Lacking(
            f"{self.title()} has no probabilities of labels or tokens, so its loss cannot be "
            "replaced",
            type(self),
        )


class DrawnTeacher(Teacher):
    """A teacher of densities whose mean and covariance are estimated from draws.

    ``asked`` is the width of its questions.
    """

    @fact
    def asked(self) -> int:
        return 0

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance factor (d, d) of ``DRAWS`` answers.

        The random numbers are the same in every call.  Raises Incompatible for a teacher that needs
        questions.
        """
        if self.asked:
            raise Lacking(
                f"{type(self).__name__} answers questions, and has no covariance without a "
                "question",
                type(self),
            )
        device = self.device
        y = self.answer(torch.empty(DRAWS, 0, device=device), Stream(0, "spread", device))
        mean = y.mean(0)
        return mean, root_of((y - mean) / (DRAWS - 1) ** 0.5)

    @property
    def device(self) -> torch.device:
        raise NotImplementedError
