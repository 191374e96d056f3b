"""Read only rows accepted by a verifier with errors of both kinds."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rows.selection import (
    keep_random,
    refilled,
    unverifiable,
    usual_share,
)
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoisyVerify(Mitigation):
    """Keep a right row with probability phi and a wrong one with probability psi.

    Feng et al., arXiv 2406.07515.

    The protocol composes ``refill`` n rows in its usual mixture, and at most n accepted rows are
    read, as in the paper, which selects from a larger number of generated rows.

    Stage: size and curate; track: verifier, one call per composed row; new real rows among the
    additional ones are charged too.  As the number of rows grows, a student of the kept rows
    becomes perfect if fewer than p* = phi/(phi + psi) of the labels are wrong, and inverted if
    more are.  Without selection p* is 1/2.
    """

    phi: float = param(0.9, "probability that a right row is accepted", ge=0, le=1)
    psi: float = param(0.3, "probability that a wrong row is accepted", ge=0, le=1)
    refill: float = param(
        2.0, "rows composed per row read, of which at most one is read; 1: no refill", ge=1, le=1000
    )

    version = 2
    tunings = ({"refill": 1.0}, {"refill": 4.0})

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

    def size(self, n, t):
        return refilled(n, 1 / self.refill)

    def curate(self, corpus, access):
        accepted = access.verify(corpus, self.phi, self.psi)
        share = usual_share(corpus, access, 1 / self.refill)
        return keep_random(corpus, accepted, share, access.rng)


@hookimpl
def collapse_mitigations():
    return {"noisy-verify": NoisyVerify}
