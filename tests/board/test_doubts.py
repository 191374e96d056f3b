"""What the board says of a unit that is not that of its calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from collapse_bench.board.doubts import GAP_ERRORS, _other_units
from collapse_bench.scoring.task import Task


@pytest.mark.parametrize("chains", [4, 10_000])
@pytest.mark.parametrize("errors", [0.9, 1.1])
def test_the_error_of_the_calibration_counts(chains, errors):
    seeds = np.arange(100)
    gaps = np.where(seeds % 2, 0.5, 1.5)  # mean 1
    gaps = 1 + (gaps - 1) / np.std(gaps, ddof=1)  # standard deviation 1
    losses = pd.DataFrame(
        {
            "task": "t",
            "entry": np.repeat(["none", "nature"], 100),
            "seed": np.tile(seeds, 2),
            "loss": np.concatenate([gaps, np.zeros(100)]),
        }
    )
    away = errors * GAP_ERRORS * np.sqrt(1 / 100 + 1 / chains)
    task = Task("t", "text", 0.0, 1 + away, 1.0, log_loss=True)
    found = list(_other_units(losses, {"t": task}, {"t": chains}))
    assert len(found) == (errors > 1)
    # the same numbers as the gap from trivial to none
    losses["entry"] = losses["entry"].replace({"none": "trivial", "nature": "none"})
    nature = losses[losses.entry == "none"].assign(entry="nature")
    task = Task("t", "text", 0.0, 0.0, 1.0, 1 + away, 1.0, log_loss=True)
    found = list(_other_units(pd.concat([losses, nature]), {"t": task}, {"t": chains}))
    assert [line.split(" of t ")[0] for line in found] == ["the gap between none and trivial"] * (
        errors > 1
    )
