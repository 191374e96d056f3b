"""A memoriser: it answers what it has read, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Model
from collapse_bench.lib.distributions.tables import RecallTeacher, recalled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Memory(Model):
    """The answer that was read most often to a question; the last symbol if none was read
    (Hutter, arXiv 2102.04074).

    In `zipf-memory` the last symbol means "unknown".  Ties go to the smaller symbol.
    """

    kinds = ("discrete",)
    vectorized = True
    estimator = "memory"

    def incompatibility(self, cell):
        if cell.data.contexts is None:
            return f"memory answers questions, and {cell.data.title()} has none"
        return super().incompatibility(cell)

    def fit(self, corpus, rng, before=None):
        answers, mass = recalled(corpus)
        return RecallTeacher(torch.where(mass > 0, answers, corpus.labels - 1))


@hookimpl
def collapse_models():
    return {"memory": Memory}
