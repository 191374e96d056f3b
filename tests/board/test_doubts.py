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
    zero = np.zeros(100)
    away = errors * GAP_ERRORS * np.sqrt(1 / 100 + 1 / chains)
    units = {"gap": 1.0, "gap_sd": 1.0, "harm": 1.0, "harm_sd": 1.0}
    for other, unit, losses in (
        ("nature", "gap", {"none": gaps, "nature": zero, "trivial": gaps + 1}),
        ("trivial", "harm", {"none": zero + 1, "nature": zero, "trivial": 1 + gaps}),
    ):
        frame = pd.concat(
            pd.DataFrame({"task": "t", "entry": entry, "seed": seeds, "loss": loss})
            for entry, loss in losses.items()
        )
        task = Task("t", "text", 0.0, **{**units, unit: 1 + away}, log_loss=True)
        found = list(_other_units(frame, {"t": task}, {"t": chains}))
        words = f"the gap between none and {other}"
        assert [line.split(" of t ")[0] for line in found] == [words] * (errors > 1)
        # without a unit that these chains have, there is nothing to compare
        assert not list(_other_units(frame[frame.entry != other], {"t": task}, {"t": chains}))
