"""Select equal quotas of every class from a larger pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Unsupported
from collapse_bench.lib.rows.mixing import placed, rows_in
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class StarQuotas(Mitigation):
    """Draw rows of each label up to an equal quota, from the training set and new synthetic rows.

    Algorithmic reparation of Wyllie et al., arXiv 2403.07857: from a batch and a budget of further
    generated rows, each training batch gets equal quotas of every class and group; what rare ones
    leave open is filled with random other rows.

    The groups of the paper are labels here, and the quotas are those of the whole training set.  It
    repairs a minority, as of ``digits(minority=0.02)``; where classes are balanced there is nothing
    to repair.

    Stage: curate; track: blind, at the cost of the generated rows.  Symbols of a heavy-tailed
    distribution are not groups: equal quotas would make it uniform.
    """

    oversample: float = param(
        2.0, "rows to choose from, as a multiple of the rows read", ge=1, le=1000
    )

    kinds = ("classification",)
    tunings = ({"oversample": 4.0}, {"oversample": 8.0})

    def curate(self, corpus, access):
        if corpus.labels is None:
            raise Unsupported("star-quotas needs data that declare their number of classes")
        n = rows_in(corpus)
        more = round((self.oversample - 1) * n)
        pool = corpus + access.synthetic(more) if more else corpus
        # shuffled, so that rows of the training set have no priority
        order = access.rng.permutation(pool.n)
        mass, label = placed(pool.multiplicity, order), placed(pool.y, order)
        total = corpus.multiplicity.sum(-1, keepdim=True)
        classes = torch.arange(corpus.labels, device=label.device)[:, None]
        by_class = mass[..., None, :] * (label[..., None, :] == classes)  # (R, C, N)
        taken = _filled(by_class, total[..., None] / corpus.labels).sum(-2)
        taken = taken + _filled(mass - taken, total - taken.sum(-1, keepdim=True))
        share = torch.zeros_like(taken).scatter(-1, order, taken / mass.clamp_min(1e-300))
        return pool.weighted(pool.weight * share)


def _filled(mass: Tensor, quota: Tensor) -> Tensor:
    """The amount taken of each row (..., N), in order, until the quota (..., 1) is full."""
    before = mass.cumsum(-1) - mass
    return torch.minimum((quota - before).clamp_min(0), mass)


@hookimpl
def collapse_mitigations():
    return {"star-quotas": StarQuotas}
