"""Read only rows accepted by a verifier, by default a perfect one."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import (
    keep_random,
    refilled,
    unverifiable,
    usual_share,
)
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class OracleVerify(Mitigation):
    """Keep a row if and only if the verifier accepts it (Feng et al., arXiv 2406.07515).

    The paper selects from so many generated rows that the training set has the size it would have
    without selection.  Here the protocol composes ``refill`` n rows in its usual mixture, and at
    most n accepted rows are read; fewer if fewer are accepted.

    Stage: size and curate; track: verifier, one call per composed row; new real rows among the
    additional ones are charged too.  Right rows are accepted with probability phi, wrong rows with
    psi.
    """

    phi: float = param(1.0, "probability that a right row is accepted", ge=0, le=1)
    psi: float = param(0.0, "probability that a wrong row is accepted", ge=0, le=1)
    refill: float = param(
        2.0, "rows composed per row read, of which at most one is read; 1: no refill", ge=1, le=1000
    )

    version = 2
    tunings = ({"refill": 1.0}, {"refill": 4.0})

    @property
    def verifies(self):
        return self.phi, self.psi

    def incompatibility(self, cell):
        return unverifiable("oracle-verify", cell.data) or super().incompatibility(cell)

    def size(self, n, t):
        return refilled(n, 1 / self.refill)

    def curate(self, corpus, access):
        accepted = access.verify(corpus, self.phi, self.psi)
        share = usual_share(corpus, access, 1 / self.refill)
        return keep_random(corpus, accepted, share, access.rng)


@hookimpl
def collapse_mitigations():
    return {"oracle-verify": OracleVerify}
