"""Sample from the unmodified teacher, whatever decoder the protocol uses."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.errors import Lacks
from collapse_bench.lib.distributions.decoding import as_it_is
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class UnbiasedDecoding(Mitigation):
    """Undo the protocol's biased decoder: temperature 1, no truncation, no processor.

    Unbiased sampling, lambda = 1 in Alemohammad et al., arXiv 2307.01850.

    Stage: steer; track: blind.  The last decoder setting wins, so a task with
    ``decode=temperature(t=0.9)`` behaves as if it had no decoder.
    """

    kinds = ("density", "discrete", "sequence")

    def incompatibility(self, cell):
        if cell.protocol.decode is None:
            none = Lacks(
                "unbiased-decoding undoes a biased decoder, and this protocol has none; set one "
                "with decode=..."
            )
            return super().incompatibility(cell) or none
        return super().incompatibility(cell)

    def steer(self, teacher, access):
        return teacher.decoded(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, processor=as_it_is)


@hookimpl
def collapse_mitigations():
    return {"unbiased-decoding": UnbiasedDecoding}
