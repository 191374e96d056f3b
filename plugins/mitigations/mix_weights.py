"""One weight for real rows and another for synthetic rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class MixWeights(Mitigation):
    """One weight for all real rows and another for all synthetic ones.

    The paper (Dohmatob et al., arXiv 2410.04840): fit a mixture of n1 real and n2 synthetic rows
    once, each kind with its weight, and ask which weights leave no floor at n -> infinity.  Here
    the same weights hold in every generation.

    Stage: curate; track: provenance.  It is the control of all methods that weigh real rows against
    synthetic ones: under ``mix(real=p)`` the ratio real/synthetic gives real rows the share w = p
    real / (p real + (1 - p) synthetic) of the weight, and every choice of ``golden-ratio``,
    ``ratio-cap`` and, generation by generation, ``distrust`` is a point of this curve.  They add
    the rule that picks the point.

    It has no effect if all rows are of one kind, as under replace.  Only the ratio matters for a
    model whose loss is a weighted mean: with shares p1 and p2 of the rows, ridge minimises (1/n)
    sum a_i (y_i - x_i.w)^2 + lam |w|^2 with a = real/c or synthetic/c, c = p1 real + p2 synthetic.
    At any number of rows, an error c2 of the synthetic labels leaves (a2 p2)^2 c2; only weight 0
    removes it.
    """

    version = 2
    tunings = ({"synthetic": 0.8}, {"synthetic": 0.25}, {"synthetic": 0.1})

    real: float = param(1.0, "weight of a real row", ge=0)
    synthetic: float = param(0.5, "weight of a synthetic row", ge=0)

    def __post_init__(self):
        super().__post_init__()
        if not self.real and not self.synthetic:
            raise UsageError(
                "mix-weights: real or synthetic must be positive, else all rows have weight 0"
            )

    @property
    def row_weights(self):
        return self.real, self.synthetic

    def curate(self, corpus, access):
        both = torch.tensor([self.real, self.synthetic], dtype=torch.float64)
        written = (access.provenance(corpus) > 0).long()
        return corpus.reweighted(both.to(written.device)[written])


@hookimpl
def collapse_mitigations():
    return {"mix-weights": MixWeights}
