"""The upper control: the same protocol with an oracle teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Nature(Mitigation):
    """The oracle teacher: real rows wherever the protocol would read synthetic ones.

    Score 1 by definition.  It is a flag of the cell, acts at no stage, and cannot be combined with
    a mitigation.
    """

    control = True
    perfect_teacher = True


@hookimpl
def collapse_mitigations():
    return {"nature": Nature}
