"""Read only rows accepted by a verifier, by default a perfect one."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class OracleVerify(Mitigation):
    """Keep a row if and only if the verifier accepts it (Feng et al., arXiv 2406.07515).

    Stage: curate; track: verifier, one call per row.  Right rows are accepted with probability phi,
    wrong rows with probability psi.
    """

    phi: float = param(1.0, "probability that a right row is accepted", ge=0, le=1)
    psi: float = param(0.0, "probability that a wrong row is accepted", ge=0, le=1)

    @property
    def verifies(self):
        return self.phi, self.psi

    def incompatibility(self, cell):
        return unverifiable("oracle-verify", cell.data) or super().incompatibility(cell)

    def curate(self, corpus, access):
        return corpus.reweighted(access.verify(corpus, self.phi, self.psi).double())


@hookimpl
def collapse_mitigations():
    return {"oracle-verify": OracleVerify}
