"""Read what a verifier passes whose knowledge has a centre of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import BiasedVerifier, Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import best, oversampled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class VerifiedRetraining(Mitigation):
    """Keep a row where |y - x.theta_c| <= radius |x| + slack, theta_c the verifier's centre (Yi et al., arXiv 2510.16657).

    Moment: curate; track: verifier, one call per candidate.  theta_c stands ``shift`` from the true parameters, in a
    direction that each seed draws once; the verifier knows that the truth lies within ``radius`` of it.  ``oversample``
    rows are written per row read, and of those that pass no more are read than the lesson had.  The pupil gains
    as long as its own error is larger than the centre's; what the iteration converges to is the centre, and not the truth.
    """

    shift: float = param(0.2, "distance of the verifier's centre from the true parameters", ge=0)
    radius: float = param(
        0.2,
        "r, how far the true parameters may stand from the centre, for all the verifier knows",
        ge=0,
    )
    slack: float = param(1.0, "sigma_c, what noise is let pass, in units of y", ge=0)
    oversample: float = param(2.0, "rows written per row read", ge=1, le=1000)

    def incompatibility(self, cell):
        if not has_method(cell.data, "within"):
            return (
                f"verified-retraining needs true parameters for its verifier to stand beside, and {cell.data.title()} "
                "has none"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        pool = oversampled(corpus, access, self.oversample)
        passed = access.verify(pool, centre=BiasedVerifier(self.shift, self.radius, self.slack))
        turn = torch.where(passed, access.rng.uniform(pool.n), -1.0)
        quota = corpus.multiplicity.sum(-1, keepdim=True)
        return pool.weighted(pool.weight * best(pool, turn, quota) * passed)


@hookimpl
def collapse_mitigations():
    return {"verified-retraining": VerifiedRetraining}
