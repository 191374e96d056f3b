"""Read only rows accepted by a verifier with errors of both kinds."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rows.selection import unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoisyVerify(Mitigation):
    """Keep a right row with probability phi and a wrong one with probability psi.

    Feng et al., arXiv 2406.07515.

    Stage: curate; track: verifier, one call per row.  As the number of rows grows, a student of the
    kept rows becomes perfect if fewer than p* = phi/(phi + psi) of the labels are wrong, and
    inverted if more are.  Without selection p* is 1/2.
    """

    phi: float = param(0.9, "probability that a right row is accepted", ge=0, le=1)
    psi: float = param(0.3, "probability that a wrong row is accepted", ge=0, le=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.phi and not self.psi:
            raise UsageError("noisy-verify: phi or psi must be positive, else no row is accepted")

    @property
    def threshold(self) -> float:
        """p*, the largest share of wrong labels at which selection leads to the truth."""
        return self.phi / (self.phi + self.psi)

    @property
    def verifies(self):
        return self.phi, self.psi

    def incompatibility(self, cell):
        return unverifiable("noisy-verify", cell.data) or super().incompatibility(cell)

    def curate(self, corpus, access):
        return corpus.reweighted(access.verify(corpus, self.phi, self.psi).double())


@hookimpl
def collapse_mitigations():
    return {"noisy-verify": NoisyVerify}
