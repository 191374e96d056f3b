"""Handwritten digits that come with the package: real images without a download."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.lib.images.images import LabelledImages
from collapse_bench.lib.images.readers import read_digits
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Digits(LabelledImages):
    """1797 scans of 8 x 8 pixels by 13 writers, the test part of the UCI set.

    Alpaydin and Kaynak 1998.

    Three of every ten images of each class, spread evenly over the file, are held out; the other
    1255 are the pool.  The pool is finite, so real images repeat: see LabelledImages, also for the
    losses.
    """

    def images(self):
        return read_digits()


@hookimpl
def collapse_generators():
    return {"digits": Digits}
