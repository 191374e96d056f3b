"""Scores against what they cost: real rows, fits and generated rows.

All functions read a table of points, one row per entry: entry, method (entries of one method are
its variants), S, real (real rows that the entry used by itself, as a share of the rows that all
generations read), and cost (see ``relative_cost``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .rules import SAME

BUDGETS = (0.0, 0.05, 0.1, 0.25)  #: of real rows, as shares of n (T + 1)
COSTS = (1.25, 2.0, 5.0, np.inf)  #: upper ends of the classes of cost


def relative_cost(usage: pd.DataFrame, none: str = "none") -> pd.Series[float]:
    """Cost of each entry as a multiple of that of ``none``: the larger of fits and generated rows.

    usage: indexed by entry, with columns fits and generated_rows.  Both are counted by the ledger,
    so that the cost does not depend on the machine.  NaN where ``none`` has no usage.
    """
    if none not in usage.index:
        return pd.Series(np.nan, usage.index)
    used = usage[["fits", "generated_rows"]].to_numpy(float)
    base = used[usage.index.get_loc(none)]
    ratios = np.where(base > 0, used / np.where(base > 0, base, 1.0), 0.0)
    return pd.Series(ratios.max(axis=1), usage.index)


def at_budgets(points: pd.DataFrame, budgets: Sequence[float] = BUDGETS) -> pd.DataFrame:
    """Method x budget: the score of its best variant that uses no more real rows; NaN without one.

    The last row, ``best``, is the best of all methods.  No row falls from left to right.
    """
    table = {
        budget: points[(points.real <= budget + SAME) & points.S.notna()].groupby("method").S.max()
        for budget in budgets
    }
    frame = pd.DataFrame(table, index=sorted(points.method.unique())).astype(float)
    frame.loc["best"] = frame.max()
    return frame


def at_equal_cost(points: pd.DataFrame, costs: Sequence[float] = COSTS) -> pd.DataFrame:
    """The points in classes of cost, best first: cost_class (its upper end), then their columns.

    Each entry is in the cheapest class that its cost allows; entries of unknown cost are left out.
    """
    known = points[points.cost.notna() & points.S.notna()]
    upper = np.array(sorted(costs))
    place = np.searchsorted(upper, known.cost.to_numpy() - SAME)
    known = known.assign(cost_class=np.append(upper, np.inf)[place])
    return known.sort_values(
        ["cost_class", "S", "entry"], ascending=[True, False, True], ignore_index=True
    )


def pareto(points: pd.DataFrame) -> pd.DataFrame:
    """The points that no other beats in both score and real rows, from few real rows to many.

    Of equal points all are kept.
    """
    known = points[points.S.notna() & points.real.notna()].sort_values(
        ["real", "S", "entry"], ascending=[True, False, True]
    )
    kept, best, at = [False] * len(known), -np.inf, np.nan
    pairs = zip(known.S.to_numpy(float), known.real.to_numpy(float), strict=True)
    for i, (score, real) in enumerate(pairs):
        if score > best or (real == at and score == best):
            kept[i], best, at = True, score, real
    return known[kept].reset_index(drop=True)
