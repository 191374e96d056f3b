"""Whether the sign of a score holds at other numbers of rows and generations."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..errors import UsageError
from .rules import SAME

ROWS = (0.25, 1.0, 4.0)  #: factors on n
GENERATIONS = (0.5, 1.0, 2.0)  #: factors on T
NEEDED = 8  #: of the nine cells, before a sentence says "helps" or "harms"

#: (factor on n, factor on T) -> score
Grid = Mapping[tuple[float, float], float]


def agreeing(grid: Grid) -> int:
    """In how many of the nine cells the score has the sign that it has in the middle; 0 if none.

    A score of 0 in the middle has no sign, and a missing or undefined cell agrees with none.
    Raises UsageError for a cell that is not one of the nine, or a grid without its middle.
    """
    known = {(rows, ends) for rows in ROWS for ends in GENERATIONS}
    if unknown := sorted(set(grid) - known):
        raise UsageError(
            f"the grid has a cell {unknown[0]}; its factors are {ROWS} on n and {GENERATIONS} on T"
        )
    if (1.0, 1.0) not in grid:
        raise UsageError("the grid lacks its middle, the cell at n and T")
    middle = grid[1.0, 1.0]
    if not abs(middle) > SAME:
        return 0
    return sum(value * middle > 0 and abs(value) > SAME for value in grid.values())


def signs(table: pd.DataFrame) -> pd.DataFrame:
    """How stable the sign of each entry is.

    table: columns entry, rows (factor on n), generations (factor on T) and S, one row per cell.
    Returns columns entry, agree (of nine) and word: helps, harms, or "" where fewer than eight
    cells agree or the grid was not run.
    """
    found = []
    for entry, piece in table.groupby("entry", sort=True):
        cells = zip(piece["rows"], piece["generations"], strict=True)
        grid = {(float(n), float(t)): float(s) for (n, t), s in zip(cells, piece["S"], strict=True)}
        agree = agreeing(grid)
        word = "helps" if grid[1.0, 1.0] > 0 else "harms"
        found.append((entry, agree, word if agree >= NEEDED else ""))
    return pd.DataFrame(found, columns=["entry", "agree", "word"])
