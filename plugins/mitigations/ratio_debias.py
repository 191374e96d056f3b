"""Undo the teacher's part of a training set whose share of real rows is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.core.sums import Moments, Products
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.linear.centred import residual, weights_of
from collapse_bench.lib.linear.regression import LinearTeacher
from collapse_bench.registry.hookspecs import hookimpl

ESTIMATORS = ("gaussian-fit", "ols", "ridge")


@dataclass(frozen=True)
class RatioDebias(Mitigation):
    """Subtract what the previous model wrote, in expectation, from the rows of each round.

    The setting, with a share a of new real rows that nobody labels, is that of Wang, Niu and Li,
    arXiv 2602.16065; the estimator is derived here (no published form found).

    Stage: adapt; track: blind.  The method looks up no row: it uses the share a that the protocol
    states of itself, and the teacher's own parameters.  z_t = (mean of the new rows - (1 - a)
    m_{t-1})/a is unbiased, whatever the teacher's mean m_{t-1}.  The z_t with weights a^2 n_t, and
    generation 0 with weight n_0, give the recursion m_t = m_{t-1} + (a n_t/P_t) (mean of the new
    rows - m_{t-1}), P_t = n_0 + a^2 sum n_s.  Its error is sigma^2/P_t.

    Regression: the same with the residuals y - x.w_{t-1} in place of y - m_{t-1}, and the fit of
    the model to all residuals in place of their mean; so ridge shrinks towards the teacher.  A
    Gaussian with fitted covariance moves its covariance in the same way.

    The rows of the pool of ``accumulate`` that are new are known by the growth of its sums.  Under
    ``mix`` generation 0 counts as many rows as generation 1.
    """

    kinds = ("density", "regression")

    def incompatibility(self, cell):
        made, model = cell.protocol.composition, cell.model
        if made is None or made.verified or made.earlier == "sample" or not made.fresh:
            return Lacks(
                "ratio-debias needs the share of new real rows among those that a generation adds; "
                "choose mix(real=...) or accumulate(real=...)"
            )
        if not made.real:
            return Lacks(
                f"ratio-debias divides by the share of real rows, which is 0 under "
                f"{cell.protocol.title()}; choose real > 0, as in accumulate(real=0.2)"
            )
        if model.estimator not in ESTIMATORS or not model.reads_sums:
            return Lacks(
                f"ratio-debias moves the parameters of {', '.join(ESTIMATORS)}, and not those of "
                f"{model.title()}"
            )
        if cell.protocol.decode is not None or cell.first_teacher is not None:
            return (
                "ratio-debias takes generation 0 and the teacher's rows for unbiased; leave out "
                "decode and first"
            )
        if cell.data.moves:
            return (
                f"ratio-debias averages over all generations, and the truth of {cell.data.title()} "
                "moves"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_training(Debiased(access))


@dataclass(frozen=True, eq=False)
class Debiased:
    """The training that moves the parameters of the last teacher by what the new rows show.

    Memory: ``information`` is P_t; ``pool`` is the sums of all rows so far, where the protocol
    reads them again.
    """

    access: Access

    def __call__(self, model: Model, corpus: Corpus, rng: Stream, before: Teacher | None):
        access, made, kept = self.access, self.access.composition, self.access.memory
        assert made is not None  # see incompatibility
        n, grows = access.n, made.earlier == "all"
        density = model.estimator == "gaussian-fit"
        sums: Any = corpus.moments() if density else corpus.products()
        pool = None if kept is None else kept["pool"]
        earlier = sums.weight - n if grows else torch.zeros_like(sums.weight)
        known = earlier if pool is None else pool.weight
        if ((sums.weight - known - n).abs() > 1e-6 * n).any() or (earlier < 0).any():
            raise Incompatible(
                f"ratio-debias knows the share of real rows among the {n} rows that the protocol "
                "adds, and another mitigation changed their number or weight; use it without one "
                "that adds, drops or weighs rows"
            )
        if kept is not None:
            information = kept["information"]
        else:  # all rows of generation 0 are real
            information = float(earlier.flatten()[0]) if grows else float(n)
        share = round(made.real * n) / n
        information += share**2 * n
        move = _moved_density if density else _moved_regression
        teacher = move(model, sums, pool, earlier, access.teacher, share / information, rng, before)
        access.memory = {"information": information, "pool": sums if grows else None}
        return teacher


def _moved_density(
    model: Model,
    sums: Moments,
    pool: Moments | None,
    earlier: Tensor,
    teacher: Teacher,
    gain: float,
    rng: Stream,
    before: Teacher | None,
) -> Teacher:
    """The teacher moved towards the Gaussian of the new rows, by ``gain`` times their number."""
    if (earlier > 0).all():
        if pool is None:  # the rows of generation 0, to which the teacher was fitted
            mean, factor = teacher.mean_and_factor()
            size = (earlier - getattr(model, "ddof", 0))[..., None, None]
            pool = Moments(earlier, mean, size * factor @ factor.mT)
        n = sums.weight - earlier
        mean = (sums.weight[..., None] * sums.mean - earlier[..., None] * pool.mean) / n[..., None]
        gap = mean - pool.mean
        between = (
            (earlier * n / sums.weight)[..., None, None] * gap[..., :, None] * gap[..., None, :]
        )
        scatter = sums.scatter - pool.scatter - between
        # a difference of sums can fall below 0 by rounding
        scatter.diagonal(dim1=-2, dim2=-1).clamp_(min=0)
        sums = Moments(n, mean, scatter)
    new = model.fit(Corpus.of_sums(sums), rng, before)
    rows = float((sums.weight).flatten()[0])
    return teacher.blend(new, gain * rows)


def _moved_regression(
    model: Model,
    sums: Products,
    pool: Products | None,
    earlier: Tensor,
    teacher: Teacher,
    gain: float,
    rng: Stream,
    before: Teacher | None,
) -> LinearTeacher:
    """The teacher plus the fit to its residuals on new rows, with the covariance of all rows.

    Residuals of generation 0 are orthogonal to the covariates, except for the penalty of ridge.
    """
    w = weights_of(teacher, sums.xx.shape[-1], tuple(sums.weight.shape))
    left = residual(sums, w)
    if pool is not None:
        old = residual(pool, w).xy
    else:
        old = earlier[..., None] * getattr(model, "lam", 0.0) * w
    gaps = Products(left.weight, left.xx, left.xy - old, left.yy)
    step = weights_of(
        model.fit(Corpus.of_sums(gaps), rng, before), w.shape[-1], tuple(sums.weight.shape)
    )
    rows = float(sums.weight.flatten()[0])
    return LinearTeacher(w + gain * rows * step)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Squared error of a mean of known variance: exactly sigma^2 d/P_t, P_t = n_0 + a^2 sum n_s."""
    data, model = cell.data, cell.model
    if [type(act) for act in cell.mitigations] != [RatioDebias]:
        return None
    if cell.mitigations[0].incompatibility(cell) is not None or cell.n0 is not None:
        return None
    known = (data.distribution, model.estimator) == ("gaussian", "gaussian-fit")
    if not known or model.sigma != data.sigma or (data.d > 1 and data.beta):
        return None
    # under mix the method takes generation 0 for as large as generation 1
    if cell.growth and cell.protocol.composition.earlier == "none":
        return None
    curve, information = [], 0.0
    for t in range(cell.generations + 1):
        n = cell.size(t)
        information += (round(cell.protocol.real * n) / n) ** 2 * n if t else n
        curve.append(data.d * data.sigma**2 / information)
    return curve


