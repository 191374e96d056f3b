"""Read out hot, with a floor under the tail."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Hot(Mitigation):
    """Sample at a temperature above 1 from the symbols at least min_p times as likely as the likeliest one (Nguyen et al., arXiv
    2407.01082).

    Moment: steer; track: blind.  The temperature widens the law and the floor, which is laid after it, keeps nonsense out.
    Of a Zipf law of exponent beta, ranks up to min_p^(-t/beta) are left.
    """

    t: float = param(1.5, "temperature", gt=0, le=100)
    min_p: float = param(
        0.2, "least probability after it, as a share of the likeliest symbol's", ge=0, le=1
    )

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(temperature=self.t, min_p=self.min_p)


@hookimpl
def collapse_mitigations():
    return {"hot": Hot}
