"""Read more rows in every generation than in the one before."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Growing(Mitigation):
    """Generation t reads n (t + 1)^power rows, whose errors 1/n_t have a finite sum for power > 1 (Xu, He and Cheng,
    arXiv 2505.13947).

    Moment: size; track: blind under replace and accumulate, at the price of the rows written.  What a protocol draws
    beyond its usual number, because a larger generation was asked for, is charged to this method: real where it draws
    new real rows every time (mix, and iterative-mix with fresh=true), verifier under verify-filter.  Without real data
    the size must grow faster than linearly, for unbiased models about quadratically.
    """

    power: float = param(2.0, "generation t reads n (t + 1)^power rows", ge=0, le=4)

    def size(self, n, t):
        return round(n * (t + 1) ** self.power)


# -- laws -----------------------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def risk(power, M, k, ddof=1, chains=20000):
        spec = f"gaussian(sampler=exact-law) | gaussian-fit(ddof={ddof}) | replace | growing(power={power}) @ n={M} T={k - 1}"
        given = {"M": M, "k": k, "growth": power, "ddof": ddof}
        return Claim("gaussian.w2_mean", given, spec, "w2", k - 1, chains)

    return [risk(1.5, 6, 12), risk(2.0, 10, 20), risk(2.0, 10, 20, ddof=0)]


@hookimpl
def collapse_mitigations():
    return {"growing": Growing}
