"""Weight real and synthetic rows by the golden ratio."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.laws.claims import Claim, drift_of, without_drift
from collapse_bench.lib.rows.mixing import weighed
from collapse_bench.registry.hookspecs import hookimpl


def best_weight(k: Tensor | float) -> Tensor | float:
    """(sqrt(k^2 + 4k) - k)/2, the root of w^2 + k w = k, for k > 0 real rows per synthetic row."""
    return 2 / (1 + (1 + 4 / k) ** 0.5)


@dataclass(frozen=True)
class GoldenRatio(Mitigation):
    """All real rows together get the share w of the weight (He, Xu and Cheng, arXiv 2502.18049).

    The paper: in every round fit n1 fresh real rows and n2 rows of the last model with weights w
    and 1 - w; with k = n1/n2 the best w is (sqrt(k^2 + 4k) - k)/2, which is .618 at k = 1 and .282
    at k = 1/9.  It minimises the stationary squared error of a mean, sigma^2 [w^2/n1 + (1-w)^2/n2]
    / (1 - (1-w)^2).

    Stage: curate; track: provenance.  Here k is read from the training set, chain by chain, so that
    it holds for every share of real rows, also where another method adds some.  With ``w`` it is
    one point of the curve of ``mix-weights``.
    """

    version = 2
    tunings = ({"w": 0.2}, {"w": 0.4}, {"w": 0.618})

    w: float | None = param(
        None, "share of the weight that real rows get; none: the paper's best share", gt=0, lt=1
    )

    def incompatibility(self, cell):
        made = cell.protocol.composition
        if made is None or made.earlier != "none" or not made.fresh or not 0 < made.real < 1:
            return Lacks(
                "golden-ratio weights fresh real rows against rows of the last model; it needs mix "
                "with 0 < real < 1, fresh=true"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        real = access.provenance(corpus) == 0
        if self.w is not None:
            return weighed(corpus, real, self.w)
        mass = corpus.multiplicity
        share = (mass * real).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True)
        return weighed(corpus, real, best_weight(share / (1 - share)))


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
    given, curve, q = cell.mitigations[0].w, [], drift_of(data) / data.sigma**2
    for t in range(cell.generations + 1):
        n = cell.size(t)
        n1 = round(protocol.real * n)
        if t == 0:
            curve.append(1 / n)
        elif 0 < n1 < n:
            w = best_weight(n1 / (n - n1)) if given is None else given
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
            f"golden-ratio{'' if w is None else f'(w={w})'} @ n={n} T={T}"
        )
        best = best_weight(n1 / (n - n1)) if w is None else w
        given = {"n1": n1, "n2": n - n1, "w": best, "s": s}
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
        limit(None, 40, 0.1, 20),
        limit(None, 20, 0.5, 12),
    ]


@hookimpl
def collapse_mitigations():
    return {"golden-ratio": GoldenRatio}
