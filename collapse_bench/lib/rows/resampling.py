"""Draw rows anew by weight, without replacement, as a number of copies of each.

Every copy runs a race: it arrives after an exponential time whose rate is its weight, and the first to arrive are taken
(Efraimidis and Spirakis 2006; the same as the largest log weights with Gumbel noise).
Shapes: ``R`` replicates in front, ``n`` rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.corpus import Corpus
from ...core.rng import Stream

HALVINGS = 45  # of a range of 860 in the logarithm of time


def raced(corpus: Corpus, log_weight: Tensor, share: float, rng: Stream, copies: int = 1) -> Tensor:
    """How many of the ``copies`` of each row are taken, (R, n) float64, when ``share`` times as many as there are rows win.

    Rows of weight 0 are absent, and never taken.  Of rows that stand for many identical ones, each runs for itself; what is
    told then is the mean number that arrive in time, per row.
    """
    count = corpus.count * (corpus.weight > 0)
    quota = (
        (share * count.sum(-1, keepdim=True))
        .round()
        .clamp_max(copies * count.sum(-1, keepdim=True))
    )
    log_weight = (log_weight - log_weight.amax(-1, keepdim=True)).masked_fill(
        count == 0, -torch.inf
    )
    single = (count <= 1).all(-1, keepdim=True)
    if not single.any():
        return copies * _arrived(log_weight, copies * count, quota)
    drawn = _first(log_weight[..., None] + rng.gumbel(corpus.n, copies), quota)
    if single.all():
        return drawn
    return torch.where(single, drawn, copies * _arrived(log_weight, copies * count, quota))


def _first(speed: Tensor, quota: Tensor) -> Tensor:
    """How many of ``speed (R, n, copies)`` are among the ``quota (R, 1)`` largest, (R, n)."""
    flat = speed.flatten(-2)
    rank = flat.argsort(-1, descending=True).argsort(-1)
    return ((rank < quota) & (flat > -torch.inf)).reshape(speed.shape).double().sum(-1)


def _arrived(log_weight: Tensor, many: Tensor, quota: Tensor) -> Tensor:
    """Share of each row's ``many (R, n)`` runners that has arrived when ``quota`` have: 1 - exp(-time weight)."""
    low, high = (
        torch.full_like(quota, -60.0, dtype=torch.float64),
        torch.full_like(quota, 800.0, dtype=torch.float64),
    )

    def share(log_time: Tensor) -> Tensor:
        return -torch.expm1(-torch.exp(log_time + log_weight))

    for _ in range(HALVINGS):
        middle = (low + high) / 2
        early = (many * share(middle)).sum(-1, keepdim=True) < quota
        low, high = torch.where(early, middle, low), torch.where(early, high, middle)
    return share(high)
