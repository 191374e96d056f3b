"""Guide a diffusion away from what it would become if it trained on its own samples."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rows.wrapping import Extrapolate
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NegativeGuidance(Mitigation):
    """Score (1 + w) s_r - w s_s, where s_s is of an auxiliary model that continues from the model
    on its own samples (SIMS: Alemohammad et al., arXiv 2408.16333).

    Stage: adapt; track: blind, one more fit per generation.  What is blended is the predicted noise
    at every noise level, not the weights.  For other models than diffusions, ``neon`` does the
    same.
    """

    w: float = param(0.5, "strength of the guidance; 0: none", ge=0, le=10)
    share: float = param(1.0, "own samples, as a multiple of n", gt=0, le=100)
    tune: float = param(
        0.5, "length of the auxiliary's training, as a share of one from scratch", gt=0, le=1
    )

    def incompatibility(self, cell):
        if not cell.model.predicts_noise:
            return Lacks(
                f"negative-guidance needs a diffusion model, and {cell.model.title()} is not one; "
                "use neon instead"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        rows = max(1, round(self.share * access.n))
        return model.with_after(Extrapolate(access, self.w, rows, self.tune))


@hookimpl
def collapse_mitigations():
    return {"negative-guidance": NegativeGuidance}
