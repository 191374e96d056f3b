"""Read the teacher out at another temperature."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Temperature(Mitigation):
    """Sample from the teacher's law to the power 1/t, renormalised (folklore: a setting of every sampler, from no one paper).

    Moment: steer; track: blind.  t > 1 widens the tails, t < 1 cuts them: a Zipf law of exponent beta becomes one of
    beta/t, the covariance of a Gaussian t times itself.  As a protocol's ``decode`` it is a world that reads out with a
    bias, as in Gerstgrasser et al. (arXiv 2404.01413), who set t = 0.3.  Models whose teachers know no
    temperature (mixtures, kernel densities) are skipped.
    """

    t: float = param(1.1, "temperature; 1 leaves the law as it is", gt=0, le=100)

    kinds = ("density", "discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(temperature=self.t)


@hookimpl
def collapse_mitigations():
    return {"temperature": Temperature}
