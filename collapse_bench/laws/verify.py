"""Compare the engine with the laws that plugins claim, by z-score over chains.

A law passes if the measured value is within four standard errors of it, plus the deviation that
its status allows (e.g. 3 % for a deterministic equivalent).  Only the standard errors depend on
the number of chains.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from zlib import crc32

import torch

from ..core.loop import generations, nature
from ..errors import UsageError
from ..foreign.process import safe_path
from ..registry.discovery import Registry, registry
from .claims import SLACK, Claim

LARGEST_Z = 4.0
QUICK = 10  # a quick check runs one chain in this many, but at least FEWEST
FEWEST = 60
CHUNK = 4000  # chains that are run at once


@dataclass(frozen=True)
class Verdict:
    """The result of one claim."""

    claim: Claim
    predicted: float
    measured: float
    error: float  # one standard error of the measured value
    chains: int

    @property
    def ratio(self) -> float:
        """Measured over predicted; NaN if the law predicts 0."""
        return self.measured / self.predicted if self.predicted else math.nan

    @property
    def z(self) -> float:
        """Measured minus predicted, in standard errors."""
        gap = self.measured - self.predicted
        return gap / self.error if self.error else math.copysign(math.inf, gap) if gap else 0.0

    @property
    def reach(self) -> float:
        """The largest deviation of the measured value from the law that passes."""
        reach = LARGEST_Z * self.error + SLACK[self.claim.status] * abs(self.predicted)
        return max(reach, 1e-9 * abs(self.predicted))

    @property
    def detects(self) -> float:
        """The reach as a share of the predicted value; NaN if that is 0.

        A law that is wrong by this share is found violated in half of all runs.
        """
        return self.reach / abs(self.predicted) if self.predicted else math.nan

    @property
    def within(self) -> bool:
        """Whether the measured value agrees with the law."""
        return abs(self.measured - self.predicted) <= self.reach

    @property
    def good(self) -> bool:
        """Whether the result is as expected: refuted laws must not agree, all others must."""
        return self.within != (self.claim.status == "REFUTED")

    @property
    def word(self) -> str:
        """The result in words."""
        if self.claim.status == "REFUTED":
            return "refuted, as expected" if self.good else "NOT REFUTED"
        return "obeyed" if self.good else "VIOLATED"


def groups(claims: Iterable[Claim], quick: bool = False) -> list[tuple[str, int, list[Claim]]]:
    """(spec, chains, claims): each cell is run once, with as many chains as any claim needs."""
    by_spec: dict[str, list[Claim]] = {}
    for claim in claims:
        by_spec.setdefault(claim.spec, []).append(claim)
    return [
        (spec, _chains(max(c.chains for c in some), quick), some) for spec, some in by_spec.items()
    ]


def _chains(wanted: int, quick: bool) -> int:
    return min(wanted, max(FEWEST, wanted // QUICK)) if quick else wanted


def checked(
    work: Sequence[tuple[str, int, list[Claim]]], n_jobs: int = 1, plugins: Sequence[str] = ()
) -> Iterator[list[Verdict]]:
    """The verdicts of each group, as groups finish; workers also load the files ``plugins``."""
    if n_jobs == 1:
        for spec, chains, claims in work:
            yield list(verdicts(spec, chains, claims, registry()))
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(n_jobs, context, _warm, (tuple(plugins),)) as pool:
        with safe_path():
            waiting = {
                pool.submit(_measured, spec, chains, _places(claims)): claims
                for spec, chains, claims in work
            }
        for done in as_completed(waiting):
            yield [
                Verdict(claim, *numbers)
                for numbers, claim in zip(done.result(), waiting[done], strict=True)
            ]


def _warm(plugins: Sequence[str]) -> None:
    torch.set_num_threads(1)
    registry(plugins)


def _places(claims: Sequence[Claim]) -> list[int]:
    """The indices of the claims among all claims.

    Workers get these instead of the claims, since a claim may hold a function that cannot be
    pickled.
    """
    known = {id(claim): i for i, claim in enumerate(registry().claims())}
    return [known[id(claim)] for claim in claims]


def _measured(
    spec: str, chains: int, places: Sequence[int]
) -> list[tuple[float, float, float, int]]:
    """The numbers of each verdict, without its claim."""
    known = registry().claims()
    results = verdicts(spec, chains, [known[i] for i in places], registry())
    return [(v.predicted, v.measured, v.error, v.chains) for v in results]


def verdicts(
    spec: str, chains: int, claims: Sequence[Claim], registry: Registry, chunk: int = CHUNK
) -> Iterator[Verdict]:
    """Run the cell, ``chunk`` chains at once, and compare every claim with it.

    Each spec has its own seeds, so that one unlikely draw does not affect many laws.  Raises
    UsageError if the cell is incompatible or does not report the metric of a claim.
    """
    first = crc32(spec.encode()) * 1_000_000
    samples: list[list[torch.Tensor]] = [[] for _ in claims]
    for low in range(0, chains, chunk):
        seeds = tuple(range(first + low, first + min(low + chunk, chains)))
        cell = registry.cell(spec, seeds=seeds)
        reason = cell.incompatibility()
        if reason is not None:
            raise UsageError(f"the claim of {claims[0].law} names a cell {spec}: {reason}")
        data, last = nature(cell), max(claim.t for claim in claims)
        for now in generations(cell):
            world = data.at(now.t)
            metrics = functools.cache(
                lambda now=now, world=world: {**world.diagnostics(now.teacher), **now.scores}
            )
            for claim, sample in zip(claims, samples, strict=True):
                if claim.t == now.t:
                    sample.append(_read(claim, now.teacher, world, metrics))
            if now.t == last:
                break
    for claim, sample in zip(claims, samples, strict=True):
        yield _verdict(claim, torch.cat(sample))


def _read(
    claim: Claim, teacher, data, metrics: Callable[[], dict[str, torch.Tensor]]
) -> torch.Tensor:
    """The claimed metric of each chain, (R,) float64."""
    if claim.read is not None:
        return claim.read(teacher, data).double()
    if claim.metric not in metrics():
        raise UsageError(
            f"the claim of {claim.law} needs the metric {claim.metric}; {data.title()} reports "
            f"{', '.join(metrics())}"
        )
    return metrics()[claim.metric].double()


def _verdict(claim: Claim, sample: torch.Tensor) -> Verdict:
    if claim.statistic == "variance":
        sample = (sample - sample.mean()) ** 2 * (len(sample) / (len(sample) - 1))
    error = float(sample.std()) / math.sqrt(len(sample))
    return Verdict(claim, claim.predicted, float(sample.mean()), error, len(sample))