@hookimpl
def collapse_ceilings(cell):
    """The least error of a mean of known variance, for who knows the share or the provenance.

    A real row carries the information 1/sigma^2 about the mean.  A row of unknown origin that is
    real with probability a carries a^2/sigma^2, to leading order in 1/M, since the last model is
    within O(M^-1/2) of the truth; a row that is known to be written by a known model carries none.
    So no unbiased method has a smaller error than one over the sum.  Generation 0 is a function of
    its rows, which the sum counts in full, so that who reads it as well is limited by the same sum.
    No such law holds for methods that draw real rows of their own.
    """
    data, model, made = cell.data, cell.model, cell.protocol.composition
    if (data.distribution, model.estimator) != ("gaussian", "gaussian-fit") or data.moves:
        return None
    if model.sigma != data.sigma or (data.d > 1 and data.beta):
        return None
    if made is None or made.verified or cell.protocol.decode is not None or cell.first_teacher:
        return None

    def least(power):
        curve, information = [], 0.0
        for t in range(cell.generations + 1):
            n = cell.size(t)
            # the same real rows again tell nothing new
            share = round(made.real * n) / n if made.fresh else 0.0
            information += share**power * n if t else n
            curve.append(data.d * data.sigma**2 / information)
        return curve

    share, provenance = least(2), least(1)
    return {
        "blind": share,
        "first": share,
        "provenance": provenance,
        "first+provenance": provenance,
    }


@hookimpl
def collapse_claims():
    def mean(law, a, M, t, protocol, act="", chains=8000, sampler="explicit", sigma=1.0):
        spec = (
            f"gaussian(sigma={sigma}, sampler={sampler}) | gaussian-fit(sigma={sigma}) | "
            f"{protocol}(real={a}){act} @ n={M} T={t}"
        )
        given = {"M": M, "a": a, "t": t, "sigma": sigma}
        return Claim(f"growing.{law}", given, spec, "w2", t, chains)

    def labels(protocol, d, T, a, t, chains=4000):
        spec = (
            f"linear(d={d}, sampler=exact-law) | ols | {protocol}(real={a}) | ratio-debias "
            f"@ n={T} T={t}"
        )
        given = {"d": d, "T": T, "a": a, "t": t}
        return Claim("growing.ols_share_known", given, spec, "excess_risk", t, chains)

    debias = " | ratio-debias"
    return [
        labels("accumulate", 3, 200, 0.3, 12),
        labels("mix", 3, 200, 0.3, 12),
        mean("share_known", 0.2, 20, 20, "accumulate", debias),
        mean("share_known", 0.2, 20, 20, "mix", debias),
        mean("share_known", 0.5, 10, 8, "accumulate", debias, sampler="exact-law", sigma=2.0),
        # on the track provenance: real rows only
        mean("provenance_known", 0.2, 20, 20, "accumulate", " | mix-weights(synthetic=0)"),
    ]


@hookimpl
def collapse_mitigations():
    return {"ratio-debias": RatioDebias}
