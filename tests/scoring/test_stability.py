"""In how many of nine cells a sign holds, and what may be said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_bench.errors import UsageError
from collapse_bench.scoring.stability import GENERATIONS, ROWS, agreeing, signs

CELLS = [(n, t) for n in ROWS for t in GENERATIONS]


def grid(*values: float):
    return dict(zip(CELLS, values, strict=True))


def table(**grids) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"entry": entry, "rows": n, "generations": t, "S": s}
            for entry, cells in grids.items()
            for (n, t), s in cells.items()
        ]
    )


def test_eight_of_nine_make_a_word():
    found = signs(
        table(
            up=grid(*[0.1] * 9),
            most=grid(-0.1, *[0.1] * 8),
            some=grid(-0.1, 0.1, -0.1, *[0.1] * 6),
            down=grid(*[-0.2] * 8, 0.1),
            nothing=grid(*[0.0] * 9),
        )
    ).set_index("entry")
    assert found.agree.to_dict() == {"up": 9, "most": 8, "some": 7, "down": 8, "nothing": 0}
    assert found.word.to_dict() == {
        "up": "helps",
        "most": "helps",
        "some": "",
        "down": "harms",
        "nothing": "",
    }


def test_a_cell_that_was_not_run_agrees_with_nothing():
    full = grid(*[0.1] * 9)
    del full[0.25, 0.5], full[4.0, 2.0]
    assert agreeing(full) == 7
    full[0.25, 0.5] = np.nan
    assert agreeing(full) == 7
    with pytest.raises(UsageError, match="lacks its middle"):
        agreeing({(0.25, 0.5): 1.0})
    with pytest.raises(UsageError, match=r"a cell \(3, 1\)"):
        agreeing({**full, (3, 1): 0.1})


@given(st.lists(st.floats(-3, 3), min_size=9, max_size=9), st.floats(1e-3, 1e3))
def test_the_unit_and_the_sign_of_the_scale_are_nothing(values, scale):
    known = agreeing(grid(*values))
    if abs(values[4]) > 1e-5:
        big = [v if abs(v) > 1e-5 else 0.0 for v in values]
        assert agreeing(grid(*[scale * v for v in big])) == agreeing(grid(*[-v for v in big]))
        assert known >= 1
