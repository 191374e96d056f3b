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

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from ..errors import NothingMatched, UsageError
from ..stats import holm, t_critical, t_p, tukey_p, welch

WORST = -3.0  #: no chain counts less than this, and a failed one counts exactly this (rule 3)
LEAST_GAP = math.log(1.05)  #: nats; a smaller gap leaves nothing to avert (rule 2)
LEAST_GAP_ERRORS = 5.0  #: and so does one of fewer standard errors at the planned chains
CALIBRATION_CHAINS = 256  #: the fewest that a gap may be measured on
FLOOR_SHARE = 0.1  #: the floor r_k as a share of nature's mean loss (rule 1)
FOR_INTERVAL, FOR_TIER = 5, 10  #: the fewest chains that carry an interval, and a tier (rule 7)
ALPHA = 0.05
SAME = 1e-9  #: scores closer than this are equal: rounding is no evidence
CONTROLS = ("none", "nature", "frozen", "real-only")
REAL_ONLY = "real-only"

FAILURES = ("failed", "starved")  # the method's doing: -3
BROKEN_OFF = ("oom", "timeout", "killed")  # the machine's doing: run again
STATUSES = ("done", *FAILURES, *BROKEN_OFF, "over-budget", "skipped")
COLUMNS = ("task", "entry", "seed", "loss", "status")

# what became of one chain
_ABSENT, _DONE, _FAILED, _BROKEN_OFF, _OVER_BUDGET, _SKIPPED = range(6)
_CODE = {
    "done": _DONE,
    **dict.fromkeys(FAILURES, _FAILED),
    **dict.fromkeys(BROKEN_OFF, _BROKEN_OFF),
    "over-budget": _OVER_BUDGET,
    "skipped": _SKIPPED,
}

_CALIBRATED = ("floor", "gap", "log_loss")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """A task as calibration left it (rules 1 and 2)."""

    name: str  # its label
    family: str  # gaussian, regression, tails, images, text, ...
    floor: float  # r_k, in units of the loss; unused where the loss is in nats
    gap: float  # G_k, nats
    gap_sd: float  # nats; sd of a_none - a_nature over chains, so that R chains know the gap to gap_sd / sqrt(R)
    log_loss: bool = False  # the primary loss is in nats already: a = E
    block: str = "all"  # tasks of one block share their seeds

    def __post_init__(self):
        if not self.log_loss and not self.floor > 0:
            raise UsageError(
                f"task {self.name} has a floor of {self.floor}; a floor is above 0, so that a loss of 0 has a "
                "logarithm: calibrate it with the resolution of its loss, or say that the loss is in nats"
            )


class Calibration(NamedTuple):
    """What the suite file freezes of a task: ``Task(name, family, *calibration)``."""

    floor: float
    gap: float
    gap_sd: float


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
        return _verdict(self.p, self.difference > 0)


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
    sums: _Sums = field(repr=False)  # what `compare` reads
    entries: tuple[str, ...] = field(repr=False)  # the rows of `sums`


def calibrate(none: ArrayLike, nature: ArrayLike, resolution: float, log_loss: bool = False) -> Calibration:
    """Floor, gap and its sd from paired primary losses (C,) of at least 256 chains (rules 1 and 2).

    The floor is the larger of the loss's resolution and a tenth of nature's mean loss; 0 for losses in nats.  Chains in
    which ``none`` has no finite loss are left out, as they are in a score; nature has to answer in all of them.
    """
    none, nature = np.asarray(none, float), np.asarray(nature, float)
    if none.shape != nature.shape or none.ndim != 1:
        raise UsageError(f"calibration pairs chains of none and nature, one loss each, not {none.shape} {nature.shape}")
    if not np.isfinite(nature).all():
        raise UsageError(f"nature has no finite loss in {(~np.isfinite(nature)).sum()} of {len(nature)} chains")
    paired = np.isfinite(none)
    if paired.sum() < CALIBRATION_CHAINS:
        raise UsageError(
            f"calibration needs {CALIBRATION_CHAINS} chains or more in which none has a finite loss, not {paired.sum()}"
        )
    floor = 0.0 if log_loss else max(float(resolution), FLOOR_SHARE * float(np.maximum(nature, 0).mean()))
    if not log_loss and not floor > 0:
        raise UsageError(
            f"nature's mean loss is 0 and the resolution {resolution}: declare the loss's resolution, above 0"
        )
    difference = _log(none[paired], floor, log_loss) - _log(nature[paired], floor, log_loss)
    return Calibration(floor, float(difference.mean()), float(difference.std(ddof=1)))


