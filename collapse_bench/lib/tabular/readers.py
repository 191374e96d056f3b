"""The tables of the package, and their split into a pool and held-out rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from ..rounding import settled

TABLES = ("breast-cancer", "wine")


def read_table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) float64 and classes (n,) int64 of one of ``TABLES``."""
    values = np.loadtxt(Path(__file__).parent / "uci" / f"{name}.csv.gz", delimiter=",")
    return values[:, :-1], values[:, -1].astype(np.int64)


@cache
def split_table(name: str, held_out: float) -> SimpleNamespace:
    """``pool (N, d + 1)`` and ``tests (m, d + 1)`` float64, the class in the last column.

    The share ``held_out`` of the rows of each class, spread evenly over the file, are tests.
    Features are shifted and scaled so that each has mean 0 and standard deviation 1 over the pool.
    ``share (C,)`` is the share of each class in the pool, ``per_class (C,)`` its number of tests.
    """
    x, y = read_table(name)
    rank = np.empty_like(y)
    for c in np.unique(y):
        rank[y == c] = np.arange((y == c).sum())
    test = np.floor((rank + 1) * held_out) > np.floor(rank * held_out)
    x = (x - x[~test].mean(0)) / x[~test].std(0)
    rows = torch.from_numpy(np.column_stack([x, y]))
    pool, tests, classes = rows[~test], rows[test], int(y.max()) + 1
    return SimpleNamespace(
        pool=pool,
        tests=tests,
        classes=classes,
        share=torch.bincount(pool[:, -1].long(), minlength=classes).double() / len(pool),
        per_class=torch.bincount(tests[:, -1].long(), minlength=classes),
    )


def nearest_class(y: Tensor, classes: int) -> Tensor:
    """The class 0 .. classes - 1 that is nearest to each number, int64.

    Rounding does not decide between two classes at the same distance.
    """
    one = torch.ones((), dtype=torch.float64, device=y.device)
    return settled(y, one).round().clamp(0, classes - 1).long()
