"""Discount rows by the number of generations since real data."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Distrust(Mitigation):
    """Weight decay^g for a row that is g generations from real data (folklore, no single paper).

    Stage: curate; track: provenance.  Rows of one age have equal weights, so it has no effect under
    ``replace``, and none with decay=1.  Weights are rescaled to the effective sample size.
    """

    decay: float = param(0.5, "factor on the weight per generation", gt=0, le=1)

    def curate(self, corpus, access):
        return corpus.reweighted(self.decay ** access.provenance(corpus).double())


@hookimpl
def collapse_mitigations():
    return {"distrust": Distrust}
