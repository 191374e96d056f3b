"""Read what a verifier passes that errs both ways."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rows.selection import unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoisyVerify(Mitigation):
    """Keep a right row with probability phi and a wrong one with probability psi (Feng et al., arXiv 2406.07515).

    Moment: curate; track: verifier, one call per row.  As rows grow, a pupil of the kept rows ends perfect where fewer
    than p* = phi/(phi + psi) of the labels are wrong, and inverted where more are; without selection p* is 1/2.
    """

    phi: float = param(0.9, "probability that a right row passes", ge=0, le=1)
    psi: float = param(0.3, "probability that a wrong row passes", ge=0, le=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.phi and not self.psi:
            raise UsageError("noisy-verify: phi or psi must be positive, else no row passes")

    @property
    def threshold(self) -> float:
        """p*, the share of wrong labels up to which selection leads to the truth."""
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
