"""Collapse averted: from the losses of chains to scores, intervals, ranks and tiers.

The score is 1 for an entry that is as good as the oracle teacher `nature`, 0 for one that is as
good as `none`, and -1 for one that is as bad as `trivial`, which has read nothing.  Docstrings cite
these rules by number:

1. For chain c of task k with loss E, a = log(E + r_k), on common seeds for all entries.  The floor
   r_k is fixed with the suite.  If the loss is in nats, a = E.  No chain counts as worse than
   trivial: a is cut at a_trivial of the same chain, and a failed or starved chain, or a loss that
   is not finite, counts exactly that.
2. Two units are fixed with the suite, as means over separate calibration chains: the gap G_k from
   none to nature, and A_k from trivial to none.  A task whose gap is small has nothing to avert;
   one whose gap is lost in the spread of its chains is too noisy.  Both are left out.
3. D_k is the mean over chains of a_none - a_entry.  S_k = D_k / G_k where D_k >= 0, and D_k / A_k
   where D_k < 0.  Where A_k is too small by the rule for gaps, G_k serves.  The unit is chosen by
   the sign of the mean, never chain by chain.  A task that an entry refuses by choice counts 0.
   Chains that the machine stopped (oom, timeout, killed) must be run again; until then the row has
   no rank.
4. S, the efficacy, is the mean over the tasks of a family that the entry fits, then over families.
   No task weighs more than 5 %.  Two rows are compared on the tasks that both fit.
5. The coverage is the share of the suite's weight that an entry fits.  Ranks over all families are
   for entries that cover two thirds of the weight of their track, which is the weight of the tasks
   that at least one entry of the track fits.  The others are specialists, ranked in their families.
6. The independent unit is the chain: tasks that share seeds are summed chain by chain before the
   variance is computed.  A task counts with the unit of its mean; the interval of a row has the
   other unit where it crosses 0.
7. All pairs of a track are tested by Tukey's range, a focus row named in advance by Holm's method,
   a single pair by Student's t.
8. A tier starts at its best row and ends before the first row that is significantly worse than
   that one.  An interval needs 5 chains, a tier 10.  A row whose chains all failed has no rank, and
   no part in the ranks and the coverage of others.
9. Nothing is subtracted for real data; rows are ranked within a track.

Shapes: N entries, K tasks, C seeds; the shape of an array is written ``(N, K, C)``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import NothingMatched, UsageError
from .chains import measured_on, taking_part
from .comparison import Comparison, compared
from .efficacy import Efficacies
from .grid import checked, grid_of
from .report import chain_table, entry_table, family_table, task_table
from .rules import CONTROLS, nearest
from .sums import aggregated_tasks, risk_scores
from .task import Task
from .weights import Weighting


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of all entries, as tables.

    ``rows``: one per entry, sorted by falling S; entries without S and then controls come last.

    - entry, track, control (bool), ranked (bool), specialist (bool), reason (a sentence why it is
      not ranked among all, or "")
    - S, its 95 % interval low to high, se, df; chains (of the task with the fewest)
    - tier: 1, 2, 3, ... within the track; rank: one more than the number of rows in better tiers
    - coverage: share of the suite's weight that it fits; fits: "k of K" tasks; refused: how many of
      the k it declined by choice; failed: share of chains that count as trivial
    - worst_family, worst_score; harmed: share of the fitted tasks with S_k significantly below 0
      (two-sided, 5 % per task; the sign of S_k is not enough, since chance gives half of all tasks
      a negative one if an entry changes nothing)
    - risk; risk_flag: whether its sign differs from that of S
    - p_none: Student, against `none`; p_above: Tukey, against the next better ranked row of the
      track; p_focus: Holm, the focus row against each ranked row of the board; d_focus: the focus
      row minus that row, on the tasks that both fit
    - beats_real_only: yes, no or cannot tell; "" without such a row

    ``per_task``: entry, task, family, S_k, se, chains, failed (number of chains), status (done,
    skipped, refused, re-run, over-budget, incomplete), harmed, risk, weight (w_k of the suite; 0 if
    shown, not aggregated).  S_k of a task that is not done is the mean over the chains that have a
    score, and enters no mean.

    ``per_family``: entry, family, S, low, high, se, df, chains, tier, rank, p_above (among everyone
    of the track who fits a task of the family), fits, tasks, aggregated.

    ``chains``: h_bc = sum of w_k s_kc with the weights of the row, one row per entry, one column
    per (block, seed).  A task that lacks a seed enters with its S_k.

    ``excluded``: task -> the reason why it is not scored.  ``notes``: further notes for readers.
    """

    rows: pd.DataFrame
    per_task: pd.DataFrame
    per_family: pd.DataFrame
    chains: pd.DataFrame
    excluded: dict[str, str]
    notes: tuple[str, ...]
    efficacy: Efficacies = field(repr=False)  # what `compare` and the resampling read

    @property
    def entries(self) -> tuple[str, ...]:
        """The rows of ``efficacy``."""
        return self.efficacy.measured.entries


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
    all chains of its task and entry that have no row of their own, e.g. of a skipped cell.  The
    status `refused` marks a task that a method declined by choice.  Each task needs the losses of
    the entry `trivial`.
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
    measured = measured_on(grid.only(kept), [tasks[grid.tasks[k]] for k in kept], none, planned)
    part, thin = aggregated_tasks(measured, shown)
    weighting = Weighting([task.family for task in measured.tasks], part)
    efficacy = Efficacies(measured, weighting)
    oracle = grid.entries.index(ceiling) if ceiling in grid.entries else None
    risk = risk_scores(measured, oracle)  # (N, K)
    notes = [*lost, *thin, *filter(None, [weighting.note()])]
    if nearly := [
        task.name
        for task, harm in zip(measured.tasks, measured.units[0], strict=True)
        if harm != task.harm
    ]:
        notes.append(
            f"{zero} is hardly better than trivial on {len(nearly)} task(s), where the gap is the "
            f"unit of harm too: {', '.join(nearly)}"
        )
    if np.isnan(risk[none, part]).any():
        notes.append(f"no risk score: {ceiling} must be better than {zero} on every task")
    track = ["all" if tracks is None else tracks.get(name, "") for name in grid.entries]
    return Scores(
        rows=entry_table(efficacy, risk, track, set(controls), focus),
        per_task=task_table(efficacy, risk),
        per_family=family_table(measured, part, track, set(controls)),
        chains=chain_table(efficacy),
        excluded=excluded,
        notes=tuple(notes),
        efficacy=efficacy,
    )


def compare(scores: Scores, a: str, b: str) -> Comparison:
    """Compare one pair of rows by Student's t, chain by chain, on the tasks that both fit.

    For many pairs, use the tiers of ``scores.rows``.  Raises UsageError if there is no such row,
    or if it has no score.
    """
    return compared(scores.entries, scores.efficacy, a, b)
