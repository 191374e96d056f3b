"""Collapse averted: from the losses of chains to scores, intervals, ranks and tiers.

A score is 0 where an entry does no better than doing nothing, 1 where it does as well as a perfect teacher, and
negative where it harms.  The rules are numbered; docstrings cite them.

1. Of chain c of task k, a = log(E + r_k), for ``none``, the entry and ``nature`` on common seeds; r_k is frozen with
   the suite.  A loss that is in nats already is its own a.
2. G_k is the mean of a_none - a_nature over separate calibration chains, frozen likewise.  A task with next to nothing
   to avert takes no part.
3. s_kc = max(-3, (a_none - a_entry) / G_k), and S_k is its mean over chains.  A failed chain is -3.  What the machine
   broke off (oom, timeout, killed) is run again; until then the row has no rank.  A task that does not fit is S_k = 0.
4. S is the mean over tasks within a family, then over families; worst family, harmed tasks and risk stand beside it.
5. The replicate is the chain: tasks that share seeds are added up chain by chain before anything varies.
6. All pairs of a board go by Tukey, a focus row named beforehand by Holm, a single pair by Student.
7. A tier starts at its best row and ends before the first row significantly worse than that one.
8. Nothing is subtracted for real data; rows rank within a track.

Shapes: N entries, K tasks, C seeds; an array is named by its last dimensions, ``(N, K, C)``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import NothingMatched, UsageError
from .aggregate import Sums, aggregated_tasks, risk_scores, sums_of, t_statistic, weights
from .chains import checked, grid_of, measured_on, taking_part
from .report import chain_table, entry_table, family_table, task_table, verdict_of
from .rules import CONTROLS, nearest
from .stats import t_critical, t_p
from .task import Task


@dataclass(frozen=True)
class Comparison:
    """Row ``a`` against row ``b``: the difference of their scores, its 95 % interval and a plain two-sided p."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    t: float
    df: float
    p: float

    @property
    def verdict(self) -> str:
        """Whether ``a`` beats ``b``: yes, no, or cannot tell."""
        return verdict_of(self.p, self.difference > 0)


@dataclass(frozen=True, eq=False)
class Scores:
    """A board before it is drawn.

    ``rows``, one per entry, by falling S, rows without S below, controls at the foot:
        entry, track, control (bool); S, low, high (95 %), se, df; chains (of the aggregated task that has fewest);
        tier (1, 2, 3, ... within the track), rank (1, 1, 3, ...: one more than the rows of the tiers above), ranked
        (bool), reason (why not, a sentence, else ""); fits ("k of K" aggregated tasks); failed (share of chains at -3);
        worst_family, worst_score; harmed (share of tasks whose S_k is significantly below 0, two-sided 5 % a task: by
        sign alone doing nothing in another way would harm half of them); risk, risk_flag (its sign is not that of S);
        p_none (Student, against doing nothing, for this row alone), p_above (Tukey, against the ranked row above in
        the track), p_focus (Holm, the focus row against each ranked row of the board), beats_real_only (yes, no or
        cannot tell; "" without such a row).
    ``per_task``: entry, task, family, S_k, se, chains, failed (chains at -3), status (done, skipped, re-run,
        over-budget, incomplete), harmed, risk, weight (w_k; 0 where shown, not aggregated).  S_k of a task that is not
        done is the mean of the chains there are, and enters nothing.
    ``per_family``: entry, family, S, low, high, se, df, chains, tasks, aggregated.
    ``chains``: h_bc = sum of w_k s_kc, one row per entry, one column per (block, seed).  A task that lacks a seed
        counts there with its S_k.
    ``excluded``: task -> why it takes no part.  ``notes``: what else a reader should know.
    """

    rows: pd.DataFrame
    per_task: pd.DataFrame
    per_family: pd.DataFrame
    chains: pd.DataFrame
    excluded: dict[str, str]
    notes: tuple[str, ...]
    sums: Sums = field(repr=False)  # what `compare` reads
    entries: tuple[str, ...] = field(repr=False)  # the rows of `sums`


