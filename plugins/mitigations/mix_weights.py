"""Weigh each real row by one number and each synthetic row by another."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class MixWeights(Mitigation):
    """Sample weights of single-step mixing (Dohmatob et al., arXiv 2410.04840).

    Moment: curate; track: provenance.  Where all rows are of one sort, as under replace, it changes nothing.  Only the
    ratio matters to a model whose loss is a mean over weights: with shares p1 and p2 of the rows, ridge then minimises
    (1/n) sum a_i (y_i - x_i.w)^2 + lam |w|^2 with a = real/c or synthetic/c, c = p1 real + p2 synthetic.  However many
    rows there are, an error c2 of the synthetic labels leaves (a2 p2)^2 c2: no weight but 0 removes it.
    """

    real: float = param(1.0, "weight of a real row", ge=0)
    synthetic: float = param(0.5, "weight of a synthetic row", ge=0)

    def __post_init__(self):
        super().__post_init__()
        if not self.real and not self.synthetic:
            raise UsageError("mix-weights: real or synthetic must be positive, else no row counts")

    @property
    def row_weights(self):
        return self.real, self.synthetic

    def curate(self, corpus, access):
        return corpus.reweighted(
            torch.where(access.provenance(corpus) == 0, self.real, self.synthetic)
        )


@hookimpl
def collapse_mitigations():
    return {"mix-weights": MixWeights}
