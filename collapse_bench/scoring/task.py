"""A task of the score: its floor and gap, and how they are calibrated."""

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
    """A calibrated task (rules 1 and 2)."""

    name: str  # its label
    family: str  # gaussian, regression, tails, images, text, ...
    floor: float  # r_k, in units of the loss; unused if the loss is in nats
    gap: float  # G_k, nats
    # nats; standard deviation of a_none - a_nature over chains: the standard error of the gap over
    # R chains is gap_sd / sqrt(R)
    gap_sd: float
    log_loss: bool = False  # the primary loss is in nats already: a = E
    block: str = "all"  # tasks of one block share their seeds

    def __post_init__(self) -> None:
        if not self.log_loss and not self.floor > 0:
            raise UsageError(
                f"task {self.name} has a floor of {self.floor}; it must be above 0, so that a loss "
                "of 0 has a logarithm: calibrate the task with the resolution of its loss, or set "
                "log_loss if the loss is in nats"
            )


class FloorAndGap(NamedTuple):
    """The result of a calibration: ``Task(name, family, *floor_and_gap(...))``."""

    floor: float
    gap: float
    gap_sd: float


def floor_and_gap(
    none: ArrayLike, nature: ArrayLike, resolution: float, log_loss: bool = False
) -> FloorAndGap:
    """Floor, gap and its standard deviation, from paired primary losses (C,) (rules 1 and 2).

    The floor is the larger of the resolution of the loss and a tenth of nature's mean loss; 0 for
    losses in nats.  Chains in which ``none`` has no finite loss are left out, as in the score.

    Raises UsageError if the shapes differ, if nature has a loss that is not finite, if fewer than
    256 chains remain, or if the floor would be 0.
    """
    none, nature = np.asarray(none, float), np.asarray(nature, float)
    if none.shape != nature.shape or none.ndim != 1:
        raise UsageError(
            "calibration needs one loss per chain for none and nature, got shapes "
            f"{none.shape} and {nature.shape}"
        )
    if not np.isfinite(nature).all():
        raise UsageError(
            f"nature has no finite loss in {(~np.isfinite(nature)).sum()} of {len(nature)} chains"
        )
    paired = np.isfinite(none)
    if paired.sum() < CALIBRATION_CHAINS:
        raise UsageError(
            f"calibration needs at least {CALIBRATION_CHAINS} chains in which none has a finite "
            f"loss, got {paired.sum()}"
        )
    floor = (
        0.0
        if log_loss
        else max(float(resolution), FLOOR_SHARE * float(np.maximum(nature, 0).mean()))
    )
    if not log_loss and not floor > 0:
        raise UsageError(
            f"nature's mean loss is 0 and the resolution is {resolution}; the loss needs a "
            "resolution above 0"
        )
    difference = log_of_loss(none[paired], floor, log_loss) - log_of_loss(
        nature[paired], floor, log_loss
    )
    return FloorAndGap(floor, float(difference.mean()), float(difference.std(ddof=1)))


def nothing_to_avert(task: Task, chains: int) -> str | None:
    """Why a task is not scored with this many planned chains; None if it is (rule 2)."""
    se = task.gap_sd / math.sqrt(chains)
    figures = (
        f"nothing to avert: the gap between none and nature is {task.gap:.3g} nats, with a "
        f"standard error of {se:.2g} at {chains} chains"
    )
    if not task.gap >= LEAST_GAP:
        return f"{figures}; a task needs log 1.05 = {LEAST_GAP:.3g} nats or more"
    if not task.gap >= LEAST_GAP_ERRORS * se:
        return (
            f"{figures}; that is {task.gap / se:.2f} standard errors, and a task needs "
            f"{LEAST_GAP_ERRORS:g} or more"
        )
    return None


def log_of_loss(loss: Array, floor: Array | float, log_loss: Array | bool) -> Array:
    """a = log(E + r), or E if the loss is in nats (rule 1).

    A loss can be estimated below 0; it then counts as 0.
    """
    return np.where(log_loss, loss, np.log(np.where(log_loss, 1.0, np.maximum(loss, 0) + floor)))
