"""Add a few real rows to every lesson: fresh ones each time, or the same ones for ever."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RealAnchor(Mitigation):
    """Real rows beside what the protocol gives, in every generation (Alemohammad et al., arXiv 2307.01850).

    Moment: curate; track: real, metered row by row.  ``k`` new ones are their fresh-data loop; ``share`` says how many as a
    multiple of n, and may exceed 1.  With ``fixed`` the same rows come every time, and are paid for once:
    ``real-anchor(share=1, fixed=true)`` under replace is their synthetic augmentation, n real rows beside what the last model
    wrote.  They are rows of its own and not those that generation 0 read, which no method is given.
    """

    k: int = param(10, "real rows added per generation", ge=1)
    fixed: bool = param(
        False, "the same real rows in every generation; false: new ones", later=True
    )
    share: float | None = param(
        None,
        "real rows added as a multiple of n, which may exceed 1, in the place of k",
        gt=0,
        le=10,
        later=True,
    )

    def curate(self, corpus, access):
        k = self.k if self.share is None else max(1, round(self.share * access.n))
        return corpus + access.real(k, fixed=self.fixed)


# -- laws -----------------------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    """k real rows beside m synthetic ones are a mix with the share k/(k + m), once the first generation is forgotten."""

    def limit(law, metric, k, m, fixed, T, sigma=2.0):
        act = f"real-anchor(k={k}, fixed={str(fixed).lower()})"
        spec = f"gaussian(sigma={sigma}, sampler=exact-law) | gaussian-fit(ddof=0) | replace | {act} @ n={m} T={T}"
        given = {"M": k + m, "pi": k / (k + m), "t": T, "sigma": sigma}
        return Claim(f"gaussian.{law}", given, spec, metric, T, 8000)

    return [
        limit("mix_v", "variance", 5, 15, False, 60),
        limit("mix_e", "mean_drift", 5, 15, False, 60),
        limit("mixfixed_v", "variance", 5, 15, True, 60),
        limit("mixfixed_e", "mean_drift", 10, 10, True, 60),
    ]


@hookimpl
def collapse_mitigations():
    return {"real-anchor": RealAnchor}
