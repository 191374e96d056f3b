"""The engine held against the laws that plugins claim for it, by z-score over chains.

A law passes where what is measured lies within four standard errors of it, widened by what its standing allows (three
per cent for a deterministic equivalent, say).  Only the standard errors depend on the number of chains.
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
from ..registry.discovery import Registry, registry
from .claims import SLACK, Claim

LARGEST_Z = 4.0
QUICK = 10  # a quick check runs one chain in so many, but never fewer than FEWEST
FEWEST = 60
CHUNK = 4000  # chains side by side


@dataclass(frozen=True)
class Verdict:
    """What became of one claim."""

    claim: Claim
    predicted: float
    measured: float
    error: float  # one standard error of what was measured
    chains: int

    @property
    def ratio(self) -> float:
        return self.measured / self.predicted if self.predicted else math.nan

    @property
    def z(self) -> float:
        gap = self.measured - self.predicted
        return gap / self.error if self.error else math.copysign(math.inf, gap) if gap else 0.0

    @property
    def within(self) -> bool:
        reach = LARGEST_Z * self.error + SLACK[self.claim.status] * abs(self.predicted)
        return abs(self.measured - self.predicted) <= max(reach, 1e-9 * abs(self.predicted))

    @property
    def good(self) -> bool:
        return self.within != (self.claim.status == "REFUTED")

    @property
    def word(self) -> str:
        if self.claim.status == "REFUTED":
            return "is not obeyed, as it should be" if self.good else "cannot be told from the law"
        return "obeyed" if self.good else "VIOLATED"


def groups(claims: Iterable[Claim], quick: bool = False) -> list[tuple[str, int, list[Claim]]]:
    """(spec, chains, claims): each cell is run once, with the chains that its most demanding claim wants."""
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
    """The verdicts of each group as they come; ``plugins`` are files that workers load as well."""
    if n_jobs == 1:
        for spec, chains, claims in work:
            yield list(verdicts(spec, chains, claims, registry()))
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(n_jobs, context, _warm, (tuple(plugins),)) as pool:
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
    """Claims as their places among all, since what they read may be a function that cannot be sent."""
    known = {id(claim): i for i, claim in enumerate(registry().claims())}
    return [known[id(claim)] for claim in claims]


def _measured(
    spec: str, chains: int, places: Sequence[int]
) -> list[tuple[float, float, float, int]]:
    """The numbers of each verdict; its claim stays where it is."""
    known = registry().claims()
    found = verdicts(spec, chains, [known[i] for i in places], registry())
    return [(v.predicted, v.measured, v.error, v.chains) for v in found]


def verdicts(
    spec: str, chains: int, claims: Sequence[Claim], registry: Registry
) -> Iterator[Verdict]:
    """Run the cell and hold every claim against it.  Each spec has seeds of its own, so that one unlucky draw does not
    show in many laws."""
    first = crc32(spec.encode()) * 1_000_000
    found: list[list[torch.Tensor]] = [[] for _ in claims]
    for low in range(0, chains, CHUNK):
        seeds = tuple(range(first + low, first + min(low + CHUNK, chains)))
        cell = registry.cell(spec, seeds=seeds)
        reason = cell.incompatibility()
        if reason is not None:
            raise UsageError(f"{spec}, for which {claims[0].law} is claimed: {reason}")
        data, last = nature(cell), max(claim.t for claim in claims)
        for now in generations(cell):
            told = functools.cache(
                lambda now=now, data=data: {**data.diagnostics(now.teacher), **now.scores}
            )
            for claim, sample in zip(claims, found, strict=True):
                if claim.t == now.t:
                    sample.append(_read(claim, now.teacher, data, told))
            if now.t == last:
                break
    for claim, sample in zip(claims, found, strict=True):
        yield _verdict(claim, torch.cat(sample))


def _read(claim: Claim, teacher, data, told: Callable[[], dict[str, torch.Tensor]]) -> torch.Tensor:
    if claim.read is not None:
        return claim.read(teacher, data).double()
    if claim.metric not in told():
        raise UsageError(
            f"{claim.law} speaks of {claim.metric}, and {data.title()} tells {', '.join(told())}"
        )
    return told()[claim.metric].double()


def _verdict(claim: Claim, sample: torch.Tensor) -> Verdict:
    if claim.statistic == "variance":
        sample = (sample - sample.mean()) ** 2 * (len(sample) / (len(sample) - 1))
    error = float(sample.std()) / math.sqrt(len(sample))
    return Verdict(claim, claim.predicted, float(sample.mean()), error, len(sample))
