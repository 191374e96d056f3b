"""Read out only symbols that are not far less likely than the likeliest."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class MinP(Mitigation):
    """Sample from the symbols at least p times as likely as the likeliest one (Nguyen et al., arXiv 2407.01082).

    Moment: steer; track: blind.  Where the teacher is sure it cuts hard, and where it is not it leaves the tail alone.  Of
    a Zipf law of exponent beta, ranks up to p^(-1/beta) are left.
    """

    p: float = param(0.2, "least probability, as a share of the likeliest symbol's", ge=0, le=1)

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(min_p=self.p)


@hookimpl
def collapse_mitigations():
    return {"min-p": MinP}
