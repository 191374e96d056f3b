"""What the answers of a verifier teach who has read no row."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import BiasedVerifier, Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.selection import unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class VerifierOnly(Mitigation):
    """A fit on guesses that the verifier accepted, in this and all earlier generations.

    Guesses use no row: a label is guessed uniformly, a number uniformly between -reach and reach,
    and any other answer by the trivial teacher.  Of ``calls`` guesses per row read, at most as many
    accepted ones are kept as the generation reads.  A chain without any accepted guess reads the
    trivial teacher's own rows.  In a world that moves, the pool holds answers about earlier worlds.

    The verifier is that of oracle-verify and noisy-verify, or with ``shift`` that of
    verified-retraining, so that this control can be run with the parameters of each.  What such a
    method scores beyond it, it owes to the rows that it verifies.
    """

    phi: float = param(1.0, "probability that a right answer is accepted", ge=0, le=1)
    psi: float = param(0.0, "probability that a wrong answer is accepted", ge=0, le=1)
    shift: float | None = param(
        None,
        "distance of a verifier's center from the true parameters; null: a verifier without center",
        ge=0,
    )
    radius: float = param(
        0.2, "with shift: the verifier's bound on the distance of the truth from its center", ge=0
    )
    slack: float = param(1.0, "with shift: tolerance for noise, in units of y", ge=0)
    calls: float = param(10.0, "guesses that are verified per row read", ge=1, le=1000)
    reach: float = param(6.0, "largest guess at a number, in units of y", gt=0)

    control = True

    def incompatibility(self, cell):
        data = cell.data
        if self.shift is not None and not has_method(data, "within"):
            return Lacks(
                f"{self.title()} with a shift needs true parameters for its verifier, and "
                f"{data.title()} has none; leave out shift"
            )
        if self.shift is None and (reason := unverifiable(self.title(), data)):
            return reason
        if data.sampler == "exact-law":
            return Lacks(
                f"{self.title()} verifies rows one by one, and sampler=exact-law draws none; "
                "choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        rows = access.synthetic(round(self.calls * access.n), of=access.trivial)
        guesses = self._guessed(rows, access.rng.at("guess"))
        accepted = guesses.keep(self._accepted(guesses, access), access.n, access.rng.at("keep"))
        pool = access.memory
        pool = accepted if pool is None else pool + accepted
        access.memory = pool
        nothing = ~(pool.mass > 0)
        rest = rows.sample(access.n, access.rng.at("rest"))
        return pool + rest.weighted(rest.weight * nothing[..., None])

    def _guessed(self, rows, rng):
        """The rows with guesses for answers where the trivial teacher has one answer only."""
        if rows.y.ndim > len(rows.chain_shape) + 1 or not rows.width:
            return rows
        u = rng.uniform(rows.n)
        if rows.y.is_floating_point():
            return rows.edited(y=self.reach * (2 * u.double() - 1))
        if rows.x.is_floating_point():
            return rows.edited(y=(u * rows.labels).long().clamp_max(rows.labels - 1))
        return rows  # symbols after symbols: the trivial teacher draws them uniformly

    def _accepted(self, guesses, access):
        centre = None
        if self.shift is not None:
            centre = BiasedVerifier(self.shift, self.radius, self.slack)
        return access.verify(guesses, self.phi, self.psi, centre)


@hookimpl
def collapse_mitigations():
    return {"verifier-only": VerifierOnly}
