"""Read only rows accepted by a verifier with a biased center."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import BiasedVerifier, Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.selection import keep_random, refilled, usual_share
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class VerifiedRetraining(Mitigation):
    """Keep a row if |y - x.theta_c| <= radius |x| + slack, theta_c the verifier's center.

    Yi et al., arXiv 2510.16657: synthetic rows are generated until n of them pass a verifier, whose
    knowledge is a center theta_c and a bound ``radius`` on the distance of the truth from it; the
    student is refitted to them, again and again.

    Here ``oversample`` n rows are composed by the protocol in its usual mixture, and at most n of
    those that pass are read.  theta_c is at distance ``shift`` from the true parameters, in a
    direction drawn once per seed.  A center closer to the truth than the student of generation 0
    would hand out what no row of the task shows, so that with ``as_first`` its error is at least
    that of generation 0; the paper leaves the quality of the verifier open.

    Stage: size and curate; track: first and verifier, one call per composed row; verifier without
    ``as_first``, which reads generation 0.  New real rows among the additional ones are charged
    too.  The student improves while its error is larger than that of the center.  The iteration
    converges to the center, not to the truth.
    """

    shift: float = param(0.2, "distance of the verifier's center from the true parameters", ge=0)
    radius: float = param(
        0.2,
        "r, the verifier's bound on the distance of the true parameters from its center",
        ge=0,
    )
    slack: float = param(1.0, "sigma_c, tolerance for noise, in units of y", ge=0)
    oversample: float = param(2.0, "rows composed per row read", ge=1, le=1000)
    as_first: bool = param(True, "a larger shift if the center's error is below generation 0's")

    version = 2
    tunings = ({"slack": 2.0}, {"slack": 0.5, "oversample": 4.0})

    def incompatibility(self, cell):
        if not has_method(cell.data, "within"):
            return Lacks(
                "verified-retraining needs true parameters for its verifier, and "
                f"{cell.data.title()} has none"
            )
        return super().incompatibility(cell)

    def size(self, n, t):
        return refilled(n, 1 / self.oversample)

    def curate(self, corpus, access):
        limit = access.first if self.as_first else None
        centre = BiasedVerifier(self.shift, self.radius, self.slack, limit)
        passed = access.verify(corpus, centre=centre)
        share = usual_share(corpus, access, 1 / self.oversample)
        return keep_random(corpus, passed, share, access.rng)


@hookimpl
def collapse_mitigations():
    return {"verified-retraining": VerifiedRetraining}
