"""The constants of the score, by rule."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..status import BROKEN_OFF, FAILURES, Status

MOST_WEIGHT = 0.05  #: of one task in a mean, where a suite has tasks enough (rule 4)
COVERAGE = 2 / 3  #: of the weight of a track, for a rank in the table of all families (rule 5)
REFUSED = "refused"  #: status in tables of losses: the method declined a task that it could do
TRIVIAL = "trivial"  #: the control that has read nothing, and the lower end of the score
UNITS = ("none", "nature", TRIVIAL)  #: the controls that give a task its units (rule 2)
#: nats; a task with a smaller gap has nothing to avert (rule 2)
LEAST_GAP = math.log(1.05)
#: nor has a task whose gap is fewer standard errors than this at the planned number of chains
LEAST_GAP_ERRORS = 5.0
CALIBRATION_CHAINS = 256  #: the fewest chains from which a gap may be measured
FLOOR_SHARE = 0.1  #: the floor r_k as a share of nature's mean loss (rule 1)
FOR_INTERVAL, FOR_TIER = 5, 10  #: the fewest chains for an interval, and for a tier (rule 7)
ALPHA = 0.05  #: error rate of every test (rule 6)
SAME = 1e-9  #: scores closer than this are equal, since rounding can cause the difference


CONTROLS = ("none", "nature", "trivial", "frozen", "real-only")
REAL_ONLY = "real-only"
COLUMNS = ("task", "entry", "seed", "loss", "status")


class Code(IntEnum):
    """How one chain ended, as far as the score distinguishes endings."""

    ABSENT = 0
    DONE = 1
    FAILED = 2
    BROKEN = 3
    OVER_BUDGET = 4
    SKIPPED = 5
    REFUSED = 6


CODE: dict[str, Code] = {
    Status.DONE: Code.DONE,
    **dict.fromkeys(FAILURES, Code.FAILED),
    **dict.fromkeys(BROKEN_OFF, Code.BROKEN),
    Status.OVER_BUDGET: Code.OVER_BUDGET,
    Status.SKIPPED: Code.SKIPPED,
    REFUSED: Code.REFUSED,
}


Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def mean_where(values: Array, where: Mask) -> Array:
    """Mean (...) over the last dimension where ``where`` is true; NaN if it nowhere is."""
    where = np.broadcast_to(where, values.shape)
    count = where.sum(-1)
    return ratio_where(np.where(where, values, 0.0).sum(-1), count, count > 0)


def ratio_where(
    above: ArrayLike, below: ArrayLike, where: ArrayLike, other: float = np.nan
) -> Array:
    """``above / below`` (...) where ``where`` is true, ``other`` elsewhere."""
    shape = np.broadcast_shapes(np.shape(above), np.shape(below), np.shape(where))
    out: Array = np.full(shape, other)
    np.divide(above, below, out=out, where=np.asarray(where))
    return out


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
