"""The constants of the score, by rule."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WORST = -3.0  #: no chain counts less than this, and a failed one counts exactly this (rule 3)


LEAST_GAP = math.log(1.05)  #: nats; a smaller gap leaves nothing to avert (rule 2)


LEAST_GAP_ERRORS = 5.0  #: and so does one of fewer standard errors at the planned chains


CALIBRATION_CHAINS = 256  #: the fewest that a gap may be measured on


FLOOR_SHARE = 0.1  #: the floor r_k as a share of nature's mean loss (rule 1)


FOR_INTERVAL, FOR_TIER = 5, 10  #: the fewest chains that carry an interval, and a tier (rule 7)


ALPHA = 0.05


SAME = 1e-9  #: scores closer than this are equal: rounding is no evidence


CONTROLS = ("none", "nature", "frozen", "real-only")


REAL_ONLY = "real-only"


FAILURES = ("failed", "starved")  # the method's doing: -3


BROKEN_OFF = ("oom", "timeout", "killed")  # the machine's doing: run again


STATUSES = ("done", *FAILURES, *BROKEN_OFF, "over-budget", "skipped")


COLUMNS = ("task", "entry", "seed", "loss", "status")


# what became of one chain
ABSENT, DONE, FAILED, BROKEN, OVER_BUDGET, SKIPPED = range(6)


CODE = {
    "done": DONE,
    **dict.fromkeys(FAILURES, FAILED),
    **dict.fromkeys(BROKEN_OFF, BROKEN),
    "over-budget": OVER_BUDGET,
    "skipped": SKIPPED,
}


CALIBRATED = ("floor", "gap", "log_loss")


Array = NDArray[np.float64]


Mask = NDArray[np.bool_]


def mean_where(values: Array, where: Mask) -> Array:
    """Mean over the last dimension of what is there, NaN where nothing is (...)."""
    where = np.broadcast_to(where, values.shape)
    count = where.sum(-1)
    total = np.where(where, values, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
