"""Read more rows in every generation than in the previous one."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Growing(Mitigation):
    """Generation t reads n (t + 1)^power rows; for power > 1 the errors 1/n_t have a finite sum.

    Xu, He and Cheng, arXiv 2505.13947.

    Stage: size; track: blind under replace and accumulate, at the cost of the generated rows.
    Resources that the protocol uses because of the larger size are charged to this method: real
    rows where new ones are drawn every time (mix, and iterative-mix with fresh=true), verifier
    calls under verify-filter.  Without real data the size must grow faster than linearly, for
    unbiased models about quadratically.
    """

    power: float = param(2.0, "generation t reads n (t + 1)^power rows", ge=0, le=4)

    def size(self, n, t):
        return round(n * (t + 1) ** self.power)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def risk(power, M, k, ddof=1, chains=20000):
        spec = (
            f"gaussian(sampler=exact-law) | gaussian-fit(ddof={ddof}) | replace | "
            f"growing(power={power}) @ n={M} T={k - 1}"
        )
        given = {"M": M, "k": k, "growth": power, "ddof": ddof}
        return Claim("gaussian.w2_mean", given, spec, "w2", k - 1, chains)

    return [risk(1.5, 6, 12), risk(2.0, 10, 20), risk(2.0, 10, 20, ddof=0)]


@hookimpl
def collapse_mitigations():
    return {"growing": Growing}
