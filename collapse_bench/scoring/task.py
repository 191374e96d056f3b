"""A task of the score: its floor and its two units, and how they are calibrated."""

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
    harm: float  # A_k, nats: the mean of a_trivial - a_none over the same chains
    harm_sd: float  # nats; its standard deviation over chains
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
    harm: float
    harm_sd: float


def floor_and_gap(
    none: ArrayLike,
    nature: ArrayLike,
    trivial: ArrayLike,
    resolution: float,
    log_loss: bool = False,
    least: int = CALIBRATION_CHAINS,
) -> FloorAndGap:
    """Floor and units of a task, from paired primary losses (C,) of the controls (rules 1 to 3).

    The floor is the larger of the resolution of the loss and a tenth of nature's mean loss; 0 for
    losses in nats.  No loss counts as worse than that of trivial in the same chain, and one that is
    not finite counts as equal to it.

    Raises UsageError if the shapes differ, if trivial has a loss that is not finite, if there are
    fewer than ``least`` chains, or if the floor would be 0.
    """
    losses = [np.asarray(loss, float) for loss in (none, nature, trivial)]
    shapes, worst = [loss.shape for loss in losses], losses[-1]
    if len(set(shapes)) > 1 or worst.ndim != 1:
        raise UsageError(
            "calibration needs one loss per chain for none, nature and trivial, got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    if not np.isfinite(worst).all():
        raise UsageError(
            f"trivial has no finite loss in {(~np.isfinite(worst)).sum()} of {len(worst)} "
            "chains; it must state an answer to every question"
        )
    if len(worst) < least:
        raise UsageError(f"calibration needs at least {least} chains, got {len(worst)}")
    cut = [np.where(np.isfinite(loss), np.minimum(loss, worst), worst) for loss in losses]
    floor = (
        0.0
        if log_loss
        else max(float(resolution), FLOOR_SHARE * float(np.maximum(cut[1], 0).mean()))
    )
    if not log_loss and not floor > 0:
        raise UsageError(
            f"nature's mean loss is 0 and the resolution is {resolution}; the loss needs a "
            "resolution above 0"
        )
    a_none, a_nature, a_trivial = (log_of_loss(loss, floor, log_loss) for loss in cut)
    gap, harm = a_none - a_nature, a_trivial - a_none
    return FloorAndGap(
        floor,
        float(gap.mean()),
        float(gap.std(ddof=1)),
        float(harm.mean()),
        float(harm.std(ddof=1)),
    )


def unscored(task: Task, chains: int) -> str | None:
    """Why a task is not scored with this many planned chains; None if it is (rule 2).

    A gap that is surely small has nothing to avert.  One that is lost in the spread of the chains
    is too noisy, and may be scored with more of them.
    """
    se = task.gap_sd / math.sqrt(chains)
    figures = f"the gap between none and nature is {task.gap:.3g} nats, with a standard error of "
    if task.gap >= LEAST_GAP:
        if task.gap >= LEAST_GAP_ERRORS * se:
            return None
        needed = math.ceil((LEAST_GAP_ERRORS * task.gap_sd / task.gap) ** 2)
        return (
            f"is too noisy at {chains} chains; about {needed} are needed: {figures}{se:.2g}, and a "
            f"task needs {LEAST_GAP_ERRORS:g} standard errors or more"
        )
    at_calibration = task.gap_sd / math.sqrt(CALIBRATION_CHAINS)
    if task.gap + 2 * at_calibration >= LEAST_GAP:
        needed = math.ceil((LEAST_GAP_ERRORS * task.gap_sd / LEAST_GAP) ** 2)
        return (
            f"is too noisy at {chains} chains to tell whether there is anything to avert; about "
            f"{needed} are needed: {figures}{at_calibration:.2g} over the {CALIBRATION_CHAINS} "
            "chains of its calibration"
        )
    return (
        f"has nothing to avert: {figures}{at_calibration:.2g} over the {CALIBRATION_CHAINS} chains "
        f"of its calibration; a task needs log 1.05 = {LEAST_GAP:.3g} nats or more"
    )


def harm_unit(task: Task, chains: int) -> float:
    """The unit of a loss that is worse than that of `none`, in nats (rule 3).

    A_k, or the gap where A_k is too small by the rule for gaps at this many planned chains.
    """
    least = max(LEAST_GAP, LEAST_GAP_ERRORS * task.harm_sd / math.sqrt(chains))
    return task.harm if task.harm >= least else task.gap


def log_of_loss(loss: Array, floor: Array | float, log_loss: Array | bool) -> Array:
    """a = log(E + r), or E if the loss is in nats (rule 1).

    A loss can be estimated below 0; it then counts as 0.
    """
    return np.where(log_loss, loss, np.log(np.where(log_loss, 1.0, np.maximum(loss, 0) + floor)))
