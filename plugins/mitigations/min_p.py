"""Min-p decoding: drop symbols far less likely than the likeliest one."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class MinP(Mitigation):
    """Sample from the symbols at least p times as likely as the likeliest one.

    The paper (Nguyen et al., arXiv 2407.01082): drop tokens whose probability is below p times the
    largest, for one text, mostly at a high temperature (``hot``).  Here the next model learns from
    it.

    Stage: steer; track: blind.  It cuts much where the teacher is confident and little where it is
    not.  Of a Zipf law with exponent beta, ranks up to p^(-1/beta) remain.
    """

    tunings = ({"p": 0.001}, {"p": 0.02}, {"p": 0.1})

    p: float = param(0.2, "smallest probability, relative to the likeliest symbol", ge=0, le=1)

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(min_p=self.p)


@hookimpl
def collapse_mitigations():
    return {"min-p": MinP}
