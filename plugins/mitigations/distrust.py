"""Discount rows by how far they are from real data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Distrust(Mitigation):
    """Weight decay^age for a row of this age (folklore, no single paper).

    Stage: curate; track: provenance.  A real row has age 0, a synthetic row 1 + the mean age of
    what its teacher read under the weights given here.  So the age of the rows of a teacher that
    reads real rows too settles, at 1/w where real rows get the share w of the weight; counted in
    generations it would grow for ever, and the rows would soon weigh nothing.

    Rows of one age have equal weights, so it has no effect under ``replace``, and none with
    decay=1.  Under ``mix`` it is one point of the curve of ``mix-weights`` in every generation.
    Weights are rescaled to the effective sample size.
    """

    version = 2
    tunings = ({"decay": 0.8}, {"decay": 0.9}, {"decay": 0.97})

    decay: float = param(0.5, "factor on the weight per unit of age", gt=0, le=1)

    def curate(self, corpus, access):
        origin = access.provenance(corpus)
        known = access.memory  # (R, G): the mean age of rows whose origin is 0 .. G - 1
        if known is None:
            known = torch.zeros(*corpus.chain_shape, 2, dtype=torch.float64, device=origin.device)
            known[..., 1] = 1.0
        # a protocol may date rows later than this method has seen: one unit per generation
        later = max(0, int(origin.max()) + 1 - known.shape[-1])
        beyond = known[..., -1:] + torch.arange(1, later + 1, device=origin.device)
        age = torch.cat([known, beyond], -1).gather(-1, origin)
        read = corpus.reweighted(self.decay**age)
        mass = read.multiplicity
        mean = (mass * age).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True).clamp_min(1e-300)
        access.memory = torch.cat([known, 1 + mean], -1)
        return read


@hookimpl
def collapse_mitigations():
    return {"distrust": Distrust}
