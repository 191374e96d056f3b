"""Read only rows accepted by a verifier with a biased center."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import BiasedVerifier, Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.selection import best, oversampled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class VerifiedRetraining(Mitigation):
    """Keep a row if |y - x.theta_c| <= radius |x| + slack, theta_c the verifier's center.

    Yi et al., arXiv 2510.16657.

    Stage: curate; track: verifier, one call per candidate.  theta_c is at distance ``shift`` from
    the true parameters, in a direction drawn once per seed; the verifier knows that the truth is
    within ``radius`` of it.  ``oversample`` rows are generated per row read; of the accepted rows
    at most as many are read as the training set had.  The student improves while its error is
    larger than that of the center.  The iteration converges to the center, not to the truth.
    """

    shift: float = param(0.2, "distance of the verifier's center from the true parameters", ge=0)
    radius: float = param(
        0.2,
        "r, the verifier's bound on the distance of the true parameters from its center",
        ge=0,
    )
    slack: float = param(1.0, "sigma_c, tolerance for noise, in units of y", ge=0)
    oversample: float = param(2.0, "rows generated per row read", ge=1, le=1000)

    def incompatibility(self, cell):
        if not has_method(cell.data, "within"):
            return Lacks(
                "verified-retraining needs true parameters for its verifier, and "
                f"{cell.data.title()} has none"
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
