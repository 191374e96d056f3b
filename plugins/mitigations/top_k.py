"""Top-k decoding."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TopK(Mitigation):
    """Sample from the k likeliest symbols, renormalised (Fan, Lewis and Dauphin, arXiv 1805.04833).

    Stage: steer; track: blind.  A Zipf law is cut at rank k.  All ties at rank k are kept.  It is
    meant as ``decode`` of a protocol: under recursion, cut symbols never come back.
    """

    k: int = param(50, "number of symbols kept", ge=1)

    kinds = ("discrete", "sequence")

    def steer(self, teacher, access):
        return teacher.decoded(top_k=self.k)


@hookimpl
def collapse_mitigations():
    return {"top-k": TopK}
