"""Maximum likelihood for generalised linear models, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.lib.linear.glm import FAMILIES, LARGEST, Family, GLMTeacher
from collapse_bench.registry.hookspecs import hookimpl

STEPS = 60  # Newton's method needs about 8, and more only where labels nearly separate
CLOSE = 1e-11  # a step below this share of |w| ends the iteration


@dataclass(frozen=True)
class GLMFit(Model):
    """argmin (1/N) sum w_i (A(x_i.w) - y_i x_i.w) + lam |w|^2, N the sum of the weights.

    A is the log-partition of the ``family``.  The small default penalty keeps w finite where the
    labels separate the questions; it shifts w by about lam/(information per row).  Every step is
    halved until the objective does not rise.
    """

    family: Literal["bernoulli", "poisson"] = param("bernoulli", "distribution of a label")
    lam: float = param(1e-8, "penalty on |w|^2, added to a mean loss", gt=0)

    kinds = ("regression",)
    vectorized = True
    estimator = "glm"

    def incompatibility(self, cell):
        family = getattr(cell.data, "family_of_labels", None)
        if family is not None and family != self.family:
            return (
                f"glm-fit(family={self.family}) does not fit {cell.data.title()} with {family} "
                f"labels; choose glm-fit(family={family})"
            )
        return super().incompatibility(cell)

    def fit(self, corpus, rng, before=None):
        family, x, y = FAMILIES[self.family], corpus.x.double(), corpus.y.double()
        share = corpus.multiplicity.double() / corpus.mass[..., None]
        w = x.new_zeros(*corpus.chain_shape, x.shape[-1])
        value = self._objective(family, x, y, share, w)
        for _ in range(STEPS):
            step = self._step(family, x, y, share, w)
            w, value, moved = self._halved(family, x, y, share, w, step, value)
            if not (moved > CLOSE).any():
                break
        return GLMTeacher(w, self.family)

    def _objective(self, family: Family, x: Tensor, y: Tensor, share: Tensor, w: Tensor) -> Tensor:
        e = (x @ w[..., None])[..., 0]
        cut = e.clamp(-LARGEST, LARGEST)
        return (share * (family.log_partition(cut) - y * e)).sum(-1) + self.lam * (w**2).sum(-1)

    def _step(self, family: Family, x: Tensor, y: Tensor, share: Tensor, w: Tensor) -> Tensor:
        """Newton's step (R, d) from w."""
        e = (x @ w[..., None])[..., 0].clamp(-LARGEST, LARGEST)
        slope = ((share * (family.mean(e) - y))[..., None, :] @ x)[..., 0, :] + 2 * self.lam * w
        bend = x.mT @ (x * (share * family.variance(e))[..., None])
        bend.diagonal(dim1=-2, dim2=-1).add_(2 * self.lam)
        return -torch.linalg.solve(bend, slope)

    def _halved(
        self,
        family: Family,
        x: Tensor,
        y: Tensor,
        share: Tensor,
        w: Tensor,
        step: Tensor,
        value: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(weights, objective, relative length of the step taken), chain by chain."""
        length = torch.ones_like(value)
        for _ in range(30):
            moved = w + length[..., None] * step
            found = self._objective(family, x, y, share, moved)
            worse = ~(found <= value + 1e-13 * value.abs())
            if not worse.any():
                break
            length = torch.where(worse, length / 2, length)
        size = (length[..., None] * step).norm(dim=-1) / w.norm(dim=-1).clamp_min(1.0)
        size = torch.where(worse, 0.0, size)
        return (
            torch.where(worse[..., None], w, moved),
            torch.where(worse, value, found),
            size,
        )


@hookimpl
def collapse_models():
    return {"glm-fit": GLMFit}
