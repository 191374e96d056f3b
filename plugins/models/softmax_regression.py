"""Softmax regression of the next token on a one-hot context, trained to convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, Lacking
from collapse_bench.lib.distributions.objectives import Objective
from collapse_bench.lib.distributions.tables import (
    ContextTeacher,
    TableTeacher,
    contexts_of,
    too_large,
    under,
)
from collapse_bench.registry.hookspecs import hookimpl

# of a gradient entry, as a share of its context's weight (at least of the penalty's)
TOLERANCE = 1e-10
STEPS, HALVINGS = 200, 60


@dataclass(frozen=True)
class SoftmaxRegression(Model):
    """W minimising (1/n) sum -log softmax(W_x)_y + lam |W|^2, starting from W = 0.

    The linear next-token model of Seddik et al., arXiv 2404.05090.

    Newton's method with backtracking, for each context separately: the Hessian of a softmax is
    diagonal minus rank one, so that a step costs as much as a gradient.  At lam = 0 the minimiser
    is the table of relative frequencies, which the probabilities reach to 1e-10; a token that was
    never read keeps about that probability.  A fit that does not converge raises Incompatible.
    Without questions it is one softmax over symbols.
    """

    lam: float = param(0.0, "L2 penalty on the weights, added to a mean loss", ge=0)

    kinds = ("discrete",)
    vectorized = True
    objective: ClassVar[Objective | None] = None  # None: cross-entropy

    def incompatibility(self, cell):
        return super().incompatibility(cell) or too_large(cell.data, self)

    def fit(self, corpus, rng, before=None):
        contexts = contexts_of(corpus)
        count = corpus.tally(corpus.labels, contexts)
        own = tuple(range(len(corpus.chain_shape), count.ndim))  # all but the chain dimensions
        share = count / count.sum(own, keepdim=True)
        p = minimiser(share, self.lam).softmax(-1)
        if self.objective is not None:
            p = self.objective.law(p)
        return TableTeacher(p) if contexts is None else ContextTeacher(p)

    def with_loss(self, loss):
        """Without a penalty each context is a table, trained to where the loss leads it."""
        if self.lam:
            raise Lacking(
                f"{self.title()} with a penalty is solved for cross-entropy only; under another "
                "loss choose lam=0",
                type(self),
            )
        return under(self, loss)


def minimiser(f: Tensor, lam: float) -> Tensor:
    """W (..., K) minimising -sum_j f_j log softmax(W)_j + lam |W|^2 for each row f (..., K)."""
    mass = f.sum(-1, keepdim=True)
    W = torch.zeros_like(f)
    for _ in range(STEPS):
        p = W.softmax(-1)
        gradient = mass * p - f + 2 * lam * W
        done = gradient.abs().amax(-1, keepdim=True) <= TOLERANCE * (mass + lam)
        if done.all():
            return W
        step = torch.where(done, 0.0, _newton(gradient, p, mass, lam))
        W = W - _backtracked(W, step, (gradient * step).sum(-1, keepdim=True), f, lam) * step
    raise Incompatible(f"softmax-regression did not converge in {STEPS} steps")


def _loss(W: Tensor, f: Tensor, lam: float) -> Tensor:
    return (lam * W**2 - f * W.log_softmax(-1)).sum(-1, keepdim=True)


def _newton(gradient: Tensor, p: Tensor, mass: Tensor, lam: float) -> Tensor:
    """Hessian^-1 gradient by Sherman and Morrison.

    The Hessian is diag(mass p + 2 lam) - mass p p^T.
    """
    diagonal = (mass * p + 2 * lam).clamp_min(1e-300)
    step = gradient / diagonal
    # A common shift of all weights changes nothing, and the rank-one term only adds such a shift.
    if lam == 0:
        return step
    # 1 - mass p.p/diagonal, without the cancellation
    rest = (2 * lam * p / diagonal).sum(-1, keepdim=True)
    return step + mass * p / diagonal * ((p * step).sum(-1, keepdim=True) / rest)


def _backtracked(W: Tensor, step: Tensor, slope: Tensor, f: Tensor, lam: float) -> Tensor:
    """The largest step 1, 1/2, ... with an Armijo decrease, per row; 1 below rounding."""
    before = _loss(W, f, lam)
    t = torch.ones_like(slope)
    for _ in range(HALVINGS):
        enough = _loss(W - t * step, f, lam) <= before - 1e-4 * t * slope
        hidden = slope <= 1e-12 * before.abs()
        if (enough | hidden).all():
            break
        t = torch.where(enough | hidden, t, t / 2)
    return t


@hookimpl
def collapse_models():
    return {"softmax-regression": SoftmaxRegression}
