"""Keep the best part of the rows, by weight: nobody deletes rows.

Shapes: ``R`` replicates in front, ``n`` rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .corpus import Corpus


def best(corpus: Corpus, score: Tensor, quota: Tensor | float) -> Tensor:
    """The share of each row (R, n), in [0, 1], that is kept when rows of the highest ``score (R, n)`` fill the quota.

    ``quota``: how much multiplicity is kept, a number or (R, 1).  Rows arrive in random order and the sort is stable,
    so ties fall at random; of identical rows that stand as one with a count, the part that just fills the quota is kept.
    """
    mass = corpus.multiplicity
    order = score.sort(dim=-1, descending=True, stable=True).indices
    ranked = mass.gather(-1, order)
    before = ranked.cumsum(-1) - ranked
    kept = torch.minimum((quota - before).clamp_min(0), ranked) / ranked.clamp_min(1e-300)
    return torch.zeros_like(kept).scatter(-1, order, kept)


def keep_best(corpus: Corpus, score: Tensor, share: float) -> Corpus:
    """The corpus with the highest-scoring ``share`` of its rows left, by weight."""
    quota = (share * corpus.multiplicity.sum(-1, keepdim=True)).round()
    return corpus.weighted(corpus.weight * best(corpus, score, quota))
