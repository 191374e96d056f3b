"""Relabel every training set by the model of generation 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Unsupported
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class FrozenRelabel(Mitigation):
    """The teacher of generation 0 answers the questions of every training set.

    Frozen labels, Hu et al., arXiv 2505.08803.

    Stage: curate; track: first, every answer counted as a generated row; with ``spare`` also
    provenance.  Errors do not accumulate: every generation is the second fit of a chain.  Later
    models do not improve either.
    """

    spare: bool = param(False, "look up provenance and keep the labels of real rows")

    kinds = ("regression", "classification", "sequence")

    def curate(self, corpus, access):
        if (
            access.first is None
        ):  # a flawed source generates the first training set: there is no generation 0 yet
            return corpus
        if not corpus.width:
            raise Unsupported(f"{self.title()} answers questions again, and these rows have none")
        y = access.synthetic(x=corpus.x, of=access.first).y
        if self.spare:
            real = access.provenance(corpus) == 0
            y = torch.where(real.reshape(*real.shape, *(1,) * (y.ndim - real.ndim)), corpus.y, y)
        return corpus.edited(y=y)


@hookimpl
def collapse_mitigations():
    return {"frozen-relabel": FrozenRelabel}
