"""Handwritten digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_bench.hookspecs import hookimpl
from collapse_bench.images import LabelledImages


@dataclass(frozen=True)
class Digits(LabelledImages):
    """1797 scans of 8 x 8 pixels by 43 writers (Alpaydin and Kaynak 1998, test part of the UCI set).

    Three of every ten images of each class, evenly spread over the file, are held out; the other 1255 are the pool.
    It is finite, so that it leaks realness by repetition: see LabelledImages, which also names the losses.
    """

    def images(self):
        from sklearn.datasets import load_digits  # slow to import, and nobody else needs it

        x, y = load_digits(return_X_y=True)
        rank = np.empty_like(y)
        for c in np.unique(y):
            rank[y == c] = np.arange((y == c).sum())
        test = 3 * rank % 10 < 3
        return x[~test], y[~test], x[test], y[test]


@hookimpl
def collapse_generators():
    return {"digits": Digits}
