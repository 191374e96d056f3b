"""The first version of the score, for suites that were calibrated without `trivial`.

It is kept so that published boards can be made again.  It cuts a chain at -3, and a task that an
entry does not fit counts 0.

The score is 0 for an entry that is no better than `none`, 1 for one that is as good as the oracle
teacher `nature`, and negative for one that does harm.  Docstrings cite these rules by number:

1. For chain c of task k with loss E, a = log(E + r_k), for ``none``, the entry and ``nature`` on
   common seeds.  The floor r_k is fixed with the suite.  If the loss is in nats, a = E.
2. The gap G_k is the mean of a_none - a_nature over separate calibration chains, and also fixed
   with the suite.  A task with too small a gap has nothing to avert and is left out.
3. s_kc = max(-3, (a_none - a_entry) / G_k), and S_k is its mean over chains.  A failed chain
   counts -3.  Chains that the machine stopped (oom, timeout, killed) must be run again; until then
   the row has no rank.  If the entry does not fit a task, S_k = 0.
4. S is the mean over tasks within a family, then over families.  Worst family, harmed tasks and
   risk score are computed in addition.
5. The independent unit is the chain: tasks that share seeds are summed chain by chain before the
   variance is computed.
6. All pairs of a track are tested by Tukey's range, a focus row named in advance by Holm's method,
   a single pair by Student's t.
7. A tier starts at its best row and ends before the first row that is significantly worse than
   that one.
8. Nothing is subtracted for real data; rows are ranked within a track.

Shapes: N entries, K tasks, C seeds; the shape of an array is written ``(N, K, C)``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...errors import NothingMatched, UsageError
from ..comparison import Comparison, compared
from ..grid import checked, grid_of
from ..rules import CONTROLS, nearest
from ..sums import Sums, aggregated_tasks, risk_scores, sums_of
from ..task import Task
from ..weights import family_weights
from .chains import measured_on, taking_part
from .report import chain_table, entry_table, family_table, task_table


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of all entries, as tables.

    ``rows``: one per entry, sorted by falling S; entries without S and then controls come last.

    - entry, track, control (bool), ranked (bool), reason (a sentence why it is not ranked, or "")
    - S, its 95 % interval low to high, se, df; chains (of the aggregated task with the fewest)
    - tier: 1, 2, 3, ... within the track; rank: one more than the number of rows in better tiers
    - fits: "k of K" aggregated tasks; failed: share of chains that count -3
    - worst_family, worst_score; harmed: share of tasks with S_k significantly below 0 (two-sided,
      5 % per task; the sign of S_k is not enough, since chance gives half of all tasks a negative
      one if an entry changes nothing)
    - risk; risk_flag: whether its sign differs from that of S
    - p_none: Student, against `none`; p_above: Tukey, against the next better ranked row of the
      track; p_focus: Holm, the focus row against each ranked row of the board
    - beats_real_only: yes, no or cannot tell; "" without such a row

    ``per_task``: entry, task, family, S_k, se, chains, failed (number of chains that count -3),
    status (done, skipped, re-run, over-budget, incomplete), harmed, risk, weight (w_k; 0 if shown,
    not aggregated).  S_k of a task that is not done is the mean over the chains that have a score,
    and enters no mean.

    ``per_family``: entry, family, S, low, high, se, df, chains, tasks, aggregated.

    ``chains``: h_bc = sum of w_k s_kc, one row per entry, one column per (block, seed).  A task
    that lacks a seed enters with its S_k.

    ``excluded``: task -> the reason why it is not scored.  ``notes``: further notes for readers.
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
    """Score ``losses``: one row per (task, entry, seed) with the primary loss at the horizon.

    losses: columns task, entry, seed, loss and status.  A row without a seed gives the status of
    all chains of its task and entry that have no row of their own, e.g. of a skipped cell.
    tasks: task name -> Task.
    focus: the entry that is tested against all others by Holm's method.
    controls: entries that are not ranked and not compared with others; the first is the zero of
    the score, the second the oracle teacher.
    tracks: entry -> track; without it all entries are on one track.
    planned: chains per task, by which rule 2 is applied; without it the chains that were run.
    shown: tasks that a suite plans for only some of its entries; they have scores and enter no
    mean, unless there are no other tasks.

    Raises UsageError if the losses cannot be read or no entry is called ``focus``, NothingMatched
    if the zero of the score is missing or no task can be scored.
    """
    losses = checked(losses)
    zero, ceiling, *_ = *controls, "", ""
    grid = grid_of(losses, sorted(set(tasks)))
    if zero not in grid.entries:
        raise NothingMatched(f"there is no row of {zero!r}, which is the zero of every score")
    if focus is not None and focus not in grid.entries:
        raise UsageError(f"there is no row {focus!r}{nearest(focus, grid.entries)}")
    none = grid.entries.index(zero)

    excluded, lost = taking_part(losses, grid, tasks, none, planned)
    kept = [k for k, name in enumerate(grid.tasks) if name not in excluded]
    if not kept:
        raise NothingMatched("no task can be scored: " + "; ".join(excluded.values()))
    measured = measured_on(grid.only(kept), [tasks[grid.tasks[k]] for k in kept], none)
    part, thin = aggregated_tasks(measured, shown)
    weight = family_weights([task.family for task in measured.tasks], part)  # (K,)
    sums = sums_of(measured, part, weight)
    oracle = grid.entries.index(ceiling) if ceiling in grid.entries else None
    risk = risk_scores(measured, oracle)  # (N, K)
    riskless = f"no risk score: {ceiling} must be better than {zero} on every aggregated task"
    track = ["all" if tracks is None else tracks.get(name, "") for name in grid.entries]
    return Scores(
        rows=entry_table(measured, part, weight, sums, risk, track, set(controls), focus),
        per_task=task_table(measured, risk, weight),
        per_family=family_table(measured, part),
        chains=chain_table(measured, part, weight),
        excluded=excluded,
        notes=(*lost, *thin, *([riskless] if np.isnan(risk[none, part]).any() else [])),
        sums=sums,
        entries=grid.entries,
    )


def compare(scores: Scores, a: str, b: str) -> Comparison:
    """Compare one pair of rows by Student's t, chain by chain (rules 5 and 6).

    For many pairs, use the tiers of ``scores.rows``.  Raises UsageError if there is no such row,
    or if it has no score.
    """
    return compared(scores.entries, scores.sums, a, b)
