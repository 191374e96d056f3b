"""Do the statistics of the score hold, in simulations and on real chains?

    python benchmarks/score_checks.py simulated        # boards of simulated losses, ten minutes
    python benchmarks/score_checks.py chains           # nine exact tasks, 2048 chains a cell
    python benchmarks/score_checks.py chains 6400      # 200 boards of 32 chains that share none

Equals are one method entered several times under names of its own: draws are keyed by the name
under which a method acts, so that each has private randomness, and truth, exam and the protocol's
draws in common.  Boards of 32 chains are cut from a large pool of chains and scored by
`collapse_bench.scoring`, with the gaps and floors of the suite file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

from collapse_bench import api
from collapse_bench.core.cell import Cell
from collapse_bench.core.components import Mitigation
from collapse_bench.core.loop import generations
from collapse_bench.registry.discovery import registry
from collapse_bench.scoring.resampling import resampled
from collapse_bench.scoring.rules import ALPHA, REFUSED
from collapse_bench.scoring.score import compare, score
from collapse_bench.scoring.task import Task, harm_unit
from collapse_bench.status import Status
from collapse_bench.suite.expand import Suite, expand
from collapse_bench.suite.model import read_suite

CHAINS = 32  #: of a board, as the suite runs them
CHUNK = 200  #: chains that are run at a time; they are independent, so that it changes no number
EQUALS = {
    "real-anchor(share=0.1)": 8,
    "replay": 2,
    "noise-augmentation": 2,
}  #: method -> rows that it is entered as
TASKS = """
name = "chains"
version = 2
title = "Exact tasks that are cheap enough for thousands of chains"
seeds = "0:32"
generations = 10
n = 100
protocols = ["replace"]
mitigations = [
    "real-anchor(share=0.1)",
    "replay",
    "noise-augmentation",
    "golden-ratio",
    "tracking",
    "unbiased-decoding",
]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
generations = 20

