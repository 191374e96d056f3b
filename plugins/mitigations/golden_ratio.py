"""Weight real and synthetic rows by the golden ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.laws.claims import Claim, drift_of, without_drift
from collapse_bench.lib.rows.mixing import weighed
from collapse_bench.registry.hookspecs import hookimpl

GOLDEN = (math.sqrt(5) - 1) / 2  # 0.618, the root of w^2 + w = 1


@dataclass(frozen=True)
class GoldenRatio(Mitigation):
    """All real rows together get the share w of the weight (He, Xu and Cheng, arXiv 2502.18049).

    Stage: curate; track: provenance.  With equally many fresh real and synthetic rows, the
    stationary mean squared error of a mean is sigma^2 [w^2/n1 + (1-w)^2/n2] / (1 - (1-w)^2).  Its
    minimum is at w = 0.618, the root of w^2 + w = 1.
    """

    w: float = param(GOLDEN, "share of the weight that real rows get", gt=0, lt=1)

    def incompatibility(self, cell):
        made = cell.protocol.composition
        if made is None or not made.fresh or not 0 < made.real < 1:
            return Lacks(
                "golden-ratio weights fresh real rows against synthetic ones; it needs mix with 0 "
                "< real < 1, fresh=true"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        return weighed(corpus, access.provenance(corpus) == 0, self.w)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Squared error of a mean of known variance, by a recursion from the second fit on.

    e' = w^2 s^2/n1 + (1 - w)^2 (e + q + s^2/n2), with q the drift of the truth.

    The first fit reads n1 + n2 real rows, which have equal weights.
    """
    data, model, protocol = cell.data, cell.model, cell.protocol
    if [type(act) for act in cell.mitigations] != [GoldenRatio] or cell.mitigations[
        0
    ].incompatibility(cell) is not None:
        return None
    if (without_drift(data).distribution, model.estimator) != ("gaussian", "gaussian-fit"):
        return None
    if model.sigma != data.sigma:
        return None
    if (data.d > 1 and data.beta) or protocol.decode is not None or cell.first_teacher is not None:
        return None
    w, curve, q = cell.mitigations[0].w, [], drift_of(data) / data.sigma**2
    for t in range(cell.generations + 1):
        n = cell.size(t)
        n1 = round(protocol.real * n)
        if t == 0:
            curve.append(1 / n)
        elif 0 < n1 < n:
            curve.append(w**2 / n1 + (1 - w) ** 2 * (curve[-1] + q + 1 / (n - n1)))
        else:  # all rows are real
            curve.append(1 / n if n1 else curve[-1] + q + 1 / n)
    return [data.d * data.sigma**2 * error for error in curve]


@hookimpl
def collapse_claims():
    def limit(w, n, real, T, s=1.0, chains=8000):
        n1 = round(real * n)
        spec = (
            f"gaussian(sigma={s}) | gaussian-fit(sigma={s}) | mix(real={real}) | "
            f"golden-ratio(w={w}) @ n={n} T={T}"
        )
        given = {"n1": n1, "n2": n - n1, "w": w, "s": s}
        return Claim("gaussian.weighted_mean_limit", given, spec, "w2", T, chains)

    def drifting(w, q, n, real, T, s=1.0):
        n1 = round(real * n)
        spec = (
            f"gaussian(sigma={s}, drift={q}) | gaussian-fit(sigma={s}) | mix(real={real}) | "
            f"golden-ratio(w={w}) @ n={n} T={T}"
        )
        given = {"n1": n1, "n2": n - n1, "w": w, "t": T, "q": q, "s": s}
        return Claim("worlds.weighted_e", given, spec, "w2", T, 4000)

    return [
        drifting(0.3658817, 0.01, 100, 0.1, 60),  # the best weight there
        drifting(0.5, 0.3, 20, 0.25, 3, 2.0),
        limit(0.1, 20, 0.5, 60),
        limit(0.3, 20, 0.5, 25),
        limit(0.618, 20, 0.5, 12),
        limit(0.9, 20, 0.5, 8),
        limit(0.4, 30, 0.2, 20, s=2.0),
    ]


@hookimpl
def collapse_mitigations():
    return {"golden-ratio": GoldenRatio}
