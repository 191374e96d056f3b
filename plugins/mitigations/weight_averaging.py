"""Average the weights of every model with those of generation 0."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Interpolate, no_average
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class WeightAveraging(Mitigation):
    """theta <- (1 - a) theta_t + a theta_0, in the model's own parameters.

    The paper (Wortsman et al., arXiv 2109.01903): fine-tune a model once and average its weights
    with those before.  Here the average is taken in every generation, with generation 0, and the
    averaged model writes the next rows.  It is also the pull to the starting point of Li,
    Grandvalet and Davoine (arXiv 1802.01483), with the penalty a / (1 - a) |theta - theta_0|^2 on
    the loss |theta - theta_t|^2; ``anchor`` pulls with rows of generation 0 instead.

    Stage: adapt; track: first.  Generation 0 has to be kept.  Under replace the squared error of a
    mean of known variance stays below e_0 / (a (2 - a)), where e_0 is that of one fit (derived
    here), instead of growing by e_0 per generation.  Generation 0 itself is left as it is, also
    where a flawed source teaches it.
    """

    tunings = ({"a": 0.1}, {"a": 0.25}, {"a": 0.9})

    a: float = param(0.5, "weight of generation 0", ge=0, le=1)

    def incompatibility(self, cell):
        return super().incompatibility(cell) or no_average(self.title(), cell.model)

    def adapt(self, model, access):
        if access.first is None:
            return model
        return model.with_after(Interpolate(access.first, self.a))


@hookimpl
def collapse_mitigations():
    return {"weight-averaging": WeightAveraging}
