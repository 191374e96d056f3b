"""Move away from what the model would become if it trained on its own samples."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.wrapping import Extrapolate
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Neon(Mitigation):
    """theta <- (1 + w) theta_r - w theta_s, where theta_s is theta_r tuned on its own samples.

    The paper (Alemohammad et al., arXiv 2510.03597): one correction of a finished image model, from
    which nothing is learnt.  Here every generation is corrected and writes the rows of the next.

    Stage: adapt; track: blind, one more fit per generation.  Samples are drawn through the
    protocol's biased sampler (``decode``), where it has one.  A sampler that shrinks a covariance
    Sigma to lambda Sigma then leaves (1 + w (1 - lambda)) Sigma; an unbiased one leaves only the
    noise of the tune.  A model that solves for its minimum is fitted again from scratch.  A network
    continues from its weights, where its teachers can be blended.
    """

    version = 2
    tunings = ({"w": 0.1}, {"w": 0.25}, {"w": 1.0})

    w: float = param(0.5, "how far it moves away from its own copy; 0: not at all", ge=0, le=10)
    share: float = param(1.0, "own samples, as a multiple of n", gt=0, le=100)
    tune: float = param(
        0.1,
        "length of the tuning, as a share of a full training, for models trained step by step",
        gt=0,
        le=1,
    )

    def incompatibility(self, cell):
        if cell.model.predicts_noise:
            return Lacks(
                f"neon blends weights, and {cell.model.title()} blends predicted noise; choose "
                "negative-guidance"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        rows = max(1, round(self.share * access.n))
        return model.with_after(Extrapolate(access, self.w, rows, self.tune))


@hookimpl
def collapse_mitigations():
    return {"neon": Neon}
