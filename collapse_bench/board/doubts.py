"""What on a board is too good, or too different from its calibration, to pass without a remark.

Neither proves that a record was edited.  Both are what edited losses and scaled gaps look like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ..scoring.rules import TRIVIAL, UNITS
from ..scoring.score import Scores
from ..scoring.task import Task, log_of_loss

#: standard errors beyond which a unit is not that of its calibration; losses have heavy tails
GAP_ERRORS = 6.0


def doubts(
    scores: Scores,
    losses: pd.DataFrame,
    tasks: Mapping[str, Task],
    chains: Mapping[str, int],
) -> list[str]:
    """One sentence for each row above `nature`, and for each unit that is not that of the chains.

    chains: those of the calibration of each task.
    """
    return [*_above_nature(scores), *_other_units(losses, tasks, chains)]


def _above_nature(scores: Scores) -> Iterator[str]:
    rows = scores.rows
    for row in rows[~rows.control & (rows.low > 1)].itertuples():
        yield (
            f"{row.entry} is significantly better than the oracle teacher `nature` "
            f"({row.S:+.2f}, 95 % {row.low:+.2f} to {row.high:+.2f}): check its records by running "
            "them again on other seeds before you rely on this row"
        )


def _other_units(
    losses: pd.DataFrame, tasks: Mapping[str, Task], chains: Mapping[str, int]
) -> Iterator[str]:
    finite = np.isfinite(losses.loss) & losses.seed.notna()
    controls = losses[losses.entry.isin(UNITS) & finite]
    for name, piece in controls.groupby("task"):
        task = tasks.get(str(name))
        table = piece.pivot_table(index="seed", columns="entry", values="loss")
        if task is None or not {*UNITS} <= set(table.columns):
            continue
        # no loss counts as worse than that of trivial
        table = table.clip(upper=table[TRIVIAL], axis=0)[list(UNITS)].dropna()
        if len(table) < 2:
            continue
        logs = {
            column: log_of_loss(table[column].to_numpy(), task.floor, task.log_loss)
            for column in UNITS
        }
        units = [
            ("nature", logs["none"] - logs["nature"], task.gap, task.gap_sd),
            (TRIVIAL, logs[TRIVIAL] - logs["none"], task.harm, task.harm_sd),
        ]
        for other, here, calibrated, sd in units:
            spread = max(sd, float(here.std(ddof=1)))
            # both means have errors: that of these chains, and that of the calibration
            error = spread * math.hypot(1 / math.sqrt(len(here)), 1 / math.sqrt(chains[task.name]))
            if abs(here.mean() - calibrated) > GAP_ERRORS * error:
                yield (
                    f"the gap between none and {other} of {name} is {here.mean():.3g} nats in "
                    f"these chains and {calibrated:.3g} in its calibration: one of the two was "
                    "changed, or they are of different versions; calibrate the suite again"
                )