def nothing_to_avert(task: Task, chains: int) -> str | None:
    """Why a task takes no part at that many planned chains, with the figures; None where it does (rule 2)."""
    se = task.gap_sd / math.sqrt(chains)
    figures = (
        f"nothing to avert: from nature to none are {task.gap:.3g} nats, standard error {se:.2g} at {chains} chains"
    )
    if not task.gap >= LEAST_GAP:
        return f"{figures}; a task needs log 1.05 = {LEAST_GAP:.3g} nats or more"
    if not task.gap >= LEAST_GAP_ERRORS * se:
        return f"{figures}; that is {task.gap / se:.2f} standard errors, and a task needs {LEAST_GAP_ERRORS:g} or more"
    return None


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
    losses = _checked(losses)
    zero, ceiling, *_ = *controls, "", ""
    grid = _grid(losses, sorted(set(tasks)))
    if zero not in grid.entries:
        raise NothingMatched(f"there is no row of {zero!r}, and it is the zero of every score")
    if focus is not None and focus not in grid.entries:
        raise UsageError(f"no row is called {focus!r}{_nearest(focus, grid.entries)}")
    none = grid.entries.index(zero)

    excluded, lost = _taking_part(losses, grid, tasks, none, planned)
    kept = [k for k, name in enumerate(grid.tasks) if name not in excluded]
    if not kept:
        raise NothingMatched("no task takes part: " + "; ".join(excluded.values()))
    held = _measured(grid.only(kept), [tasks[grid.tasks[k]] for k in kept], none)
    part, thin = _aggregated(held, shown)
    weight = _weights([task.family for task in held.tasks], part)  # (K,)
    sums = _sums(held, part, weight)
    risk = _risk(held, grid.entries.index(ceiling) if ceiling in grid.entries else None)  # (N, K)
    riskless = f"no risk score: it takes {ceiling}, better than {zero}, on every aggregated task"
    track = ["all" if tracks is None else tracks.get(name, "") for name in grid.entries]
    return Scores(
        rows=_rows(held, part, weight, sums, risk, track, set(controls), focus),
        per_task=_per_task(held, risk, weight),
        per_family=_per_family(held, part),
        chains=_per_chain(held, part, weight),
        excluded=excluded,
        notes=(*lost, *thin, *([riskless] if np.isnan(risk[none, part]).any() else [])),
        sums=sums,
        entries=grid.entries,
    )


def compare(scores: Scores, a: str, b: str) -> Comparison:
    """A single pair of rows, on h_a - h_b, by Student's t (rules 5 and 6); for many pairs see ``rows`` and its tiers."""
    for name in (a, b):
        if name not in scores.entries:
            raise UsageError(f"no row is called {name!r}{_nearest(name, scores.entries)}")
    i, j = scores.entries.index(a), scores.entries.index(b)
    for name, at in ((a, i), (b, j)):
        if np.isnan(scores.sums.mean[at]):
            raise UsageError(f"{name} has no score to compare: some of its chains are not there yet")
    difference, se, df = (float(x[0]) for x in scores.sums.difference([i], [j]))
    t = float(_t(difference, se))
    half = float(t_critical(df)) * se
    return Comparison(a, b, difference, difference - half, difference + half, t, df, float(t_p(t, df)))


# ---------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Grid:
    """Every chain in its place."""

    entries: tuple[str, ...]  # N
    tasks: tuple[str, ...]  # K
    seeds: tuple  # C
    loss: Array  # (N, K, C), NaN where there is none
    state: NDArray[np.int8]  # (N, K, C)

    @property
    def done(self) -> Mask:
        """Chains with a finite loss (N, K, C)."""
        return (self.state == _DONE) & np.isfinite(self.loss)

    @property
    def failed(self) -> Mask:
        """Chains that are -3: failed, starved, or finished without a finite loss (N, K, C)."""
        return (self.state == _FAILED) | ((self.state == _DONE) & ~np.isfinite(self.loss))

    def only(self, kept: Sequence[int]) -> _Grid:
        """These tasks."""
        tasks = tuple(self.tasks[k] for k in kept)
        return _Grid(self.entries, tasks, self.seeds, self.loss[:, kept], self.state[:, kept])


