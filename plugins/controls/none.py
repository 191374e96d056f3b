"""The control that does nothing: what happens to whoever takes no care."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Nothing(Mitigation):
    """No mitigation at all: it acts at no moment and uses nothing.  Score 0 by definition."""

    control = True


@hookimpl
def collapse_mitigations():
    return {"none": Nothing}
