"""Add a few fresh real rows to every lesson."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Mitigation, param


@dataclass(frozen=True)
class RealAnchor(Mitigation):
    """k new real rows per generation beside what the protocol gives (the fresh-data loop of Alemohammad et al. 2023).

    Moment: curate; track: real, metered row by row.
    """

    k: int = param(10, "real rows added per generation", ge=1)

    def curate(self, corpus, taps):
        return corpus + taps.real(self.k)


@hookimpl
def collapse_mitigations():
    return {"real-anchor": RealAnchor}
