"""Generalised linear models with sampled labels: generations pass on labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from collapse_bench.core.components import ACCUMULATE, REPLACE, DataGenerator
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.linear.glm import FAMILIES, GLMTeacher
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import regression

EXAM = 2048  # test questions for a teacher that is not a generalised linear model
NODES = 96  # of the Gauss-Hermite rule
EDGE = 1e-6  # means outside the family are cut this far inside it, in the loss


@dataclass(frozen=True)
class GLM(DataGenerator):
    """Labels y ~ Bernoulli(sigmoid(x.w)) or Poisson(e^(x.w)), x ~ N(0, I).  x (R, n, d), y (R, n).

    A teacher answers with the mean of a label, and the data generator samples the label from it,
    so students read sampled labels of every teacher.  For each seed w has a random direction and
    |w|^2 = ``signal``, the variance of x.w; ``truth_is=fixed`` uses the same coordinate for all.

    Loss ``kl``: E KL(true label | teacher's label) over the distribution of x, in nats.  For a
    teacher that is a generalised linear model of the same family it is exact (a Gauss-Hermite
    rule of 96 nodes in one dimension); for any other teacher a mean over 2048 fixed questions, with
    means cut 1e-6 inside the family.  Diagnostics of such a teacher: ``signal_variance`` |w|^2.
    """

    labels_are: Literal["bernoulli", "poisson"] = param("bernoulli", "distribution of a label")
    d: int = param(5, "number of covariates", ge=1, le=10_000)
    signal: float = param(1.0, "variance of the predictor x.w", ge=0, le=16)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "direction of w random per seed, or fixed")

    kind = "regression"
    family = "regression"
    distribution = "glm"
    primary = "kl"

    @property
    def family_of_labels(self) -> str:
        """The family that a model of the labels must have."""
        return self.labels_are

    def sample_truth(self, rng, nature=None):
        z = torch.ones(*rng.chain_shape, self.d, dtype=torch.float64, device=rng.device)
        if self.truth_is == "drawn":
            z = rng.at("w").normal(self.d).double()
        w = math.sqrt(self.signal) * z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        return self.with_truth(teacher=GLMTeacher(w, self.labels_are))

    def ask(self, n, rng):
        return rng.normal(n, self.d).double()

    def mean_answer(self, x):
        return self.truth.teacher.mean_answer(x)

    def answer(self, x, rng):
        return self.mean_answer(x)

    def observe(self, y, rng):
        return FAMILIES[self.labels_are].sampled(y, rng)

    def trivial(self):
        """Zero weights: the mean label 1/2 (bernoulli) or 1 (poisson) for every question."""
        return GLMTeacher(torch.zeros_like(self.truth.teacher.w), self.labels_are)

    def losses(self, teacher, rng):
        found = self._same(teacher)
        if found is not None:
            return {"kl": _divergence(self.labels_are, self.truth.teacher.w, found.w)}
        family, x = FAMILIES[self.labels_are], self.ask(EXAM, rng)
        right, mean = (
            value.double().clamp(family.low + EDGE, family.high - EDGE)
            for value in (self.mean_answer(x), teacher.mean_answer(x))
        )
        kl = right * (right / mean).log()
        if self.labels_are == "bernoulli":
            kl = kl + (1 - right) * ((1 - right) / (1 - mean)).log()
        else:
            kl = kl - right + mean
        return {"kl": kl.mean(-1)}

    def diagnostics(self, teacher):
        found = self._same(teacher)
        return {} if found is None else {"signal_variance": (found.w**2).sum(-1)}

    def _same(self, teacher) -> GLMTeacher | None:
        """The generalised linear model of this family that a teacher is, if it is one."""
        if teacher is self:
            return self.truth.teacher
        same = isinstance(teacher, GLMTeacher) and teacher.family == self.labels_are
        return teacher if same else None


def _divergence(family: str, w: Tensor, v: Tensor) -> Tensor:
    """E KL (R,) between labels with weights w and with weights v, both (R, d), over x ~ N(0, I).

    KL = A(x.v) - A(x.w) - A'(x.w)(x.v - x.w); by Stein's lemma E A'(x.w)(x.v - x.w) = (w.v - |w|^2)
    E A''(x.w), so every term is an integral in one dimension.
    """
    rule, (nodes, weights) = FAMILIES[family], np.polynomial.hermite_e.hermegauss(NODES)
    z, share = (torch.as_tensor(part, dtype=w.dtype, device=w.device) for part in (nodes, weights))
    share = share / share.sum()

    def over(f, size: Tensor) -> Tensor:
        return (f(size[..., None] * z) * share).sum(-1)

    square, other = (w**2).sum(-1), (v**2).sum(-1)
    if family == "poisson":  # the moments of a log-normal variable, for any size
        top, bottom, bend = (other / 2).exp(), (square / 2).exp(), (square / 2).exp()
    else:
        top, bottom = (over(rule.log_partition, part.sqrt()) for part in (other, square))
        bend = over(rule.variance, square.sqrt())
    return (top - bottom - ((w * v).sum(-1) - square) * bend).clamp_min(0.0)


# -- laws ------------------------------------------------------------------------------------------

ENOUGH = 50  # rows per dimension and fit from which on the leading order is accurate
UNPENALISED = 1e-6  # a larger penalty shifts the fit
STEEP = 1.0  # up to this variance of the predictor the leading order was compared with measurements


@hookimpl
def collapse_theory(cell):
    """E KL of each generation to leading order in d/n, under replace, accumulate and fresh mix.

    NaN from the generation on in which the errors of all fits add up to more than the leading order
    holds for.
    """
    data, made = cell.data, cell.protocol.composition
    if not isinstance(data, GLM) or cell.model.estimator != "glm" or made is None:
        return None
    acts = [act for act in cell.mitigations if not act.control]
    altered = (
        cell.growth or cell.first_teacher or cell.protocol.decode or (acts and not cell.nature)
    )
    if altered or cell.model.lam > UNPENALISED or data.signal > STEEP:
        return None
    law = _law(cell, made)
    if law is None:
        return None
    most = 1 / (2 * ENOUGH)  # E KL = (fits) d/(2 n)
    values = [law(t) for t in range(cell.generations + 1)]
    return [value if value <= most else math.nan for value in values]


def _law(cell, made):
    """generation -> E KL, or None for compositions without a law."""
    d, n, recent = cell.data.d, cell.n, made.fresh and made.earlier == "none"
    if cell.nature:
        return (lambda t: regression.glm_replace(d, n, 1)) if recent else None
    if made == REPLACE:
        return lambda t: regression.glm_replace(d, n, t + 1)
    if made == ACCUMULATE:
        return lambda t: regression.glm_accumulate(d, n, t + 1)
    if recent and 0 < made.real < 1 and not made.verified:
        pi = round(made.real * n) / n
        return lambda t: regression.glm_mix_fresh(d, n, pi, t)
    return None


@hookimpl
def collapse_claims():
    # The error of four weights has a standard deviation of 0.7 means, so 1000 chains detect 15 %.
    # One of five rounds of replace is 20 %, one dimension of four 25 %, equal weights in place of
    # 0.9 and 0.1 are 20 %, and the last batch without the earlier ones has over three times the
    # error of all five.
    def claim(law, given, spec, t):
        return Claim(f"regression.{law}", given, spec, "kl", t, chains=1000)

    def cell(labels, protocol, n, t, d=4):
        world = f"glm(labels_are={labels}, d={d})"
        return f"{world} | glm-fit(family={labels}) | {protocol} @ n={n} T={t}"

    found = []
    for labels in FAMILIES:
        for k in (1, 5):
            given = {"d": 4, "n": 1000, "k": k}
            found.append(claim("glm_replace", given, cell(labels, "replace", 1000, 4), k - 1))
        given = {"d": 4, "n": 500, "k": 5}
        found.append(claim("glm_accumulate", given, cell(labels, "accumulate", 500, 4), 4))
        given = {"d": 4, "n": 1000, "pi": 0.5, "t": 3}
        found.append(claim("glm_mix_fresh", given, cell(labels, "mix(real=0.5)", 1000, 3), 3))
        spec = cell(labels, "mix(real=0.5) | mix-weights(real=1.8, synthetic=0.2)", 1000, 3)
        found.append(claim("glm_mix_fresh", {**given, "w": 0.9}, spec, 3))
    return found


@hookimpl
def collapse_generators():
    return {"glm": GLM}
