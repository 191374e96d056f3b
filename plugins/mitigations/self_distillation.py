"""Fit a student to a mixture of the labels and of its teacher's answers to the same questions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.core.sums import Products
from collapse_bench.errors import Lacks
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.linear.centred import weights_of
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class SelfDistillation(Mitigation):
    """Every model is fitted again, to (1 - xi) y + xi times its own answers on the same rows.

    Dang, Patil and Rinaldo, arXiv 2602.17565.

    Stage: adapt; track: blind.  It costs one more fit.  For ridge the student is w + xi lam
    dw/dlam, so the best xi improves the risk wherever it is not stationary in lam; xi is negative
    where lam is too large.  ``xi=null`` estimates it for ridge from the training rows, by
    generalised cross-validation: with residuals r_i = (y - x.w_i)/(1 - df_i/n) of the teacher (1)
    and of the student of xi = 1 (2), xi = r_1.(r_1 - r_2)/|r_1 - r_2|^2, in every chain and
    generation.
    """

    xi: float | None = param(
        None, "weight of the model's own answers; null: estimated, for ridge", ge=-100, le=100
    )

    kinds = ("regression",)

    def incompatibility(self, cell):
        if cell.model.estimator == "ols":
            return (
                "self-distillation changes nothing for ols, whose answers have the fit that wrote "
                "them; choose ridge"
            )
        if self.xi is None and cell.model.estimator != "ridge":
            return Lacks(
                f"self-distillation estimates xi for ridge, and not for {cell.model.title()}; give "
                "a number, as in self-distillation(xi=0.5)"
            )
        if self.xi is None and not getattr(cell.model, "lam", 1.0):
            return Lacks(
                "self-distillation estimates xi by the penalty, which is 0; choose ridge(lam=...)"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_training(Distilled(access, self.xi))


@dataclass(frozen=True, eq=False)
class Distilled:
    """The training of a teacher, and then of its student on the same rows."""

    access: Access
    xi: float | None

    def __call__(
        self, model: Model, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher:
        own = rng.at("teacher")
        teacher = self.access.fit(model, corpus, before, own)
        if model.estimator != "ridge":
            assert self.xi is not None  # see incompatibility
            answers = teacher.mean_answer(corpus.x)
            mixed = (1 - self.xi) * corpus.y.double() + self.xi * answers
            return model.fit(corpus.edited(y=mixed), rng, before)
        sums = corpus.products()
        w = weights_of(teacher, sums.xx.shape[-1], corpus.chain_shape)
        answered = (sums.xx @ w[..., None])[..., 0]
        xi: Tensor | float | None = self.xi
        if xi is None:
            pure = self.access.fit(model, _labelled(sums, answered), before, own)
            lam = model.lam  # type: ignore[attr-defined]
            xi = estimated(sums, w, weights_of(pure, w.shape[-1], corpus.chain_shape), lam)
            xi = xi[..., None]
        return model.fit(_labelled(sums, (1 - xi) * sums.xy + xi * answered), rng, before)


def _labelled(sums: Products, xy: Tensor) -> Corpus:
    """The rows with labels of which only the products with the covariates matter."""
    return Corpus.of_sums(Products(sums.weight, sums.xx, xy, sums.yy))


def estimated(sums: Products, teacher: Tensor, pure: Tensor, lam: float) -> Tensor:
    """The weight xi (R,) of the teacher's answers, by generalised cross-validation.

    teacher, pure: weights (R, d) of the teacher and of its student of xi = 1.
    """
    n = sums.weight
    values = torch.linalg.eigvalsh(sums.xx).clamp_min(0)
    kept = values / (values + lam * n[..., None])  # of the hat matrix; that of the student: squares
    shrunk = [1 - kept.pow(power).sum(-1) / n for power in (1, 2)]

    def product(a: Tensor, b: Tensor) -> Tensor:
        """Sum over rows of (y - x.a)(y - x.b), (R,)."""
        across = (a * (sums.xx @ b[..., None])[..., 0]).sum(-1)
        return sums.yy - ((a + b) * sums.xy).sum(-1) + across

    first = product(teacher, teacher) / shrunk[0] ** 2
    cross = product(teacher, pure) / (shrunk[0] * shrunk[1])
    second = product(pure, pure) / shrunk[1] ** 2
    apart = first - 2 * cross + second
    # rounding leaves nothing of the difference where the penalty does nothing
    sharp = apart > 1e-12 * first
    return torch.where(sharp, (first - cross) / apart.clamp_min(1e-300), 0.0)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def one(d, n, lam, xi, beta=0.0, src=0.0, s=0.5, sampler="exact-law", best=False):
        """All rows of generation 1 are real under mix(real=1).  With ``best`` the law finds xi."""
        given = {"d": d, "n": n, "lam": lam, "xi": None if best else xi}
        given |= {"beta": beta, "src": src, "s": s}
        spec = (
            f"linear(d={d}, noise={s}, beta={beta}, source={src}, sampler={sampler}) | "
            f"ridge(lam={lam}) | mix(real=1) | self-distillation(xi={xi}) @ n={n} T=1"
        )
        return Claim("gains.self_distilled", given, spec, "excess_risk", 1, 400)

    return [
        one(100, 200, 0.05, 1.0, s=1.0),
        one(100, 200, 0.05, 3.293, s=1.0, best=True),
        one(100, 300, 1.0, -2.0),
        one(100, 150, 0.01, 0.773, beta=1.0, src=0.5, best=True),
        one(100, 80, 0.1, 0.5, beta=0.5, sampler="explicit"),
    ]


@hookimpl
def collapse_mitigations():
    return {"self-distillation": SelfDistillation}
