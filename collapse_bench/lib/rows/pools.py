"""Draws from a finite pool without repetition."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...core.rng import Stream


def deal(n: int, pool: int, rng: Stream) -> Tensor:
    """``n`` indices below ``pool``, (R, n) int64, in passes without repetition.

    The first k indices do not depend on n.
    """
    return torch.cat(list(_passes(n, pool, rng)), -1)


def _passes(n: int, pool: int, rng: Stream) -> Iterator[Tensor]:
    for done in range(0, max(n, 1), pool):
        u, many = rng.uniform(pool), min(pool, n - done)
        # The indices of the smallest uniform numbers, in order.  A full sort is faster when most of
        # the pool is needed, topk when only a few are.
        yield (
            u.argsort(-1)[..., :many]
            if 4 * many > pool
            else u.topk(many, -1, largest=False).indices
        )
