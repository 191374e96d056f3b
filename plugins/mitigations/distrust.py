"""Trust a row less, the more generations stand between it and nature."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Distrust(Mitigation):
    """Weight decay^g for a row that is g generations from nature (folklore of discounting, from no one paper).

    Moment: curate; track: provenance.  Rows of one age all lose alike, so that it changes nothing under replace alone, nor
    anywhere at decay=1.  Where weights differ they are rescaled to the effective sample size.
    """

    decay: float = param(0.5, "weight that is left per generation", gt=0, le=1)

    def curate(self, corpus, access):
        return corpus.reweighted(self.decay ** access.provenance(corpus).double())


@hookimpl
def collapse_mitigations():
    return {"distrust": Distrust}
