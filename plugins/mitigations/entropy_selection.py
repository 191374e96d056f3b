"""Select rows far from one another, so that the selection has high entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.lib.rows.neighbours import BUDGET, comparable
from collapse_bench.lib.rows.selection import keep_best, numbers, oversampled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class EntropySelection(Mitigation):
    """Keep rows with distant nearest neighbours, which raises the estimate of their entropy.

    Shi et al., arXiv 2509.16499.

    Stage: curate; track: blind.  ``rule=greedy`` is the paper's Greedy Selection: starting from one
    row, it repeatedly adds the row farthest from all kept rows.  ``rule=once`` ranks all rows by
    the distance to their nearest neighbour, in one pass.  Both favour outlying rows, so the
    variance of the selection is larger than that of all rows.
    """

    keep: float = param(0.5, "share of the pool that is kept", gt=0, le=1)
    rule: Literal["greedy", "once"] = param("greedy", "row by row, or in one pass")
    oversample: float = param(
        1.0,
        "rows to choose from per row of a generation; the additional ones are generated",
        ge=1,
        le=1000,
    )

    kinds = ("density",)

    def curate(self, corpus, access):
        pool = oversampled(corpus, access, self.oversample)
        return keep_best(pool, self._score(pool), self.keep)

    def _score(self, pool: Corpus) -> Tensor:
        rows, there = numbers(pool), pool.weight > 0
        if self.rule == "once":
            return _nearest_distance(rows, there)
        most = int((self.keep * pool.multiplicity.sum(-1)).round().max())
        return _farthest_first(rows, there, min(pool.n, most + 1))


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
        best, place = far.max(-1, keepdim=True)
        turn = turn.scatter(
            -1, place, torch.where(best > -torch.inf, -float(i), -torch.inf).double()
        )
        point = rows.gather(-2, place[..., None].expand(*place.shape, rows.shape[-1]))
        away = comparable(torch.linalg.vector_norm(rows - point, dim=-1), rows)
        far = torch.minimum(far, away).scatter_(-1, place, -torch.inf)
    return turn


@hookimpl
def collapse_mitigations():
    return {"entropy-selection": EntropySelection}