def _checked(losses: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in COLUMNS if name not in losses]:
        raise UsageError(f"losses lack the column(s) {', '.join(missing)}; they need {', '.join(COLUMNS)}")
    if losses.empty:
        raise NothingMatched("there are no losses to score")
    if unknown := sorted(set(losses["status"].unique()) - set(STATUSES), key=str):
        raise UsageError(f"no chain has the status {unknown[0]!r}; they are {', '.join(STATUSES)}")
    twice = losses.duplicated(["task", "entry", "seed"])
    if twice.any():
        first = losses[twice].iloc[0]
        raise UsageError(f"{first['entry']} has two rows for seed {first['seed']} of {first['task']}; keep the latest")
    if ((losses["status"] == "done") & losses["seed"].isna()).any():
        raise UsageError("a chain that is done names its seed")
    return losses


def _grid(losses: pd.DataFrame, tasks: Sequence[str]) -> _Grid:
    entry, entries = pd.factorize(losses["entry"], sort=True)
    seed, seeds = pd.factorize(losses["seed"], sort=True)  # -1 where a row names none
    task = pd.Index(tasks).get_indexer(losses["task"])
    code = losses["status"].map(_CODE).to_numpy(np.int8)
    value = pd.to_numeric(losses["loss"]).to_numpy(float, na_value=np.nan)
    shape = len(entries), len(tasks), max(len(seeds), 1)
    loss, state = np.full(shape, np.nan), np.full(shape, _ABSENT, np.int8)
    one, whole = (seed >= 0) & (task >= 0), (seed < 0) & (task >= 0)
    loss[entry[one], task[one], seed[one]] = value[one]
    state[entry[one], task[one], seed[one]] = code[one]
    for n, k, c in zip(entry[whole], task[whole], code[whole], strict=True):
        state[n, k, state[n, k] == _ABSENT] = c
    return _Grid(tuple(entries), tuple(tasks), tuple(seeds), loss, state)


def _log(loss: Array, floor: Array | float, log_loss: Array | bool) -> Array:
    """a = log(E + r), or E itself (rule 1).  An estimate below 0 of what cannot be below 0 counts as 0."""
    return np.where(log_loss, loss, np.log(np.where(log_loss, 1.0, np.maximum(loss, 0) + floor)))


def _taking_part(losses, grid: _Grid, tasks: Mapping[str, Task], none: int, planned: int | None):
    """Why tasks take no part, task -> sentence, and notes on chains that do not (rule 2)."""
    excluded = {
        name: f"{name} has no calibration: `collapse-bench suite calibrate` measures its gap and its floor"
        for name in sorted(set(losses["task"].unique()) - set(tasks))
    }
    notes = []
    for k, name in enumerate(grid.tasks):
        run = int((grid.state[:, k] != _ABSENT).any(0).sum())
        chains = int(grid.done[none, k].sum())
        if not run:
            excluded[name] = f"{name} has not been run"
        elif not chains:
            excluded[name] = f"{name} has no chain in which {grid.entries[none]} has a finite loss"
        elif reason := nothing_to_avert(tasks[name], planned or chains):
            excluded[name] = f"{name} has {reason}"
        elif run > chains:
            notes.append(
                f"{name}: {run - chains} of {run} chains have no finite loss of {grid.entries[none]}; left out"
            )
    return excluded, notes


# ---------------------------------------------------------------------------------------------------- chains


@dataclass(frozen=True)
class _Measured:
    """Every chain scored (rules 1 and 3).  What counts are the chains in which ``none`` has a finite loss."""

    entries: tuple[str, ...]  # N
    tasks: tuple[Task, ...]  # K
    names: tuple[str, ...]  # K
    seeds: tuple  # C
    none: int  # which entry
    live: Mask  # (K, C) the chains that count
    failed: Mask  # (N, K, C)
    skipped: Mask  # (N, K)
    known: Mask  # (N, K, C) has a score
    status: NDArray  # (N, K) done, skipped, over-budget, re-run, incomplete
    a: Array  # (N, K, C) nats; of a failed chain the one that -3 stands for
    s: Array  # (N, K, C), NaN where not known

    @cached_property
    def chains(self) -> NDArray[np.int64]:
        """R_k (K,)."""
        return self.live.sum(-1)

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """Chains of each entry that have a loss or failed (N, K); 0 where skipped."""
        return np.where(self.skipped, 0, self.known.sum(-1))

    @cached_property
    def s_k(self) -> Array:
        """S_k (N, K), over the chains there are."""
        return _mean(self.s, self.known)


