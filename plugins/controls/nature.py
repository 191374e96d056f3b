"""The ceiling: the same protocol with a perfect teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Nature(Mitigation):
    """Every generation is taught by nature itself: real rows wherever the protocol reads synthetic ones.

    Score 1 by definition.  It is a flag of the cell, acts at no moment of its own, and takes no mitigation beside it.
    """

    control = True
    perfect_teacher = True


@hookimpl
def collapse_mitigations():
    return {"nature": Nature}
