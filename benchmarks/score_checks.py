"""Do the statistics of the score hold on the chains of the suite `standard`?

    python benchmarks/score_checks.py               # 1600 chains a cell, four minutes on one core
    python benchmarks/score_checks.py 6400             # 200 boards of 32 chains that share none

Equals are one method entered several times under names of its own: draws are keyed by the name
under which a method acts, so that each has private randomness, and truth, exam and the protocol's
draws in common.  Boards of 32 chains are cut from a large pool of chains and scored by
`collapse_bench.board.score`, with the gaps and floors of the suite file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from collapse_bench.core.cell import Cell
from collapse_bench.core.components import Mitigation
from collapse_bench.core.loop import generations
from collapse_bench.registry.discovery import registry
from collapse_bench.scoring.rules import ALPHA
from collapse_bench.scoring.score import Scores, compare, score
from collapse_bench.scoring.task import Task
from collapse_bench.suite.expand import Suite, expand
from collapse_bench.suite.model import find_suite, read_suite

CHAINS = 32  #: of a board, as the suite runs them
CHUNK = 200  #: chains that are run at a time; they are independent, so that it changes no number
CHEAP = (
    "gaussian | gaussian-fit | replace @ n=100 T=20",
    "gaussian | gaussian-fit | mix(real=0.1) @ n=100 T=20",
    "linear | ols | replace @ n=100 T=10",
    "linear | ols | mix(real=0.1) @ n=100 T=10",
    "zipf | counts | replace @ n=1000 T=10",
    "bigram(K=30) | counts | mix(real=0.1) @ n=600 T=10",
)
EQUALS = {
    "real-anchor(share=0.1)": 8,
    "replay": 2,
    "noise-augmentation": 2,
}  #: method -> rows that it is entered as


def twin(act: Mitigation, number: int) -> Mitigation:
    """The same method under another name: it draws numbers of its own, and computes the same with
    them."""
    name = f"{act.title()}-{number}"
    cls = dataclass(frozen=True)(type(type(act).__name__, (type(act),), {"name": name}))
    return cls(**{f.name: getattr(act, f.name) for f in fields(act)})


def cells(suite: Suite, equals: Mapping[str, int] = EQUALS) -> Iterator[tuple[str, str, Cell]]:
    """(task, row, cell): doing nothing, and every method as often as it is entered."""
    for entry in suite.entries:
        if entry.task in CHEAP and entry.role != "curve" and entry.skip is None:
            if entry.name == "none":
                yield entry.task, "none", entry.cell
            for number in range(equals.get(entry.name, 0)):
                acts = tuple(twin(act, number) for act in entry.cell.mitigations)
                yield entry.task, f"{entry.name} {number}", replace(entry.cell, mitigations=acts)


def final_losses(cell: Cell, seeds: Sequence[int]) -> np.ndarray:
    """Primary loss of each chain at the horizon (C,)."""
    *_, last = generations(cell.for_seeds(seeds))
    return last.scores[cell.data.primary].double().numpy()


def pool(
    suite: Suite, chains: int, equals: Mapping[str, int] = EQUALS
) -> dict[tuple[str, str], np.ndarray]:
    """(task, row) -> losses (C,) at the horizon of seeds 0, 1, ..."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for first in range(0, chains, CHUNK):
        for task, row, cell in cells(suite, equals):
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
    loss: np.ndarray  # (N, K, C)

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
        )

    def scored(self, chains: np.ndarray | slice = slice(None), focus: str | None = None) -> Scores:
        """The board of these chains; rows rank among their equals."""
        loss = self.loss[..., chains]
        index = pd.MultiIndex.from_product(
            [self.rows, self.tasks, range(loss.shape[-1])], names=["entry", "task", "seed"]
        )
        frame = pd.DataFrame({"loss": loss.ravel(), "status": "done"}, index).reset_index()
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

    def improved(self, row: int, by: float) -> Pool:
        """The same chains, of which one row scores ``by`` more on every task, as far as a loss of 0
        lets it."""
        loss = self.loss.copy()
        for k, task in enumerate(self.tasks.values()):
            if task.log_loss:
                loss[row, k] -= task.gap * by
            else:
                loss[row, k] = np.maximum(
                    (loss[row, k] + task.floor) * np.exp(-task.gap * by) - task.floor, 0
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
            *(getattr(frozen[name], key) for key in ("floor", "gap", "gap_sd")),
            data[name].log_loss,
        )
        for name in dict.fromkeys(task for task, _ in losses)
    }
    rows = tuple(dict.fromkeys(row for _, row in losses))
    rows = ("none", *(row for row in rows if row != "none"))
    method = tuple(row.rpartition(" ")[0] or row for row in rows)
    return Pool(
        rows, method, tasks, np.array([[losses[task, row] for task in tasks] for row in rows])
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
    methods = [method for method in dict.fromkeys(pool.method) if method != "none"]
    return [*_of_equals(pool, methods, boards, seed), *_planted(pool, methods, planted, seed + 1)]


def _of_equals(pool: Pool, methods: Sequence[str], boards: int, seed: int) -> list[Check]:
    names = {method: [pool.rows[n] for n in pool.equals(method)] for method in methods}
    whole = pool.scored().rows.set_index("entry").S
    truth = {method: whole[mine].mean() for method, mine in names.items()}
    inside = np.sqrt(
        1 - CHAINS / pool.chains
    )  # a board varies less about the mean of its own pool than about the truth
    pairs, splits, covered = (np.empty((len(methods), boards)) for _ in range(3))
    for b, (dealt, chains) in enumerate(pool.boards(boards, seed)):
        scores = dealt.scored(chains)
        rows = scores.rows.set_index("entry")
        for m, (method, mine) in enumerate(names.items()):
            s, high, tier = rows.loc[mine, ["S", "high", "tier"]].to_numpy(float).T
            pairs[m, b] = np.mean(
                [compare(scores, *pair).p < ALPHA for pair in combinations(mine, 2)]
            )
            splits[m, b] = tier.max() > 1
            covered[m, b] = np.mean(np.abs(s - truth[method]) <= (high - s) * inside)
    out = [
        Check(f"two equals called different: {name}", 0, 0.06, pairs[m])
        for m, name in enumerate(methods)
    ]
    for m, (name, mine) in enumerate(names.items()):
        if len(mine) > 2:
            out.append(Check(f"a board of {len(mine)} equals split: {name}", 0, 0.06, splits[m]))
    return out + [
        Check(f"coverage of the 95 % interval: {name}", 0.93, 0.97, covered[m])
        for m, name in enumerate(methods)
    ]


def _planted(pool: Pool, methods: Sequence[str], boards: int, seed: int) -> list[Check]:
    """An improvement by one standard deviation over chains of the difference of two equals."""
    pairs, focus = [], []
    h = pool.scored().chains
    for method in methods:
        mine = pool.equals(method)
        best, *others = (pool.rows[n] for n in mine)
        by = float(
            np.mean([(h.loc[a] - h.loc[b]).std() for a, b in combinations([best, *others], 2)])
        )
        equals, found = pool.only([0, *mine]), np.empty((2, boards))
        for b, (dealt, chains) in enumerate(equals.boards(boards, seed)):
            scores = dealt.improved(1, by).scored(chains, focus=best)
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


def standard() -> Suite:
    path = find_suite("standard", registry())
    return expand(read_suite(path), registry(), path)


def main() -> None:
    chains = int(sys.argv[1]) if len(sys.argv) > 1 else 1600
    suite = standard()
    found = checks(gathered(suite, pool(suite, chains)))
    print(table(found))
    sys.exit(not all(check.kept for check in found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
