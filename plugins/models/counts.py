"""Relative frequencies: the model of a discrete law that remembers what it saw."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Model, param
from collapse_bench.tables import ContextTeacher, TableTeacher, contexts_of, too_large


@dataclass(frozen=True)
class Counts(Model):
    """Probability of a symbol: (weighted count + smoothing) / (total + K smoothing), for an alphabet of K.

    Where the question is a symbol too, so for each question: a bigram table, uniform after what was never read.
    """

    smoothing: float = param(0.0, "added to every count; 1 is Laplace's rule", ge=0)

    kinds = ("discrete",)
    replicates = "native"

    def fits(self, cell):
        return super().fits(cell) or too_large(cell.data, self)

    def fit(self, corpus, rng, before=None):
        contexts = contexts_of(corpus)
        count = corpus.tally(corpus.labels, contexts) + self.smoothing
        total = count.sum(-1, keepdim=True)
        if contexts is None:
            return TableTeacher(count / total)
        return ContextTeacher(torch.where(total > 0, count / total, 1 / corpus.labels))


@hookimpl
def collapse_models():
    return {"counts": Counts}
