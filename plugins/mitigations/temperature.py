"""Sample from the teacher at another temperature."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Temperature(Mitigation):
    """Sample from the teacher's distribution to the power 1/t (folklore, no single paper).

    Sampling in Gerstgrasser et al. (arXiv 2404.01413) divides the logits by t = 0.3, which cuts the
    tails; as ``decode`` of a protocol it is that biased sampler.  As a mitigation it is a small
    step the other way.

    Stage: steer; track: blind.  t > 1 widens the tails, t < 1 cuts them: a Zipf law of exponent
    beta becomes one of beta/t, and the covariance of a Gaussian is multiplied by t.  Models whose
    teachers do not support a temperature (mixtures, kernel densities) are skipped.
    """

    tunings = ({"t": 1.01}, {"t": 1.03}, {"t": 0.97})

    t: float = param(1.1, "temperature; 1 changes nothing", gt=0, le=100)

    kinds = ("density", "discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(temperature=self.t)


@hookimpl
def collapse_mitigations():
    return {"temperature": Temperature}
