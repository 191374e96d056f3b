"""The lower control: no mitigation."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Nothing(Mitigation):
    """No mitigation: it acts at no stage and uses no resources.  Score 0 by definition."""

    control = True


@hookimpl
def collapse_mitigations():
    return {"none": Nothing}
