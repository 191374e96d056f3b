"""Read out only the k likeliest symbols."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TopK(Mitigation):
    """Sample from the k likeliest symbols, renormalised (Fan, Lewis and Dauphin, arXiv 1805.04833).

    Moment: steer; track: blind.  Of a Zipf law it is the tail cut at rank k.  Ties at the k-th place are all kept.  It
    serves as the ``decode`` of a protocol: under recursion what is cut never comes back.
    """

    k: int = param(50, "symbols that are kept", ge=1)

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(top_k=self.k)


@hookimpl
def collapse_mitigations():
    return {"top-k": TopK}
