"""Read the teacher out at another temperature."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Mitigation, param


@dataclass(frozen=True)
class Temperature(Mitigation):
    """Sample from the teacher's law to the power 1/t, renormalised.  Moment: steer; track: blind.

    t > 1 widens the tails, t < 1 cuts them.  As a protocol's ``decode`` it is a world that reads out with a bias.
    """

    t: float = param(1.1, "temperature; 1 leaves the law as it is", gt=0, le=100)

    kinds = ("density", "discrete", "sequence")

    def steer(self, teacher, taps):
        return teacher.decoded(temperature=self.t)


@hookimpl
def collapse_mitigations():
    return {"temperature": Temperature}
