"""Fit the synthetic rows first, then the real ones, starting from the first fit."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Model, Teacher, has_method
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Lacks
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.linear.centred import fit_about
from collapse_bench.lib.rows.mixing import unmixed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TwoStage(Mitigation):
    """A fit to the synthetic rows, then one to the real rows that starts there (OpenReview
    ayBfYBks0U; the mixture is that of Dohmatob et al., arXiv 2410.04840).

    Stage: adapt; track: provenance.  Ridge: the second fit minimises the mean squared error on real
    rows + lam |w - c|^2, where c is the first fit.  The centre replaces the signal by w1 - c, the
    difference of the labellers, so synthetic rows help as far as they are closer to the truth than
    0 is, and their error leaves no floor.  Models that are trained by steps continue from the first
    fit, for the share ``steps`` of a training.  It costs one more fit.  A generation whose rows
    are all real, or all synthetic, is fitted as without the method.
    """

    lam: float | None = param(
        None, "penalty of the second fit, for ridge; null: that of the model", gt=0
    )
    steps: float = param(1.0, "second training, as a share of the first", gt=0, le=100)

    tunings = ({"lam": 0.1}, {"lam": 0.3, "steps": 0.3}, {"lam": 1.0, "steps": 0.1})

    def incompatibility(self, cell):
        model = cell.model
        if model.estimator != "ridge" and not has_method(model, "with_start"):
            return Lacks(
                f"two-stage starts the second fit at the first one, and {model.title()} solves for "
                "a minimum that does not depend on a start; choose ridge or a model that is "
                "trained by steps with with_start"
            )
        if cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return Lacks(
                "two-stage separates real from synthetic rows, and sampler=exact-law draws only "
                "their sums; choose sampler=explicit"
            )
        return unmixed(cell, self.title()) or super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_training(InTwoStages(access, self.lam, self.steps))


@dataclass(frozen=True, eq=False)
class InTwoStages:
    """The training on synthetic rows, then on real ones."""

    access: Access
    lam: float | None
    steps: float

    def __call__(
        self, model: Model, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher:
        real = self.access.provenance(corpus) == 0
        # a chain without rows of one kind has nothing to start from, or nothing to end at
        if not (real.any(-1) & ~real.all(-1)).all():
            return model.fit(corpus, rng, before)
        synthetic, rest = (corpus.weighted(corpus.weight * kind) for kind in (~real, real))
        first = self.access.fit(model, synthetic, before)
        if model.estimator != "ridge":
            return model.with_start(first, self.steps).fit(rest, rng, before)
        second = model if self.lam is None else model.with_parameters(lam=self.lam)
        return fit_about(first, second, rest, rng, before)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def one(n, lam, lam2, p2, c2, beta=0.0, src=0.0, s=1.0, s2=None, chains=400):
        given = {"d": 100, "n": n, "lam": lam, "p2": p2, "lam2": lam2, "c2": c2, "s1": s}
        given |= {"s2": s if s2 is None else s2, "beta": beta, "src": src}
        spec = (
            f"linear(d=100, noise={s}, beta={beta}, source={src}) | ridge(lam={lam}) | "
            f"mix(real={round(1 - p2, 9)}) | two-stage(lam={lam2}) @ n={n} T=0 "
            f"first=linear-surrogate(c2={c2}, noise={given['s2']})"
        )
        return Claim("gains.two_stage", given, spec, "excess_risk", 0, chains)

    return [
        one(2000, 0.02, 0.7, 0.75, 0.25, chains=200),
        one(400, 0.05, 0.1, 0.5, 0.5),
        one(400, 0.05, 0.02, 0.5, 1.0, beta=1.0, src=0.5, s=0.5, s2=0.2),
    ]


@hookimpl
def collapse_mitigations():
    return {"two-stage": TwoStage}
