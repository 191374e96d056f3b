"""Averages of the fitted teacher with that of generation 0: a curve from `none` to `frozen`."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Interpolate, no_average
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class KeepFirst(Mitigation):
    """theta <- (1 - a) theta_t + a theta_0, in the model's own parameters.

    a = 0 is `none` and a = 1 is `frozen`.  A method that holds its models near generation 0, such
    as weight-averaging or anchor, must beat the best point of this curve.  It needs a model whose
    fits can be averaged, also at a = 1.  Where a flawed source teaches generation 0, its student is
    the first teacher.
    """

    a: float = param(0.5, "weight of generation 0", ge=0, le=1)

    control = True

    def incompatibility(self, cell):
        return super().incompatibility(cell) or no_average(self.title(), cell.model)

    def adapt(self, model, access):
        first = access.first
        if first is None:
            return model
        if self.a == 1:  # an average of Gaussians equals the second one up to rounding only
            first.blend(first, 0.0)  # refuses what cannot be averaged, as every other a does
            return model.with_training(lambda model, corpus, rng, before: first)
        return model.with_after(Interpolate(first, self.a))


@hookimpl
def collapse_mitigations():
    return {"keep-first": KeepFirst}
