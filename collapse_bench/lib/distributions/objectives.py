"""Losses that replace cross-entropy, each with the probabilities that training under it reaches.

A loss is a function of logp (N, K) and y (N,) with values (N,), as ``Model.with_loss`` takes it: a
change of -log p(y).  Its ``law(f (..., K))`` is the table of probabilities to which training
converges from the uniform one, for relative frequencies f of the labels.  A model that counts uses
it without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Shape
from typing import runtime_checkable

import torch
from torch import Tensor

from ...core.components import Mitigation, has_method
from ...errors import Lacks

# least log-probability: at p = 0, p log p and its gradient would be NaN with -inf
FLOOR = -1e4
STEPS, TOLERANCE = 100, 1e-12  # of Newton's method; the tolerance is in log-probability


@runtime_checkable
class Objective(Shape):
    """A loss per answer, and the table that training under it reaches."""

    def __call__(self, logp: Tensor, y: Tensor) -> Tensor:
        """One loss per answer, (N,), of log-probabilities (N, K) and answers (N,)."""

    def law(self, f: Tensor) -> Tensor:
        """Probabilities (..., K) float64 learnt from relative frequencies f (..., K)."""


def _own(logp: Tensor, y: Tensor) -> Tensor:
    """Log-probability of each answer, (N,)."""
    return logp.gather(-1, y[:, None])[:, 0]


@dataclass(frozen=True)
class Truncated:
    """-log p(y) where p(y) <= p, and 0 where p(y) > p."""

    p: float

    def __call__(self, logp, y):
        own = _own(logp, y)
        return torch.where(own.exp() > self.p, 0.0, -own)

    def law(self, f):
        """A label with a frequency above p gets probability p, and the other labels share the rest
        in proportion to their frequencies, or equally where these are 0.  For p >= 1/2.

        Above p the rows of that label have no gradient, and those of the others reduce it to p.
        """
        K, top = f.shape[-1], f.amax(-1, keepdim=True)
        others = torch.where(top < 1, f / (1 - top).clamp_min(1e-300), 1 / max(1, K - 1))
        capped = torch.where(f == top, self.p, (1 - self.p) * others)
        return torch.where((top > self.p) & (K > 1), capped, f)


@dataclass(frozen=True)
class Focal:
    """-(1 - p(y))^gamma log p(y)."""

    gamma: float

    def __call__(self, logp, y):
        own = _own(logp, y)
        if self.gamma == 0:
            return -own
        return -((-torch.expm1(own)).clamp_min(1e-12) ** self.gamma) * own

    def law(self, f):
        """f_j g(p_j) is the same for all labels j, where
        g(p) = (1 - p)^gamma / p - gamma (1 - p)^(gamma - 1) log p.
        """
        if self.gamma == 0:
            return f
        read, c = f > 0, self.gamma

        def pull(x: Tensor) -> tuple[Tensor, Tensor]:
            """log(f g(p)) and its slope in x = log p."""
            p, q = x.exp(), -torch.expm1(x)
            g = q - c * p * x  # p g(p) (1 - p)^(1 - gamma)
            slope = -p * (1 + c + c * x) / g - (c - 1) * p / q - 1
            return f.clamp_min(1e-300).log() - x + g.log() + (c - 1) * q.log(), slope

        start = (f * (1 - 1e-9)).clamp_min(1e-300).log()
        law = _balanced(pull, start, read)
        return torch.where((f < 1).all(-1, keepdim=True), law, f)


@dataclass(frozen=True)
class Penalised:
    """-log p(y) - beta H(p), where H is the entropy of the distribution over labels, in nats."""

    beta: float

    def __call__(self, logp, y):
        entropy = -(logp.exp() * logp.clamp_min(FLOOR)).sum(-1)
        return -_own(logp, y) - self.beta * entropy

    def law(self, f):
        """f_j / p_j - beta log p_j is the same for all labels j."""
        if self.beta == 0:
            return f
        b = self.beta

        def pull(x: Tensor) -> tuple[Tensor, Tensor]:
            own = f * (-x).exp()
            return own - b * x, -own - b

        start = (f + b / f.shape[-1]).log() - torch.tensor(1 + b, dtype=f.dtype).log()
        return _balanced(pull, start, torch.ones_like(f, dtype=torch.bool))


@dataclass(frozen=True)
class Smoothed:
    """The expectation of -log p of a label that is y with probability 1 - eps, else uniform over
    the K labels."""

    eps: float

    def __call__(self, logp, y):
        if self.eps == 0:
            return -_own(logp, y)
        return -(1 - self.eps) * _own(logp, y) - self.eps * logp.clamp_min(FLOOR).mean(-1)

    def law(self, f):
        """(1 - eps) f + eps / K: each of the K counts grows by n eps / ((1 - eps) K), for n
        rows."""
        return (1 - self.eps) * f + self.eps / f.shape[-1]


def _balanced(pull: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, alive: Tensor) -> Tensor:
    """p = e^x (..., K) with sum 1 for which pull(x) is the same for all labels that are ``alive``;
    0 for the others.

    Newton's method, started at x.  pull returns (a value that decreases in x, its slope).
    """
    for _ in range(STEPS):
        value, slope = pull(x)
        p = torch.where(alive, x.exp(), 0.0)
        worth = p / slope
        level = (1 - p.sum(-1, keepdim=True) + (worth * value).sum(-1, keepdim=True)) / worth.sum(
            -1, keepdim=True
        )
        step = torch.where(alive, (level - value) / slope, 0.0).clamp(-1, 1)
        moved = torch.where(x + step < 0, x + step, x / 2)
        x, gap = moved, (moved - x).abs().amax()
        if gap <= TOLERANCE:
            break
    p = torch.where(alive, x.exp(), 0.0)
    return p / p.sum(-1, keepdim=True)


# -- mitigations -----------------------------------------------------------------------------------


class ReplacesLoss(Mitigation):
    """A mitigation that replaces the loss of labels and tokens.  An entry has at most one."""

    kinds = ("discrete", "classification", "sequence")

    @property
    def objective(self) -> Objective:
        raise NotImplementedError

    def incompatibility(self, cell):
        reason = super().incompatibility(cell)
        if reason is None and not has_method(cell.model, "with_loss"):
            reason = Lacks(
                f"{self.title()} replaces the loss, and {cell.model.title()} is not fitted by one"
            )
        others = [
            act.title()
            for act in cell.mitigations
            if isinstance(act, ReplacesLoss) and act is not self
        ]
        if reason is None and others:
            reason = Lacks(
                f"{self.title()} and {others[0]} would both replace the loss; a model has one loss"
            )
        return reason

    def adapt(self, model, access):
        return model.with_loss(self.objective)
