"""Read the teacher out as it is, whatever decoder the world prescribes."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.lib.distributions.decoding import as_it_is
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class UnbiasedDecoding(Mitigation):
    """Undo the protocol's biased decoder: temperature 1, no truncation, no processor (sampling without bias, lambda = 1 in the
    words of Alemohammad et al., arXiv 2307.01850).

    Moment: steer; track: blind.  The last setting wins, so that a task with ``decode=temperature(t=0.9)`` comes out as
    if it had none.
    """

    kinds = ("density", "discrete", "sequence")

    def incompatibility(self, cell):
        if cell.protocol.decode is None:
            none = "unbiased-decoding undoes a biased decoder, and this protocol has none; give one by decode=..."
            return super().incompatibility(cell) or none
        return super().incompatibility(cell)

    def steer(self, teacher, access):
        return teacher.decoded(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, processor=as_it_is)


@hookimpl
def collapse_mitigations():
    return {"unbiased-decoding": UnbiasedDecoding}
