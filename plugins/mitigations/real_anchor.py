"""Add a few real rows to every training set: new ones each time, or always the same."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RealAnchor(Mitigation):
    """Add real rows to the rows of the protocol in every generation.

    Alemohammad et al., arXiv 2307.01850.

    Stage: curate; track: real, counted row by row.  ``k`` new rows are the paper's fresh-data loop;
    ``share`` sets the number as a multiple of n, which may exceed 1.  With ``fixed`` the same rows
    are added every time and are counted once: ``real-anchor(share=1, fixed=true)`` under replace is
    the paper's synthetic augmentation loop, n real rows and the rows of the last model.  The rows
    are drawn for this method; a method never gets the rows that generation 0 read.
    """

    k: int = param(10, "real rows added per generation", ge=1)
    fixed: bool = param(
        False, "the same real rows in every generation; false: new ones", later=True
    )
    share: float | None = param(
        None,
        "real rows added as a multiple of n, which may exceed 1, instead of k",
        gt=0,
        le=10,
        later=True,
    )

    def curate(self, corpus, access):
        k = self.k if self.share is None else max(1, round(self.share * access.n))
        return corpus + access.real(k, fixed=self.fixed)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    """k real and m synthetic rows are a mix with share k/(k + m), once the start is forgotten."""

    def limit(law, metric, k, m, fixed, T, sigma=2.0):
        act = f"real-anchor(k={k}, fixed={str(fixed).lower()})"
        spec = (
            f"gaussian(sigma={sigma}, sampler=exact-law) | gaussian-fit(ddof=0) | replace | {act} "
            f"@ n={m} T={T}"
        )
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
