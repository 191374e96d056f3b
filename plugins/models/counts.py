"""Relative frequencies of symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import Objective
from collapse_bench.lib.distributions.tables import (
    ContextTeacher,
    TableTeacher,
    contexts_of,
    too_large,
    under,
)
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Counts(Model):
    """Probability of a symbol: (weighted count + smoothing) / (total + K smoothing), for K symbols.

    Where the question is a symbol too, one such table for each question, uniform for questions that
    were never read.
    """

    smoothing: float = param(0.0, "added to every count; 1 is Laplace's rule", ge=0)

    kinds = ("discrete",)
    vectorized = True
    estimator = "counts"
    # None: cross-entropy, whose minimiser are the relative frequencies
    objective: ClassVar[Objective | None] = None

    def incompatibility(self, cell):
        return super().incompatibility(cell) or too_large(cell.data, self)

    def fit(self, corpus, rng, before=None):
        contexts = contexts_of(corpus)
        count = corpus.tally(corpus.labels, contexts) + self.smoothing
        total = count.sum(-1, keepdim=True)
        share = torch.where(total > 0, count / total, 1 / corpus.labels)
        p = share if self.objective is None else self.objective.law(share)
        return TableTeacher(p) if contexts is None else ContextTeacher(p)

    def with_loss(self, loss):
        """The table that training under another loss reaches, for losses whose table is known."""
        return under(self, loss)


@hookimpl
def collapse_models():
    return {"counts": Counts}
