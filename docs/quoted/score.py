"""Numbers of docs/score.md: the error at generation 0 on three splits of the digits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from collapse_bench import cell_of, generations
from collapse_bench.core.params import param
from collapse_bench.lib.images.images import LabelledImages
from collapse_bench.lib.images.readers import read_digits

from . import Table, computed
from .measure import number

SPEC = "digits | random-features | replace @ n=300 T=0"


@dataclass(frozen=True)
class OtherDigits(LabelledImages):
    """The digits with three of seven pool images of each class held out instead."""

    first: int = param(0, "place of the first of the three in each run of seven", ge=0, le=4)

    def images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        pool_x, pool_y, test_x, test_y = read_digits()
        rank = np.empty_like(pool_y)
        for c in np.unique(pool_y):
            rank[pool_y == c] = np.arange((pool_y == c).sum())
        out = (rank % 7 >= self.first) & (rank % 7 < self.first + 3)
        return (
            np.concatenate([pool_x[~out], test_x]),
            np.concatenate([pool_y[~out], test_y]),
            pool_x[out],
            pool_y[out],
        )


@computed("docs/score.md", "score-splits")
def splits() -> Table:
    cell = cell_of(SPEC, seeds=range(32))
    rows = [["held out", f"`{SPEC}`, error"]]
    for words, data in (
        ("as in the suite", cell.data),
        ("places 1 to 3 of seven in the pool", OtherDigits(first=0)),
        ("places 5 to 7 of seven in the pool", OtherDigits(first=4)),
    ):
        [now] = generations(dataclasses.replace(cell, data=data))
        found = number(now.scores["error_rate"].numpy(), ".4f")
        rows.append([words, f"{found.text} ± {found.error:.4f}"])
    return Table(rows)