def _measured(grid: _Grid, tasks: Sequence[Task], none: int) -> _Measured:
    floor, gap, log_loss = (np.array([getattr(task, what) for task in tasks])[:, None] for what in _CALIBRATED)
    live = grid.done[none]
    done, failed = grid.done & live, grid.failed & live
    skips = grid.state == _SKIPPED
    skipped = skips.any(-1) & (skips | (grid.state == _ABSENT)).all(-1)
    known = done | failed | (skipped[..., None] & live)
    over, broken = (((grid.state == code) & live).any(-1) for code in (_OVER_BUDGET, _BROKEN_OFF))
    whole = (known | ~live).all(-1)
    status = np.select([skipped, whole, over, broken], ["skipped", "done", "over-budget", "re-run"], "incomplete")

    a = _log(np.where(done, grid.loss, np.nan), floor, log_loss)
    a = np.where(failed, a[none] - WORST * gap, np.where(skipped[..., None], a[none], a))
    s = np.where(failed, WORST, np.maximum((a[none] - a) / gap, WORST))
    return _Measured(
        grid.entries, tuple(tasks), grid.tasks, grid.seeds, none, live, failed, skipped, known, status, a, s
    )


# ---------------------------------------------------------------------------------------------------- adding up


@dataclass(frozen=True)
class _Sums:
    """A weighted mean over tasks, and how far each chain pulls it (rule 5)."""

    mean: Array  # (N,) sum of w_k S_k
    pulls: Array  # (N, P) one per (block, seed); their squares add up to the variance of the mean
    group: Array  # (P, G) 0/1: chains that serve the same tasks of one block vary alike
    df: Array  # (G,)

    def spread(self, pulls: Array) -> tuple[Array, Array]:
        """Standard error and Welch's degrees of freedom (...) of pulls (..., P)."""
        variance, df = welch(pulls**2 @ self.group, self.df)
        return np.sqrt(variance), df

    def difference(self, rows: Sequence[int], others: Sequence[int]) -> tuple[Array, Array, Array]:
        """Rows less others, pair by pair or one to many: difference, standard error, df (M,), chain by chain."""
        return self.mean[rows] - self.mean[others], *self.spread(self.pulls[rows] - self.pulls[others])

    def p(self, these: Sequence[int], others: Sequence[int], rows: int = 2) -> Array:
        """p (M,) of such pairs: picked from among ``rows`` rows (Tukey), or a pair by itself (Student) (rule 6)."""
        difference, se, df = self.difference(these, others)
        return tukey_p(_t(difference, se), rows, df)


def _sums(held: _Measured, part: Sequence[int], weight: Array) -> _Sums:
    """Add up the tasks of ``part`` with ``weight (K,)``.

    Where all tasks of block b run on the same R_b seeds this is rule 5 to the letter, V = sum over b of var(h_b) / R_b
    with h_bc = sum of w_k s_kc: chain c pulls by (h_bc - mean) / sqrt(R_b (R_b - 1)), and the squares add up.  Where
    seeds differ (one task ran longer, doing nothing lost a chain), each task's share of a pull takes that task's own
    R_k, so that a covariance is counted over the chains that two tasks share, and over no other.  Below five chains
    there is no spread to speak of: NaN.
    """
    s, live, weight = held.s[:, part], held.live[part], weight[part]
    chains, mean = live.sum(-1), held.s_k[:, part]
    enough = chains >= FOR_INTERVAL
    scale = np.where(enough, weight / np.sqrt(np.where(enough, chains * (chains - 1), 1)), np.nan)
    pull = np.where(live, s - mean[..., None], 0.0) * scale[:, None]  # (N, K, C)
    pulls, serves = [], []
    for mine in _blocks(held, part).values():
        seeds = live[mine].any(0)
        pulls.append(pull[:, mine][..., seeds].sum(1))  # (N, P_b)
        serves.append((live & np.isin(np.arange(len(part)), mine)[:, None])[:, seeds].T)  # (P_b, K)
    kinds, which = np.unique(np.concatenate(serves), axis=0, return_inverse=True)
    group = np.eye(len(kinds))[which.ravel()]  # (P, G)
    keeps = np.where(kinds, (chains - 1) / chains, 1.0).min(-1)  # each mean costs its chains one degree of freedom
    whole = np.where(_whole(held)[:, part].all(-1), mean @ weight, np.nan)
    return _Sums(whole, np.concatenate(pulls, -1), group, np.maximum(group.sum(0) * keeps, SAME))


