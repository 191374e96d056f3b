"""Logistic regression by gradient steps, over all chains at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from collapse_bench.core.components import Model
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import fact, param
from collapse_bench.lib.linear.classification import LinearClassifier, second_moments
from collapse_bench.lib.neural.neural import AnswerLoss, log_loss, validation_loss
from collapse_bench.lib.rounding import ROUNDING
from collapse_bench.registry.hookspecs import hookimpl

CACHE = 1 << 23  # bytes of questions that are fitted together


@dataclass(frozen=True)
class Logistic(Model):
    """W from 0 towards the minimum of (1/N) sum w_i -log softmax(W x_i)_(y_i) + lam |W|^2, N the
    sum of the weights; the largest score is the answer, and there is no intercept.

    ``steps`` steps of Nesterov's accelerated gradient over all rows, of size 1 / L with L the
    largest curvature that cross-entropy can have; few steps act as a penalty.  ``with_loss``
    exchanges the loss of a label, and ``with_validation`` keeps the step at which the share of
    wrong labels on validation rows was lowest, chain by chain; the log loss decides ties.
    """

    lam: float = param(1e-3, "penalty on |W|^2, added to a mean loss", ge=0)
    steps: int = param(50, "gradient steps", ge=1, le=100_000)

    kinds = ("classification",)
    vectorized = True
    trained_by_steps = True

    @fact
    def answer_loss(self) -> AnswerLoss:
        return staticmethod(log_loss)

    validation_rows: ClassVar[Corpus | None] = None

    def _with(self, **values) -> Logistic:
        twin = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(twin, name, value)
        return twin

    def with_loss(self, loss: AnswerLoss) -> Logistic:
        return self._with(answer_loss=loss)

    def with_validation(self, corpus: Corpus) -> Logistic:
        """Stopped where the fewest labels of these rows are wrong."""
        return self._with(validation_rows=corpus)

    def fit(self, corpus, rng, before=None):
        classes, held = corpus.labels or int(corpus.y.max()) + 1, self.validation_rows
        chains = _together(corpus)
        if chains is None:
            return LinearClassifier(self._weights(corpus, held, classes))
        groups = (slice(i, i + chains) for i in range(0, corpus.chain_shape[0], chains))
        return LinearClassifier(
            torch.cat(
                [
                    self._weights(corpus[r], None if held is None else held[r], classes)
                    for r in groups
                ]
            )
        )

    def _weights(self, corpus: Corpus, held: Corpus | None, classes: int) -> Tensor:
        """W (R, C, d)."""
        widest = second_moments(corpus) / corpus.mass[..., None, None]
        step = (
            1
            / (torch.linalg.eigvalsh(widest)[..., -1] / 2 + 2 * self.lam).clamp_min(1e-12)[
                ..., None, None
            ]
        )
        slope = self._slope(corpus, classes)
        W = torch.zeros(
            *corpus.chain_shape,
            classes,
            widest.shape[-1],
            dtype=torch.float64,
            device=widest.device,
        )
        ahead, best, lowest = W, W, None
        exam = None if held is None else _exam(held)
        for i in range(self.steps):
            moved = ahead - step * (slope(ahead) + 2 * self.lam * ahead)
            ahead, W = moved + i / (i + 3) * (moved - W), moved
            if exam is not None:
                value = exam(W)
                better = (
                    torch.ones_like(value, dtype=torch.bool)
                    if lowest is None
                    else value < lowest - ROUNDING * lowest.abs()
                )
                best = torch.where(better[..., None, None], W, best)
                lowest = torch.where(better, value, value if lowest is None else lowest)
        return W if exam is None else best

    def _mean_loss(self, corpus: Corpus) -> Callable[[Tensor], Tensor]:
        """The weighted mean loss (R,) of weights (R, C, d) on these rows."""
        x, y, share = (
            corpus.x.double(),
            corpus.y.flatten(),
            corpus.multiplicity / corpus.mass[..., None],
        )

        def loss(W: Tensor) -> Tensor:
            logp = (W @ x.mT).log_softmax(-2).mT.flatten(0, -2)
            return (share * self.answer_loss(logp, y).view(share.shape)).sum(-1)

        return loss

    def _slope(self, corpus: Corpus, classes: int) -> Callable[[Tensor], Tensor]:
        """The gradient of the mean loss, (R, C, d), each chain's in its own weights."""
        if self.answer_loss is not log_loss:
            return partial(_gradient, self._mean_loss(corpus))
        x, share = corpus.x.double(), (corpus.multiplicity / corpus.mass[..., None])[..., None, :]
        due = torch.nn.functional.one_hot(corpus.y, classes).mT * share
        return lambda W: ((W @ x.mT).softmax(-2).mul_(share) - due) @ x


def _together(corpus: Corpus) -> int | None:
    """How many of the first chain dimension to fit at a time, so that their questions stay in the
    cache while all steps read them; None: all."""
    if not corpus.chain_shape:
        return None
    chains, *inner = corpus.chain_shape
    size = 8 * corpus.n * corpus.width * math.prod(inner)  # bytes
    many = max(1, CACHE // max(1, size))
    return many if many < chains else None


def _exam(rows: Corpus) -> Callable[[Tensor], Tensor]:
    """The validation loss (R,) of weights (R, C, d) on these rows."""
    x, share = rows.x.double(), rows.multiplicity / rows.mass[..., None]
    return lambda W: validation_loss((x @ W.mT).log_softmax(-1), rows.y, share)


def _gradient(loss: Callable[[Tensor], Tensor], W: Tensor) -> Tensor:
    """Of each chain's loss (R,) in its own weights (R, C, d)."""
    with torch.enable_grad():
        V = W.detach().requires_grad_()
        return torch.autograd.grad(loss(V).sum(), V)[0]


@hookimpl
def collapse_models():
    return {"logistic": Logistic}