def score(
    losses: pd.DataFrame,
    tasks: Mapping[str, Task],
    *,
    focus: str | None = None,
    controls: Sequence[str] = CONTROLS,
    tracks: Mapping[str, str] | None = None,
    planned: int | None = None,
    shown: Collection[str] = (),
) -> Scores:
    """The board of ``losses``, one row per (task, entry, seed): the primary loss at the horizon and a status.

    ``controls`` are shown without a rank and enter no comparison of the board; the first is the zero of the score, the
    second the perfect teacher.  ``tracks`` maps entries to tracks (all are one without it).  ``planned`` chains per
    task decide what has nothing to avert; without it the chains that there are.  ``shown`` are tasks that a suite plans for
    some of its entries alone: they have scores and enter no mean, unless there are no others.  A row without a seed
    speaks for every chain of its task and entry that has no row of its own: a cell that was skipped, or died as a whole.
    """
    losses = checked(losses)
    zero, ceiling, *_ = *controls, "", ""
    grid = grid_of(losses, sorted(set(tasks)))
    if zero not in grid.entries:
        raise NothingMatched(f"there is no row of {zero!r}, and it is the zero of every score")
    if focus is not None and focus not in grid.entries:
        raise UsageError(f"no row is called {focus!r}{nearest(focus, grid.entries)}")
    none = grid.entries.index(zero)

    excluded, lost = taking_part(losses, grid, tasks, none, planned)
    kept = [k for k, name in enumerate(grid.tasks) if name not in excluded]
    if not kept:
        raise NothingMatched("no task takes part: " + "; ".join(excluded.values()))
    held = measured_on(grid.only(kept), [tasks[grid.tasks[k]] for k in kept], none)
    part, thin = aggregated_tasks(held, shown)
    weight = weights([task.family for task in held.tasks], part)  # (K,)
    sums = sums_of(held, part, weight)
    risk = risk_scores(
        held, grid.entries.index(ceiling) if ceiling in grid.entries else None
    )  # (N, K)
    riskless = f"no risk score: it takes {ceiling}, better than {zero}, on every aggregated task"
    track = ["all" if tracks is None else tracks.get(name, "") for name in grid.entries]
    return Scores(
        rows=entry_table(held, part, weight, sums, risk, track, set(controls), focus),
        per_task=task_table(held, risk, weight),
        per_family=family_table(held, part),
        chains=chain_table(held, part, weight),
        excluded=excluded,
        notes=(*lost, *thin, *([riskless] if np.isnan(risk[none, part]).any() else [])),
        sums=sums,
        entries=grid.entries,
    )


def compare(scores: Scores, a: str, b: str) -> Comparison:
    """A single pair of rows, on h_a - h_b, by Student's t (rules 5 and 6); for many pairs see ``rows`` and its tiers."""
    for name in (a, b):
        if name not in scores.entries:
            raise UsageError(f"no row is called {name!r}{nearest(name, scores.entries)}")
    i, j = scores.entries.index(a), scores.entries.index(b)
    for name, at in ((a, i), (b, j)):
        if np.isnan(scores.sums.mean[at]):
            raise UsageError(
                f"{name} has no score to compare: some of its chains are not there yet"
            )
    difference, se, df = (float(x[0]) for x in scores.sums.difference([i], [j]))
    t = float(t_statistic(difference, se))
    half = float(t_critical(df)) * se
    return Comparison(
        a, b, difference, difference - half, difference + half, t, df, float(t_p(t, df))
    )


# ---------------------------------------------------------------------------------------------------- reading


# ---------------------------------------------------------------------------------------------------- chains


# ---------------------------------------------------------------------------------------------------- adding up


# ---------------------------------------------------------------------------------------------------- tables
