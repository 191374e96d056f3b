"""Limit the weight of synthetic rows to a multiple of that of real rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.rows.mixing import unmixed, weighed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RatioCap(Mitigation):
    """Total weight of synthetic rows at most lam times that of real ones.

    The paper (Bertrand et al., arXiv 2310.00429): every round continues from the last weights on
    the n real rows and lam n synthetic ones; the truth is locally stable if lam (1 + L eps / alpha)
    < 1/2, so lam above 1/2 is unsafe for every model error eps.  Here the rows are those of the
    protocol and the weights set the ratio, since a method cannot ask for the real rows of others.

    Stage: curate; track: provenance.  A training set with enough real rows stays unchanged;
    elsewhere it is one point of the curve of ``mix-weights``, w = 1/(1 + lam).
    """

    tunings = ({"lam": 1.0}, {"lam": 2.0}, {"lam": 4.0})

    lam: float = param(0.5, "largest weight of synthetic rows relative to real ones", gt=0)

    def incompatibility(self, cell):
        return unmixed(cell, self.title()) or super().incompatibility(cell)

    def curate(self, corpus, access):
        real = access.provenance(corpus) == 0
        mass = corpus.multiplicity
        share = (mass * real).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True)
        least = 1 / (1 + self.lam)
        capped = weighed(corpus, real, least).weight
        return corpus.weighted(torch.where((share > 0) & (share < least), capped, corpus.weight))


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def limit(lam, n, real, T, chains=8000):
        n1 = round(real * n)
        spec = (
            f"gaussian | gaussian-fit(sigma=1) | mix(real={real}) | ratio-cap(lam={lam}) @ n={n} "
            f"T={T}"
        )
        return Claim(
            "gaussian.weighted_mean_limit",
            {"n1": n1, "n2": n - n1, "w": 1 / (1 + lam)},
            spec,
            "w2",
            T,
            chains,
        )

    return [limit(0.5, 20, 0.5, 10), limit(1.0, 40, 0.1, 15)]


@hookimpl
def collapse_mitigations():
    return {"ratio-cap": RatioCap}