[[tasks]]
data = "gaussian(drift=0.01)"
model = "gaussian-fit"
generations = 20
protocols = ["mix(real=0.1)"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
generations = 20
protocols = ["mix(real=0.1, decode=temperature(t=0.8))"]

[[tasks]]
data = "linear(d=10)"
model = "ols"
protocols = ["accumulate(real=0.1)"]

[[tasks]]
data = "zipf(K=200, novel=0.05)"
model = "counts"
n = 1000
protocols = ["mix(real=0.1)"]

[[tasks]]
data = "zipf(K=1000)"
model = "counts"
n = 1000
protocols = ["replace", "replace(decode=temperature(t=0.9))"]

[[tasks]]
data = "bigram(K=30)"
model = "counts"
n = 600
protocols = ["accumulate(real=0.1)"]

[[tasks]]
data = "half-space(d=20)"
model = "least-squares"
n = 200
protocols = ["mix(real=0.1)"]
"""  #: in four of them the world moves or the pool grows
#: what acts without draws of its own, and is entered once; the first and the last do not fit all
#: tasks, the second refuses some
SINGLE = {"golden-ratio": 1, "tracking": 1, "unbiased-decoding": 1}
LACKED = ("linear", "decode=temperature(t=0.8)")  #: words in the tasks that two equal rows lack


def twin(act: Mitigation, number: int) -> Mitigation:
    """The same method under another name: it draws numbers of its own, and computes the same with
    them."""
    name = f"{act.title()}-{number}"
    cls = dataclass(frozen=True)(type(type(act).__name__, (type(act),), {"name": name}))
    return cls(**{f.name: getattr(act, f.name) for f in fields(act)})


def cells(
    suite: Suite, equals: Mapping[str, int], tasks: Collection[str]
) -> Iterator[tuple[str, str, Cell]]:
    """(task, row, cell): doing nothing, and every method as often as it is entered."""
    for entry in suite.entries:
        if entry.task in tasks and entry.role != "curve" and entry.skip is None:
            if entry.name in ("none", "trivial"):
                yield entry.task, entry.name, entry.cell
            for number in range(equals.get(entry.name, 0)):
                acts = tuple(twin(act, number) for act in entry.cell.mitigations)
                yield entry.task, f"{entry.name} {number}", replace(entry.cell, mitigations=acts)


def final_losses(cell: Cell, seeds: Sequence[int]) -> np.ndarray:
    """Primary loss of each chain at the horizon (C,)."""
    *_, last = generations(cell.for_seeds(seeds))
    return last.scores[cell.data.primary].double().numpy()


def pool(
    suite: Suite,
    chains: int,
    equals: Mapping[str, int],
    tasks: Collection[str],
) -> dict[tuple[str, str], np.ndarray]:
    """(task, row) -> losses (C,) at the horizon of seeds 0, 1, ..."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for first in range(0, chains, CHUNK):
        for task, row, cell in cells(suite, equals, tasks):
            losses = final_losses(cell, range(first, min(first + CHUNK, chains)))
            found.setdefault((task, row), []).append(losses)
    return {key: np.concatenate(parts) for key, parts in found.items()}


# boards


@dataclass(frozen=True)
class Pool:
    """Losses of many chains, and the tasks as they are calibrated."""

    rows: tuple[str, ...]  # N: none first
    method: tuple[str, ...]  # N: rows of one method are equals
    tasks: dict[str, Task]  # K
    loss: np.ndarray  # (N, K, C); NaN where a row does not do a task
    status: np.ndarray  # (N, K): done, skipped or refused

    @property
    def chains(self) -> int:
        return self.loss.shape[-1]

    def equals(self, method: str) -> list[int]:
        return [n for n, of in enumerate(self.method) if of == method]

    def only(self, rows: Sequence[int]) -> Pool:
        return replace(
            self,
            rows=tuple(self.rows[n] for n in rows),
            method=tuple(self.method[n] for n in rows),
            loss=self.loss[rows],
            status=self.status[rows],
        )

    def lacking(self, rows: Sequence[int], words: Sequence[str]) -> Pool:
        """The same chains, as if these rows did not fit the tasks that contain one of the words."""
        status = self.status.copy()
        for k, task in enumerate(self.tasks):
            if any(word in task for word in words):
                status[rows, k] = Status.SKIPPED
        return replace(self, status=status)

    def scored(self, chains: np.ndarray | slice = slice(None), focus: str | None = None):
        """The board of these chains; rows rank among their equals."""
        loss = self.loss[..., chains]
        index = pd.MultiIndex.from_product(
            [self.rows, self.tasks, range(loss.shape[-1])], names=["entry", "task", "seed"]
        )
        status = np.repeat(self.status.ravel(), loss.shape[-1])
        values = np.where(status == Status.DONE, loss.ravel(), np.nan)
        frame = pd.DataFrame({"loss": values, "status": status}, index).reset_index()
        tracks = dict(zip(self.rows, self.method, strict=True))
        return score(frame, self.tasks, focus=focus, tracks=tracks, planned=CHAINS)

    def boards(self, count: int, seed: int) -> Iterator[tuple[Pool, np.ndarray]]:
        """``count`` boards, and which chains each has.  Those of one deal share no chain; then the
        pool is dealt again.

        Before every deal equals are exchanged at random, chain by chain: given what they have in
        common their losses are draws of one law, so that boards are as likely as before, and differ
        from those of other deals.
        """
        rng, dealt = np.random.default_rng(seed), 0
        while dealt < count:
            loss = self.loss.copy()
            for method in dict.fromkeys(self.method):
                mine = self.equals(method)
                order = rng.permuted(
                    np.tile(np.arange(len(mine))[:, None], self.chains), axis=0
                )  # (M, C)
                loss[mine] = np.take_along_axis(loss[mine], order[:, None], 0)
            shuffled, order = replace(self, loss=loss), rng.permutation(self.chains)
            for chains in order[: self.chains // CHAINS * CHAINS].reshape(-1, CHAINS)[
                : count - dealt
            ]:
                yield shuffled, chains
                dealt += 1

    def units(self, method: str) -> np.ndarray:
        """The unit of the score of a method on each task (K,), in nats: by the sign of its mean."""
        tasks = list(self.tasks.values())
        gap = np.array([task.gap for task in tasks])
        known = self.scored().per_task
        mine = known[known.entry.isin([self.rows[n] for n in self.equals(method)])]
        sign = mine.groupby("task")["S_k"].mean().reindex(list(self.tasks))
        harm = np.array([harm_unit(task, CHAINS) for task in tasks])
        return np.where(sign < 0, harm, gap)

    def improved(self, row: int, by: float, units: np.ndarray) -> Pool:
        """The same chains, of which one row scores ``by`` more on every task, as far as a loss of 0
        lets it.  units: of its score on each task (K,), in nats."""
        loss = self.loss.copy()
        for k, (task, unit) in enumerate(zip(self.tasks.values(), units, strict=True)):
            if task.log_loss:
                loss[row, k] -= unit * by
            else:
                loss[row, k] = np.maximum(
                    (loss[row, k] + task.floor) * np.exp(-unit * by) - task.floor, 0
                )
        return replace(self, loss=loss)


def gathered(suite: Suite, losses: Mapping[tuple[str, str], np.ndarray]) -> Pool:
    """The pool of these losses, with the gaps and floors that are frozen in the suite."""
    frozen = {row.task: row for row in suite.model.calibration}
    data = {entry.task: entry.cell.data for entry in suite.entries}
    tasks = {
        name: Task(
            name,
            data[name].family,
            *(getattr(frozen[name], key) for key in ("floor", "gap", "gap_sd", "harm", "harm_sd")),
            log_loss=data[name].log_loss,
        )
        for name in dict.fromkeys(task for task, _ in losses)
    }
    rows = tuple(dict.fromkeys(row for _, row in losses))
    rows = tuple(sorted(rows, key=lambda row: (row != "none", row != "trivial")))
    method = tuple(row.rpartition(" ")[0] or row for row in rows)
    declined = {(entry.task, entry.name) for entry in suite.entries if entry.declined}
    none = np.full(len(next(iter(losses.values()))), np.nan)

    def status(task: str, row: str, name: str) -> str:
        if (task, row) in losses:
            return Status.DONE
        return REFUSED if (task, name) in declined else Status.SKIPPED

    return Pool(
        rows,
        method,
        tasks,
        np.array([[losses.get((task, row), none) for task in tasks] for row in rows]),
        np.array(
            [
                [status(task, row, name) for task in tasks]
                for row, name in zip(rows, method, strict=True)
            ],
            dtype="U12",
        ),
    )


# checks


@dataclass(frozen=True)
class Check:
    """One promise of the score, and what came of it."""

    what: str
    low: float  # allowed, as a share
    high: float
    shares: np.ndarray  # (boards,) share of the cases of each board

    @property
    def measured(self) -> float:
        return float(self.shares.mean())

    @property
    def error(self) -> float:
        """Standard error, boards taken as independent."""
        return float(self.shares.std(ddof=1) / np.sqrt(len(self.shares)))

    @property
    def kept(self) -> bool:
        return self.low <= self.measured <= self.high


def checks(pool: Pool, boards: int = 1000, planted: int = 200, seed: int = 1) -> list[Check]:
    """Every promise on ``boards`` boards of equals, and on ``planted`` boards with a planted
    improvement."""
    methods = [method for method in dict.fromkeys(pool.method) if method not in ("none", "trivial")]
    return [*_of_equals(pool, methods, boards, seed), *_planted(pool, methods, planted, seed + 1)]


def _of_equals(pool: Pool, methods: Sequence[str], boards: int, seed: int) -> list[Check]:
    names = {method: [pool.rows[n] for n in pool.equals(method)] for method in methods}
    several = {method: mine for method, mine in names.items() if len(mine) > 1}
    whole = pool.scored().rows.set_index("entry").S
    truth = {method: whole[mine].mean() for method, mine in names.items()}
    inside = np.sqrt(
        1 - CHAINS / pool.chains
    )  # a board varies less about the mean of its own pool than about the truth
    pairs, splits, covered = (np.empty((len(methods), boards)) for _ in range(3))
    in_one, size = np.empty(boards), sum(map(len, names.values()))
    for b, (dealt, chains) in enumerate(pool.boards(boards, seed)):
        scores = dealt.scored(chains)
        rows = scores.rows.set_index("entry")
        for m, (method, mine) in enumerate(names.items()):
            s, low, high, tier = rows.loc[mine, ["S", "low", "high", "tier"]].to_numpy(float).T
            if method in several:
                different = [compare(scores, *pair).p < ALPHA for pair in combinations(mine, 2)]
                pairs[m, b] = np.mean(different)
            splits[m, b] = tier.max() > 1
            within = np.where(s < truth[method], high - s, s - low)
            covered[m, b] = np.mean(np.abs(s - truth[method]) <= within * inside)
        in_one[b] = any(_told_apart(scores, mine, size) for mine in several.values())
    out = [
        Check(f"two equals called different: {name}", 0, 0.06, pairs[m])
        for m, name in enumerate(methods)
        if name in several
    ]
    for m, (name, mine) in enumerate(names.items()):
        if len(mine) > 2:
            out.append(Check(f"a board of {len(mine)} equals split: {name}", 0, 0.06, splits[m]))
    what = f"any two equals of a board of {size} rows in one track: called different"
    out.append(Check(what, 0, 0.06, in_one))
    return out + [
        Check(f"coverage of the 95 % interval: {name}", 0.93, 0.97, covered[m])
        for m, name in enumerate(methods)
    ]


def _told_apart(scores, rows: Sequence[str], size: int) -> bool:
    """Whether Tukey's range of ``size`` rows says that some two of these differ."""
    i, j = np.transpose(list(combinations([scores.entries.index(row) for row in rows], 2)))
    return bool((scores.efficacy.p(i, j, size)[1] < ALPHA).any())


def _planted(pool: Pool, methods: Sequence[str], boards: int, seed: int) -> list[Check]:
    """An improvement by one standard deviation over chains of the difference of two equals."""
    pairs, focus = [], []
    h = pool.scored().chains
    methods = [method for method in methods if len(pool.equals(method)) > 1]
    for method in methods:
        units = pool.units(method)
        mine = pool.equals(method)
        best, *others = (pool.rows[n] for n in mine)
        by = float(
            np.mean([(h.loc[a] - h.loc[b]).std() for a, b in combinations([best, *others], 2)])
        )
        controls = [n for n, row in enumerate(pool.rows) if row in ("none", "trivial")]
        equals, found = pool.only([*controls, *mine]), np.empty((2, boards))
        for b, (dealt, chains) in enumerate(equals.boards(boards, seed)):
            scores = dealt.improved(len(controls), by, units).scored(chains, focus=best)
            above = [
                pair for other in others if (pair := compare(scores, best, other)).difference > 0
            ]
            holm = scores.rows.set_index("entry").p_focus[others]
            found[0, b] = sum(pair.p < ALPHA for pair in above) / len(others)
            found[1, b] = len(above) == len(others) and (holm < ALPHA).all()
        pairs.append(Check(f"{method} and {by:.3f} more: found in a pair", 0.8, 1, found[0]))
        if len(others) > 1:
            others_ = f"better than each of {len(others)}"
            what = f"{method} and {by:.3f} more: as a focus row found {others_}"
            focus.append(Check(what, 0.8, 1, found[1]))
    return pairs + focus


# simulations

GAP, FLOOR = 2.0, 1e-3  # G_k in nats, r_k
SD, COMMON = 0.5, 0.6  # of a chain's noise in nats; share of its variance common to all tasks


@dataclass(frozen=True)
class World:
    """Boards of simulated losses: ``size`` equal rows, each board a track of its own.

    A change in nats of chain c on task k is level_k plus noise that the rows of a board share (from
    `none`) plus noise of its own.  ``harm`` is A_k in units of G_k.
    """

    size: int
    level: tuple[float, ...]  # nats, per task; one family each
    harm: float = 1.0
    chains: int = CHAINS
    shared: float = 1.0  # sd of the noise that rows share, over SD
    fail: float = 0.0  # share of chains that fail
    specialists: int = 0  # rows of a board that do not fit its last task

    def tasks(self) -> dict[str, Task]:
        harm = self.harm * GAP
        return {
            f"t{k:02d}": Task(f"t{k:02d}", f"f{k}", FLOOR, GAP, 1.0, harm, 0.1 * harm)
            for k in range(len(self.level))
        }

    def noise(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """(rows, K, C), of standard deviation SD; a part of each chain is common to its tasks."""
        shape = rows, len(self.level), self.chains
        own = rng.normal(size=shape) * np.sqrt(1 - COMMON)
        return SD * (own + rng.normal(size=(rows, 1, self.chains)) * np.sqrt(COMMON))

    def changes(self, boards: int, seed: int) -> np.ndarray:
        """a_none - a of every row (boards x size, K, C) in nats, NaN where the chain fails."""
        rng = np.random.default_rng(seed)
        common = np.repeat(self.shared * self.noise(rng, boards), self.size, 0)
        change = np.array(self.level)[:, None] + common + self.noise(rng, boards * self.size)
        return np.where(rng.random(change.shape) < self.fail, np.nan, change)

    def scored(self, change: np.ndarray):
        """One call for all boards, since `none` does not vary and each board is a track."""
        tasks, rows = self.tasks(), [f"m{i:06d}" for i in range(len(change))]
        harm = self.harm * GAP
        none = np.zeros((2, *change.shape[1:]))
        none[1] = -harm  # trivial
        a = -np.concatenate([none, change])
        index = pd.MultiIndex.from_product(
            [["none", "trivial", *rows], tasks, range(self.chains)],
            names=["entry", "task", "seed"],
        )
        loss = np.exp(a).ravel() - FLOOR
        status = np.where(np.isnan(loss), "failed", "done")
        frame = pd.DataFrame({"loss": loss, "status": status}, index).reset_index()
        if self.specialists:
            lacking = {row for i, row in enumerate(rows) if i % self.size < self.specialists}
            last = frame.entry.isin(lacking) & (frame.task == max(tasks))
            frame = frame.assign(
                status=frame.status.mask(last, "skipped"), loss=frame.loss.mask(last)
            )
        tracks = {row: f"{i // self.size:06d}" for i, row in enumerate(rows)}
        return score(frame, tasks, tracks=tracks, planned=self.chains)

    def truth(self) -> float:
        """S of a row in the limit of many chains."""
        large = replace(self, chains=200_000, size=1, specialists=0).changes(1, 99)[0]
        worst = -self.harm * GAP
        mean = np.maximum(np.where(np.isnan(large), worst, large), worst).mean(-1)
        return float(np.where(mean < 0, mean / (self.harm * GAP), mean / GAP).mean())


def split(scores) -> np.ndarray:
    """Whether each board has more than one tier (boards,)."""
    rows = scores.rows[scores.rows.ranked]
    return rows.groupby("track")["tier"].max().gt(1).to_numpy(float)


def simulated(scale: float = 1.0, seed: int = 1) -> list[Check]:
    """Every promise of the score on simulated boards; ``scale`` times as many of them."""
    near = (0.0,) * 4
    mixed = (0.0, 0.05, -0.05, 0.6)
    equals = [
        ("two equal methods", World(2, (0.6,) * 4), 2000),
        ("two equal methods, all tasks at 0, A = G / 4", World(2, near, 0.25), 2000),
        ("two equal methods, all tasks at 0, A = G", World(2, near), 2000),
        ("two equal methods, all tasks at 0, A = 4 G", World(2, near, 4.0), 2000),
        (
            "two equal methods, tasks near 0, A = 4 G, little in common",
            World(2, mixed, 4.0, shared=0.2),
            2000,
        ),
        ("two equal methods, 5 % of the chains fail", World(2, mixed, fail=0.05), 2000),
        ("a board of 6 equal methods", World(6, mixed), 1000),
        ("a board of 6 equal methods, all tasks at 0, A = 4 G", World(6, near, 4.0), 1000),
        (
            "a board of 6 equal methods, 2 of them fit three of four tasks",
            World(6, (0.6,) * 4, specialists=2),
            1000,
        ),
        (
            "a board of 28 equal methods, 8 of them fit three of four tasks",
            World(28, mixed, specialists=8),
            400,
        ),
        ("a board of 8 equal methods, 10 chains", World(8, mixed, chains=10), 1000),
    ]
    out = []
    for what, world, boards in equals:
        count = max(50, round(scale * boards))
        shares = split(world.scored(world.changes(count, seed)))
        name = "called different" if world.size == 2 else "split"
        out.append(Check(f"{what}: {name}", 0, 0.06, shares))
    covered = [
        ("levels of 0.6", World(1, (0.6,) * 4), 0.93),
        ("levels of -0.6", World(1, (-0.6,) * 4), 0.93),
        ("tasks near 0, A = G", World(1, mixed), 0.93),
        ("one task at 0.05, A = 4 G", World(1, (0.05,), 4.0), 0.93),
        ("one task at 0, A = G / 4", World(1, (0.0,), 0.25), 0.93),
        ("5 % of the chains fail", World(1, (0.6, 0.6, 0.3, 0.3), fail=0.05), 0.93),
        ("all of 4 tasks at 0, A = 4 G", World(1, near, 4.0), 0.85),
    ]
    for what, world, least in covered:
        count = max(100, round(scale * 3000))
        rows = world.scored(world.changes(count, seed)).rows.query("ranked")
        truth = world.truth()
        hits = ((rows.low <= truth) & (truth <= rows.high)).to_numpy(float)
        out.append(Check(f"coverage of the 95 % interval: {what}", least, 0.97, hits))
    return out + _simulated_gains(scale, seed) + _simulated_tasks(scale, seed)


def _simulated_gains(scale: float, seed: int) -> list[Check]:
    """A row that is better by one standard deviation of h, as in the check on chains."""
    out = []
    for what, world in (
        ("in a pair", World(2, (0.6,) * 4)),
        ("in a pair, tasks near 0, A = 4 G", World(2, (0.0, 0.05, -0.05, 0.6), 4.0)),
        ("in a pair, the other fits three of four tasks", World(2, (0.6,) * 4, specialists=1)),
    ):
        count = max(50, round(scale * 1000))
        change = world.changes(count, seed)
        own = world.noise(np.random.default_rng(seed + 1), 2000).mean(1)
        change[1 :: world.size] += own.std() * np.sqrt(2)
        scores = world.scored(change)
        rows = scores.rows[scores.rows.ranked]
        better = rows.entry.str[1:].astype(int) % world.size == 1
        first = rows[rows.tier == 1].groupby("track").size()
        found = rows[better].set_index("track").tier.eq(1) & first.eq(1)
        out.append(Check(f"a planted gain found {what}", 0.8, 1, found.to_numpy(float)))
    return out


def _simulated_tasks(scale: float, seed: int) -> list[Check]:
    """Intervals over chains and tasks: levels of tasks are draws, and their mean is the truth."""
    out = []
    for m in (4, 8, 16):
        world = World(1, (0.6,) * m)
        rng, rows = np.random.default_rng(seed), max(100, round(scale * 1000))
        change = world.changes(rows, seed) + rng.normal(0, 0.3, (rows, m, 1))
        tasks = {k: replace(t, family="one") for k, t in world.tasks().items()}
        one = replace(world, level=world.level)
        object.__setattr__(one, "tasks", lambda tasks=tasks: tasks)
        found = resampled(one.scored(change), 400).set_index("entry").filter(like="m0", axis=0)
        truth = 0.6 / GAP
        hits = ((found.S_low <= truth) & (truth <= found.S_high)).to_numpy(float)
        what = f"coverage of the interval over chains and tasks: {m} tasks"
        out.append(Check(what, 0.86 if m == 4 else 0.91, 0.97, hits))
    return out


def table(found: Sequence[Check]) -> str:
    """Markdown."""
    lines = ["| check | allowed | measured | boards |", "|---|---|---|---|"]
    for c in found:
        allowed = f"{100 * c.low:.0f} to {100 * c.high:.0f} %" if c.low and c.high < 1 else ""
        allowed = allowed or (
            f"at least {100 * c.low:.0f} %" if c.low else f"at most {100 * c.high:.0f} %"
        )
        mark = "" if c.kept else " **no**"
        lines.append(
            f"| {c.what} | {allowed} | {100 * c.measured:.1f} ± {100 * c.error:.1f} %{mark} | "
            f"{len(c.shares)} |"
        )
    return "\n".join(lines)


def suite_of_chains(folder: Path) -> Suite:
    """The suite TASKS with its floors and units, measured on 256 chains a task."""
    path = folder / "chains.toml"
    path.write_text(TASKS, encoding="utf-8")
    api.calibrate(path)
    return expand(read_suite(path), registry(), path)


def real_pool(chains: int) -> Pool:
    """Real chains of TASKS, all rows in one board."""
    with tempfile.TemporaryDirectory() as folder:
        suite = suite_of_chains(Path(folder))
        return gathered(suite, pool(suite, chains, {**EQUALS, **SINGLE}, suite.tasks))


def on_chains(pool: Pool, boards: int = 1000, planted: int = 200, seed: int = 1) -> list[Check]:
    """Every promise of the score on these chains."""
    return [*checks(pool, boards, planted, seed), *lacking(pool, boards, seed + 2)]


def bias_of_chance(pool: Pool, method: str) -> float:
    """How much a board of CHAINS chains scores a method above the pool, on average.

    S_k is D / G_k above 0 and D / A_k below.  A normal D of mean m and standard deviation sd has
    the mean score of m plus (1/G_k - 1/A_k) (sd phi(z) - |m| Phi(-z)), z = |m| / sd.
    """
    scores, found = pool.scored(), []
    measured, weights = scores.efficacy.measured, scores.efficacy.weights
    harm, gap = measured.units
    for n in pool.equals(method):
        row = measured.entries.index(pool.rows[n])
        m = np.abs(measured.s_k[row] * np.where(measured.s_k[row] < 0, harm, gap))
        sd = (measured.a[measured.none] - measured.a[row]).std(-1, ddof=1) / np.sqrt(CHAINS)
        z = m / np.maximum(sd, 1e-300)
        kink = (1 / gap - 1 / harm) * (sd * norm.pdf(z) - m * norm.cdf(-z))
        found.append(weights[row] @ np.nan_to_num(kink))
    return float(np.mean(found))


def lacking(pool: Pool, boards: int, seed: int, words: Sequence[str] = LACKED) -> list[Check]:
    """Equals of which some do not fit all tasks, in the table of all families and in those of
    each."""
    method = max(EQUALS, key=EQUALS.__getitem__)
    mine = pool.equals(method)
    controls = [n for n, row in enumerate(pool.rows) if row in ("none", "trivial")]
    board = pool.only([*controls, *mine])
    partial = board.lacking([len(controls), len(controls) + 1], words)
    splits, families = np.empty((2, boards))
    for b, (dealt, chains) in enumerate(partial.boards(boards, seed)):
        scores = dealt.scored(chains)
        splits[b] = split(scores).max()
        families[b] = scores.per_family.groupby("family")["tier"].max().gt(1).mean()
    lacks = f"{len(mine)} equals, 2 of them without {len(words)} of {len(pool.tasks)} tasks"
    return [
        Check(f"a board of {lacks}: split", 0, 0.06, splits),
        Check(f"a family table of {lacks}: split", 0, 0.06, families),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    of_boards = commands.add_parser("simulated", help="boards of simulated losses")
    of_boards.add_argument("scale", type=float, nargs="?", default=1.0, help="times as many boards")
    of_chains = commands.add_parser("chains", help="boards of chains of nine exact tasks")
    of_chains.add_argument("chains", type=int, nargs="?", default=2048, help="chains of each cell")
    asked = parser.parse_args()
    if asked.what == "simulated":
        found = simulated(asked.scale)
        print(table(found))
    else:
        whole = real_pool(asked.chains)
        found = on_chains(whole)
        print(table(found))
        for method in dict.fromkeys(whole.method):
            if method not in ("none", "trivial"):
                print(f"bias of chance: {method} {bias_of_chance(whole, method):+.4f}")
    sys.exit(not all(check.kept for check in found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
