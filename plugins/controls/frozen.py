"""Standing still: the teacher of generation 0, kept."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Frozen(Mitigation):
    """The teacher of generation 0, which nothing changes any more.

    It writes the rows of every generation and is examined in the world of that generation.  A
    method that reads ``access.first`` must beat it before it can claim anything.
    """

    control = True
    keeps_first = True

    def adapt(self, model, access):
        first = access.first
        if first is None:  # a flawed source taught generation 0; its student is the first teacher
            return model
        return model.with_training(lambda model, corpus, rng, before: first)


@hookimpl
def collapse_mitigations():
    return {"frozen": Frozen}
