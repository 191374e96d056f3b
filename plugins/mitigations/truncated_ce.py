"""Learn nothing from a token that the model already foretells."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.distributions.objectives import ReplacesLoss, Truncated
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TruncatedCE(ReplacesLoss):
    """Cross-entropy whose loss is 0 where p(label) > p, averaged over all labels or tokens (ForTIFAI: Shabgahi et al., arXiv
    2509.08972).

    Moment: adapt; track: blind.  A model is surest of what models before it wrote, so that such rows stop teaching.  Of a
    table of probabilities it caps what is likeliest at p.
    """

    p: float = param(
        0.99, "probability beyond which a label is no longer learnt; 1: all are", ge=0.5, le=1
    )

    @property
    def objective(self):
        return Truncated(self.p)


@hookimpl
def collapse_mitigations():
    return {"truncated-ce": TruncatedCE}
