"""Nucleus (top-p) sampling."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TopP(Mitigation):
    """Sample from the smallest set of likeliest symbols whose mass reaches p.

    The paper (Holtzman et al., arXiv 1904.09751): p = 0.95 keeps the noise of a language model's
    tail out of one text.  Here the next model learns from it.

    Stage: steer; track: blind.  It cuts the tail, so it accelerates collapse under recursion.
    """

    version = 2
    tunings = ({"p": 0.9}, {"p": 0.99}, {"p": 0.999})

    p: float = param(0.95, "probability mass kept", gt=0, le=1)

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(top_p=self.p)


@hookimpl
def collapse_mitigations():
    return {"top-p": TopP}
