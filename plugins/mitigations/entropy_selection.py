"""Select rows far from one another, so that the selection has high entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.lib.rows.mixing import rows_in
from collapse_bench.lib.rows.neighbours import BUDGET, comparable
from collapse_bench.lib.rows.selection import best, numbers
from collapse_bench.registry.hookspecs import hookimpl

TINY = 1e-9  # a threshold below this share of the largest distance passes every row


@dataclass(frozen=True)
class EntropySelection(Mitigation):
    """Select n rows far from one another from the pool of all rows so far.

    Shi et al., arXiv 2509.16499: the training set of a generation is selected from all rows that
    accumulated, so that its nearest-neighbour estimate of the entropy is large.  Greedy Selection
    (``rule=greedy``): starting from one row, add the row farthest from all selected ones.
    Threshold Decay Filter (``rule=threshold``): pass through the pool and add every row farther
    than a threshold from all selected ones; lower the threshold by the factor ``decay`` and
    repeat, until there are n.

    The paper's pool begins with the rows of generation 0.  Here it begins with those of generation
    1, since a method is not handed the rows that generation 0 read; under `accumulate` the pool is
    the protocol's own, with generation 0.  Distances are taken in the data's own space, the paper
    takes them between image features.  ``rule=once`` is not of the paper: it ranks all rows by the
    distance to their nearest neighbour, in one pass.

    Stage: curate; track: blind, since the pool is kept by the method; real rows that the protocol
    provided are charged when they are read again.  All rules favour outlying rows, so the variance
    of the selection is larger than that of the pool.
    """

    rule: Literal["greedy", "threshold", "once"] = param(
        "greedy", "row by row, by a falling threshold, or in one pass"
    )
    decay: float = param(0.95, "factor of the threshold after a pass, rule=threshold", gt=0, lt=1)

    kinds = ("density",)
    version = 2
    tunings = ({"rule": "threshold"}, {"rule": "once"})

    def curate(self, corpus, access):
        if rows_in(corpus) > access.n:  # the protocol's own pool
            pool, quota = corpus, min(access.n, rows_in(corpus))
        else:
            before, quota = access.memory, corpus.multiplicity.sum(-1, keepdim=True)
            pool = corpus if before is None else before + corpus
            access.memory = pool
        if pool is corpus and isinstance(quota, Tensor):
            return corpus
        return pool.weighted(pool.weight * best(pool, self._score(pool, quota), quota))

    def _score(self, pool: Corpus, quota: Tensor | int) -> Tensor:
        rows, there = numbers(pool), pool.weight > 0
        if self.rule == "once":
            return _nearest_distance(rows, there)
        most = quota if isinstance(quota, int) else int(quota.max().ceil())
        steps = min(pool.n, most + 1)
        if self.rule == "threshold":
            return _by_threshold(rows, there, steps, self.decay)
        return _farthest_first(rows, there, steps)


def _nearest_distance(rows: Tensor, there: Tensor) -> Tensor:
    """Distance (R, n) of each row (R, n, p) to its nearest present neighbour, to compare."""
    # inner products lose digits far from zero
    near = rows - rows.mean(-2, keepdim=True)
    # absent rows are never neighbours
    square = torch.where(there, near.square().sum(-1), torch.inf)
    n, columns, nearest = rows.shape[-2], -2 * near.mT, []
    step = max(1, BUDGET // max(1, square.numel()))
    for first in range(0, n, step):
        last = min(first + step, n)
        apart = (near[..., first:last, :] @ columns).add_(square[..., None, :])
        apart[..., first:last].diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
        nearest.append(apart.argmin(-1))
    # Recomputed from the rows: mutual nearest neighbours must get equal distances.
    other = torch.cat(nearest, -1)[..., None].expand(rows.shape)
    return comparable(torch.linalg.vector_norm(rows - rows.gather(-2, other), dim=-1), rows)


def _farthest_first(rows: Tensor, there: Tensor, steps: int) -> Tensor:
    """Minus the step (R, n) at which farthest-first selection takes each row; -inf if never."""
    far = torch.where(there, torch.inf, -torch.inf).double()
    turn = torch.full_like(far, -torch.inf)
    for i in range(steps):
        most, place = far.max(-1, keepdim=True)
        turn = turn.scatter(
            -1, place, torch.where(most > -torch.inf, -float(i), -torch.inf).double()
        )
        point = rows.gather(-2, place[..., None].expand(*place.shape, rows.shape[-1]))
        away = comparable(torch.linalg.vector_norm(rows - point, dim=-1), rows)
        far = torch.minimum(far, away).scatter_(-1, place, -torch.inf)
    return turn


def _by_threshold(rows: Tensor, there: Tensor, steps: int, decay: float) -> Tensor:
    """Minus the step (R, n) at which the threshold rule takes each row; -inf if never."""
    far = torch.where(there, torch.inf, -torch.inf).double()
    turn, index = torch.full_like(far, -torch.inf), torch.arange(rows.shape[-2], device=rows.device)
    limit = torch.full_like(far[..., :1], -1.0)  # the first present row passes
    place = torch.full_like(far[..., :1], -1, dtype=torch.int64)
    taken, start = torch.zeros_like(limit), torch.zeros_like(limit)
    while ((taken < steps) & (far > -torch.inf)).any():
        passes = (far > limit) & (index > place) & (taken < steps)
        found, first = passes.any(-1, keepdim=True), passes.long().argmax(-1, keepdim=True)
        turn = torch.where(found & (index == first), -taken, turn)
        point = rows.gather(-2, first[..., None].expand(*first.shape, rows.shape[-1]))
        away = comparable(torch.linalg.vector_norm(rows - point, dim=-1), rows)
        nearer = torch.minimum(far, away).masked_fill(index == first, -torch.inf)
        far, place = torch.where(found, nearer, far), torch.where(found, first, -1)
        start = torch.where(taken == 0, far.amax(-1, keepdim=True), start)
        lower = torch.where(limit * decay > TINY * start, limit * decay, -1.0)
        limit = torch.where(taken == 0, start, torch.where(found, limit, lower))
        taken = taken + found
    return turn


@hookimpl
def collapse_mitigations():
    return {"entropy-selection": EntropySelection}
