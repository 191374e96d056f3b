"""Relative frequencies: the model of a discrete law that remembers what it saw."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.errors import Unfit
from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Model, param
from collapse_bench.tables import TableTeacher


@dataclass(frozen=True)
class Counts(Model):
    """Probability of a symbol: (weighted count + smoothing) / (total + K smoothing), for an alphabet of K."""

    smoothing: float = param(0.0, "added to every count; 1 is Laplace's rule", ge=0)

    kinds = ("discrete",)
    replicates = "native"

    def fit(self, corpus, rng, before=None):
        if corpus.labels is None:
            raise Unfit("counts needs to know the size of the alphabet: the data generator must state `labels`")
        count = corpus.tally(corpus.labels) + self.smoothing
        return TableTeacher(count / count.sum(-1, keepdim=True))


@hookimpl
def collapse_models():
    return {"counts": Counts}
