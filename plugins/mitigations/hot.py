"""Decode at high temperature with a probability floor."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Hot(Mitigation):
    """High temperature, restricted to symbols at least min_p times as likely as the likeliest one.

    The paper (Nguyen et al., arXiv 2407.01082): min-p lets a language model be sampled at
    temperatures at which plain sampling falls apart, for one text.  Here the next model learns from
    it.

    Stage: steer; track: blind.  The temperature widens the distribution; the floor, applied after
    it, removes implausible symbols.  Of a Zipf law with exponent beta, ranks up to min_p^(-t/beta)
    remain.
    """

    tunings = ({"t": 1.02, "min_p": 0.001}, {"t": 1.1, "min_p": 0.01}, {"t": 1.2, "min_p": 0.02})

    t: float = param(1.5, "temperature", gt=0, le=100)
    min_p: float = param(
        0.2,
        "smallest probability after the temperature, relative to the likeliest symbol",
        ge=0,
        le=1,
    )

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(temperature=self.t, min_p=self.min_p)


@hookimpl
def collapse_mitigations():
    return {"hot": Hot}