def _whole(held: _Measured) -> Mask:
    """Which tasks of an entry may enter a mean (N, K): no silent averaging over what there happens to be."""
    return np.isin(held.status, ("done", "skipped"))


def _blocks(held: _Measured, part: Sequence[int]) -> dict[str, list[int]]:
    """The tasks of each block, as places within ``part``."""
    out: dict[str, list[int]] = {}
    for at, k in enumerate(part):
        out.setdefault(held.tasks[k].block, []).append(at)
    return dict(sorted(out.items()))


def _mean(values: Array, where: Mask) -> Array:
    """Mean over the last dimension of what is there, NaN where nothing is (...)."""
    where = np.broadcast_to(where, values.shape)
    count = where.sum(-1)
    total = np.where(where, values, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _aggregated(held: _Measured, shown: Collection[str]) -> tuple[list[int], list[str]]:
    """The tasks that make up S: families too short of chains are shown, not aggregated (rule 7), and so are tasks on
    which some entries were never to compete.

    The bar is the highest that some family reaches: 10 chains, else 5, else none.  So a board of short runs still has
    scores, and a long family is not kept from its tiers by the text family that is still at four chains.
    """
    everyone = [k for k, name in enumerate(held.names) if name not in shown] or list(range(len(held.names)))
    fewest: dict[str, tuple[int, str]] = {}
    for k in everyone:
        task, name, n = held.tasks[k], held.names[k], int(held.chains[k])
        fewest[task.family] = min(fewest.get(task.family, (n, name)), (n, name))
    most = max(n for n, _ in fewest.values())
    bar = max(n for n in (1, FOR_INTERVAL, FOR_TIER) if n <= most)
    notes = [
        f"family {family} is shown, not aggregated: {name} has {n} chain(s), and {bar} are the bar here"
        for family, (n, name) in sorted(fewest.items())
        if n < bar
    ]
    if some := len(held.names) - len(everyone):
        notes.append(f"{some} task(s) that are planned for some entries alone are shown by task, not aggregated")
    return [k for k in everyone if fewest[held.tasks[k].family][0] >= bar], notes


def _weights(families: Sequence[str], part: Sequence[int]) -> Array:
    """w_k (K,): equal families, and equal tasks within a family; 0 for tasks outside ``part`` (rule 4)."""
    inside = [families[k] for k in part]
    weight = np.zeros(len(families))
    weight[part] = [1 / (len(set(inside)) * inside.count(family)) for family in inside]
    return weight


def _risk(held: _Measured, ceiling: int | None) -> Array:
    """log(mean E_none / mean E_entry) / log(mean E_none / mean E_nature) (N, K): means before logarithms (rule 4).

    So one chain in a hundred that explodes shows here and not in S.  E includes the floor r_k, which keeps a loss of 0
    from a score of infinity and changes no sign of a task; losses in nats are averaged as perplexities; a failed chain
    has the loss that -3 stands for.  NaN where nature is not there, or does no better than none in these chains.
    """
    if ceiling is None:
        return np.full(held.a.shape[:2], np.nan)
    level = logsumexp(np.where(held.live, held.a, -np.inf), axis=-1) - np.log(held.chains)  # (N, K)
    gap = level[held.none] - level[ceiling]
    return np.divide(level[held.none] - level, gap, out=np.full(level.shape, np.nan), where=gap > 0)


def _t(difference: ArrayLike, se: ArrayLike) -> Array:
    """t (...), infinite where something differs and nothing varies, 0 where nothing differs."""
    difference, se = np.broadcast_arrays(np.asarray(difference, float), np.asarray(se, float))
    out = np.where(np.isnan(difference) | np.isnan(se), np.nan, np.copysign(np.inf, difference))
    np.divide(difference, se, out=out, where=se > 0)
    out[(np.abs(difference) <= SAME) & ~np.isnan(se)] = 0.0
    return out


# ---------------------------------------------------------------------------------------------------- tables


def _rows(held, part, weight, sums, risk, track, controls, focus) -> pd.DataFrame:
    entries = held.entries
    control = np.isin(entries, list(controls))
    names, chains = [held.names[k] for k in part], held.chains[part]
    reason = [_reason(control[n], held.status[n, part], names, chains.min()) for n in range(len(entries))]
    ranked = np.array([not why for why in reason])
    fits = (~held.skipped[:, part]).sum(-1)
    fewest = np.where(held.skipped, held.chains.max(), held.counted)[:, part].min(-1)
    risk = risk[:, part] @ weight[part]
    rows = pd.DataFrame(
        {
            "entry": entries,
            "track": track,
            "control": control,
            **_interval(sums),
            "chains": np.where(fits > 0, fewest, 0),
            **_tiers(sums, ranked, entries, track),
            "ranked": ranked,
            "reason": reason,
            "fits": [f"{k} of {len(part)}" for k in fits],
            "failed": held.failed[:, part].sum((-1, -2)) / np.maximum(held.counted[:, part].sum(-1), 1),
            **_worst(held, part),
            "harmed": _harmed(held)[:, part].mean(-1),
            "risk": risk,
            "risk_flag": (risk * sums.mean < 0) & (np.abs(risk) > SAME) & (np.abs(sums.mean) > SAME),
            **_against(sums, entries, held.none, focus, ranked),
        }
    )
    order = rows.assign(unscored=rows["S"].isna()).sort_values(
        ["control", "unscored", "S", "entry"], ascending=[True, True, False, True]
    )
    return rows.loc[order.index].reset_index(drop=True)


def _per_task(held: _Measured, risk: Array, weight: Array) -> pd.DataFrame:
    n = len(held.entries)
    return pd.DataFrame(
        {
            "entry": np.repeat(held.entries, len(held.names)),
            "task": np.tile(held.names, n),
            "family": [task.family for task in held.tasks] * n,
            "S_k": held.s_k.ravel(),
            "se": _standard_error(held).ravel(),
            "chains": held.counted.ravel(),
            "failed": held.failed.sum(-1).ravel(),
            "status": held.status.ravel(),
            "harmed": _harmed(held).ravel(),
            "risk": risk.ravel(),
            "weight": np.tile(weight, n),
        }
    )


def _families(held: _Measured, part: Iterable[int]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for k in part:
        out.setdefault(held.tasks[k].family, []).append(k)
    return dict(sorted(out.items()))


def _per_family(held: _Measured, part: Sequence[int]) -> pd.DataFrame:
    tables = []
    chains = np.where(held.skipped, held.chains, held.counted)
    inside = _families(held, part)
    for family, mine in (_families(held, range(len(held.tasks))) | inside).items():
        sums = _sums(held, mine, np.full(len(held.tasks), 1 / len(mine)))
        table = {"entry": held.entries, "family": family, **_interval(sums), "chains": chains[:, mine].min(-1)}
        tables.append(pd.DataFrame({**table, "tasks": len(mine), "aggregated": family in inside}))
    return pd.concat(tables).sort_values(["entry", "family"], ignore_index=True)


def _per_chain(held: _Measured, part: Sequence[int], weight: Array) -> pd.DataFrame:
    """h_bc (N, block x seed): what each chain says of S (rule 5)."""
    s = np.where(held.live, held.s, held.s_k[..., None])[:, part]  # (N, K, C)
    columns, values = [], []
    for block, mine in _blocks(held, part).items():
        seeds = np.flatnonzero(held.live[part][mine].any(0))
        columns += [(block, held.seeds[c]) for c in seeds]
        values.append(np.einsum("nkc,k->nc", s[:, mine][..., seeds], weight[part][mine]))
    index = pd.MultiIndex.from_tuples(columns, names=["block", "seed"])
    return pd.DataFrame(np.concatenate(values, -1), pd.Index(held.entries, name="entry"), index)


def _interval(sums: _Sums) -> dict[str, Array]:
    """S with its 95 % interval by t over chains (rule 5)."""
    se, df = sums.spread(sums.pulls)
    half = t_critical(df) * se
    df = np.where(np.isnan(se), np.nan, df)
    return {"S": sums.mean, "low": sums.mean - half, "high": sums.mean + half, "se": se, "df": df}


def _standard_error(held: _Measured) -> Array:
    """Standard error (N, K) of S_k over the chains there are, NaN for fewer than two."""
    n = held.known.sum(-1)
    squares = np.where(held.known, (held.s - held.s_k[..., None]) ** 2, 0.0).sum(-1)
    return np.sqrt(np.divide(squares, n * (n - 1), out=np.full(n.shape, np.nan), where=n > 1))


def _harmed(held: _Measured) -> Mask:
    """Tasks (N, K) whose S_k lies below 0 with its whole 95 % interval (rule 4)."""
    reach = np.where(held.chains >= FOR_INTERVAL, t_critical(np.maximum(held.chains - 1, 1)), np.nan)
    mean = held.s_k
    return (held.status == "done") & (mean < -SAME) & (mean + reach * _standard_error(held) < 0)


def _worst(held: _Measured, part: Sequence[int]) -> dict[str, Array | list[str]]:
    """The aggregated family with the lowest S of each row, and that S (rule 4)."""
    families = _families(held, part)
    names, s_k = list(families), np.where(_whole(held), held.s_k, np.nan)
    means = np.stack([s_k[:, mine].mean(-1) for mine in families.values()], -1)  # (N, F)
    at, worst = np.where(np.isnan(means), np.inf, means).argmin(-1), means.min(-1)
    return {
        "worst_family": ["" if np.isnan(s) else names[f] for f, s in zip(at, worst, strict=True)],
        "worst_score": worst,
    }


def _reason(control: bool, status: NDArray, names: Sequence[str], chains: int) -> str:
    """Why an entry holds no rank, one sentence; empty where it does."""
    sentences = {
        "over-budget": "over its budget on {}",
        "re-run": "broken off on {}: run it again",
        "incomplete": "incomplete: chains are missing on {}",
    }
    parts = ["a control: shown, not ranked"] if control else []
    for what, sentence in sentences.items():
        if at := [name for name, is_so in zip(names, status == what, strict=True) if is_so]:
            parts.append(sentence.format(", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")))
    if (status == "skipped").all():
        parts.append("fits no task of this board")
    if not parts and chains < FOR_TIER:
        parts.append(f"{chains} chain(s), and a tier needs {FOR_TIER}")
    return "; ".join(parts)


def _tiers(sums: _Sums, ranked: Mask, entries: Sequence[str], track: Sequence[str]) -> dict[str, pd.Series | Array]:
    """tier, rank and p_above (N,) of the ranked rows, track by track (rules 6 to 8).

    A board of equals splits in 5 % or less: 5.1 % (6 rows, 32 chains), 4.6 % (28 rows, 32), 4.5 % (6 rows, 10) and
    3.5 % (30 rows, 10).
    """
    tier, rank = (pd.Series(pd.NA, range(len(entries)), dtype="Int64") for _ in range(2))
    p_above = np.full(len(entries), np.nan)
    tracks: dict[str, list[int]] = {}
    for n in sorted(np.flatnonzero(ranked), key=lambda n: (-sums.mean[n], entries[n])):
        tracks.setdefault(track[n], []).append(n)
    for order in tracks.values():
        start, number = 0, 0
        while start < len(order):
            later = order[start + 1 :]
            worse = np.flatnonzero(sums.p([order[start]], later, rows=len(order)) < ALPHA)
            end = start + 1 + int(worse[0]) if len(worse) else len(order)
            number += 1
            tier[order[start:end]], rank[order[start:end]] = number, start + 1
            start = end
        p_above[order[1:]] = sums.p(order[:-1], order[1:], rows=len(order))
    return {"tier": tier, "rank": rank, "p_above": p_above}


def _against(
    sums: _Sums, entries: Sequence[str], none: int, focus: str | None, ranked: Mask
) -> dict[str, Array | list]:
    """Each row against doing nothing, against the focus row, against real-only (rules 6 and 8)."""
    everyone = np.arange(len(entries))
    p_none = np.where(everyone == none, np.nan, sums.p(everyone, [none]))
    p_focus = np.full(len(entries), np.nan)
    if focus is not None and ranked[i := entries.index(focus)]:
        others = np.flatnonzero(ranked & (everyone != i))
        p_focus[others] = holm(sums.p([i], others))
    words = [""] * len(entries)
    if REAL_ONLY in entries:
        i = entries.index(REAL_ONLY)
        above, p = sums.mean > sums.mean[i], sums.p(everyone, [i])
        known = ~np.isnan(sums.mean - sums.mean[i]) & (everyone != i)
        words = [_verdict(*three) if yes else "" for yes, *three in zip(known, p, above, strict=True)]
    return {"p_none": p_none, "p_focus": p_focus, "beats_real_only": words}


def _verdict(p: float, above: bool) -> str:
    return "cannot tell" if not p < ALPHA else "yes" if above else "no"


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
