"""The floor of a task: a teacher that has read nothing."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Trivial(Mitigation):
    """The teacher of who knows the domain and has read no row, in every generation.

    Uniform symbols, zero weights, the class prior, a standard law: ``DataGenerator.trivial`` states
    it.  No chain counts as worse than this, and a chain that fails counts as this.  It is a flag of
    the cell, acts at no stage, and cannot be combined with a mitigation.
    """

    control = True
    untrained = True


@hookimpl
def collapse_mitigations():
    return {"trivial": Trivial}
