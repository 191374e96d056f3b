"""Let the model of generation 0 label everything, for ever."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class FrozenRelabel(Mitigation):
    """Answer the questions of the lesson anew by the teacher of generation 0 (frozen labels, Hu et al., arXiv 2505.08803).

    Moment: curate; track: blind, every answer charged as a generated row; with ``spare`` provenance.  Errors cannot pile
    up: every generation is the second fit of a chain that was cut there.  Nothing is learnt either.
    """

    spare: bool = param(False, "look up provenance and leave the labels of real rows alone")

    kinds = ("regression", "classification", "sequence")

    def curate(self, corpus, access):
        if (
            access.first is None
        ):  # a flawed source is writing the first lesson, and nobody was before it
            return corpus
        if not corpus.width:
            raise Incompatible(
                f"{self.title()} answers questions anew, and there are none to these rows"
            )
        y = access.synthetic(x=corpus.x, of=access.first).y
        if self.spare:
            real = access.provenance(corpus) == 0
            y = torch.where(real.reshape(*real.shape, *(1,) * (y.ndim - real.ndim)), corpus.y, y)
        return corpus.edited(y=y)


@hookimpl
def collapse_mitigations():
    return {"frozen-relabel": FrozenRelabel}
