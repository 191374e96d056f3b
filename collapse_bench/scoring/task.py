"""A task of the score: its floor, its gap, and how both are calibrated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import UsageError
from .rules import CALIBRATION_CHAINS, FLOOR_SHARE, LEAST_GAP, LEAST_GAP_ERRORS, Array


@dataclass(frozen=True)
class Task:
    """A task as calibration left it (rules 1 and 2)."""

    name: str  # its label
    family: str  # gaussian, regression, tails, images, text, ...
    floor: float  # r_k, in units of the loss; unused where the loss is in nats
    gap: float  # G_k, nats
    gap_sd: float  # nats; sd of a_none - a_nature over chains, so that R chains know the gap to gap_sd / sqrt(R)
    log_loss: bool = False  # the primary loss is in nats already: a = E
    block: str = "all"  # tasks of one block share their seeds

    def __post_init__(self) -> None:
        if not self.log_loss and not self.floor > 0:
            raise UsageError(
                f"task {self.name} has a floor of {self.floor}; a floor is above 0, so that a loss of 0 has a "
                "logarithm: calibrate it with the resolution of its loss, or say that the loss is in nats"
            )


class FloorAndGap(NamedTuple):
    """What calibration measures of a task: ``Task(name, family, *floor_and_gap(...))``."""

    floor: float
    gap: float
    gap_sd: float


def floor_and_gap(
    none: ArrayLike, nature: ArrayLike, resolution: float, log_loss: bool = False
) -> FloorAndGap:
    """Floor, gap and its sd from paired primary losses (C,) of at least 256 chains (rules 1 and 2).

    The floor is the larger of the loss's resolution and a tenth of nature's mean loss; 0 for losses in nats.  Chains in
    which ``none`` has no finite loss are left out, as they are in a score; nature has to answer in all of them.
    """
    none, nature = np.asarray(none, float), np.asarray(nature, float)
    if none.shape != nature.shape or none.ndim != 1:
        raise UsageError(
            f"calibration pairs chains of none and nature, one loss each, not {none.shape} {nature.shape}"
        )
    if not np.isfinite(nature).all():
        raise UsageError(
            f"nature has no finite loss in {(~np.isfinite(nature)).sum()} of {len(nature)} chains"
        )
    paired = np.isfinite(none)
    if paired.sum() < CALIBRATION_CHAINS:
        raise UsageError(
            f"calibration needs {CALIBRATION_CHAINS} chains or more in which none has a finite loss, not {paired.sum()}"
        )
    floor = (
        0.0
        if log_loss
        else max(float(resolution), FLOOR_SHARE * float(np.maximum(nature, 0).mean()))
    )
    if not log_loss and not floor > 0:
        raise UsageError(
            f"nature's mean loss is 0 and the resolution {resolution}: declare the loss's resolution, above 0"
        )
    difference = log_of_loss(none[paired], floor, log_loss) - log_of_loss(
        nature[paired], floor, log_loss
    )
    return FloorAndGap(floor, float(difference.mean()), float(difference.std(ddof=1)))


def nothing_to_avert(task: Task, chains: int) -> str | None:
    """Why a task takes no part at that many planned chains, with the figures; None where it does (rule 2)."""
    se = task.gap_sd / math.sqrt(chains)
    figures = f"nothing to avert: from nature to none are {task.gap:.3g} nats, standard error {se:.2g} at {chains} chains"
    if not task.gap >= LEAST_GAP:
        return f"{figures}; a task needs log 1.05 = {LEAST_GAP:.3g} nats or more"
    if not task.gap >= LEAST_GAP_ERRORS * se:
        return f"{figures}; that is {task.gap / se:.2f} standard errors, and a task needs {LEAST_GAP_ERRORS:g} or more"
    return None


def log_of_loss(loss: Array, floor: Array | float, log_loss: Array | bool) -> Array:
    """a = log(E + r), or E itself (rule 1).  An estimate below 0 of what cannot be below 0 counts as 0."""
    return np.where(log_loss, loss, np.log(np.where(log_loss, 1.0, np.maximum(loss, 0) + floor)))
