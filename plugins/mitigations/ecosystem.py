"""Train several models on disjoint slices; each writes a part of the next corpus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.replicates import Configured, merged
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.lib.distributions.gaussians import root_of
from collapse_bench.lib.rows.mixing import placed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Ecosystem(Mitigation):
    """m models instead of one, each fitted to a slice of the training set.  Their outputs are
    pooled and shuffled, and the next generation splits them again (Hodel and West, arXiv
    2512.15011).

    Stage: adapt; track: blind.  It costs m fits of n/m rows each.  The pool is judged as one
    teacher:  each answer comes from one of its models at random, and all answer equally many
    questions.  Its law is the mean of theirs, and so are its mean answer and its scores of classes.
    With m=1 nothing changes.
    """

    m: int = param(4, "models, each with its own slice of the training set", ge=1, le=1000)

    tiny = {"m": 2}

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return Lacks(
                "ecosystem slices the training set, and sampler=exact-law draws only sums of it; "
                "choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model if self.m == 1 else model.with_training(Sliced(self.m, access))


@dataclass(frozen=True, eq=False)
class Sliced:
    """The training of m models, each on a slice of the corpus."""

    m: int
    access: Access

    def __call__(self, model: Configured, corpus: Corpus, rng: Stream, before: Teacher | None):
        start, share = model.recipe.start, model.recipe.share
        models = [model if one is None else model.with_start(one, share) for one in self._of(start)]
        fits = list(
            zip(
                models,
                slices(corpus, self.m, rng.at("slices")),
                self._of(before),
                [rng.at("member", i) for i in range(self.m)],
                strict=True,
            )
        )
        # the first takes the place of the generation's own fit, the others are charged
        one, rows, past, own = fits[0]
        first = one.fit(rows, own, past)
        return Pool(
            (first, *(self.access.fit(one, rows, past, own) for one, rows, past, own in fits[1:]))
        )

    def _of(self, teacher: Teacher | None) -> Sequence[Teacher | None]:
        """The teacher of each member: its own, where an ecosystem of this size came before."""
        if isinstance(teacher, Pool) and len(teacher.members) == self.m:
            return teacher.members
        return [teacher] * self.m


def slices(corpus: Corpus, m: int, rng: Stream) -> list[Corpus]:
    """m disjoint parts of the rows of positive weight, whose sizes differ by at most one row.
    Where there are fewer than m rows, some parts share a row."""
    return _dealt(corpus, m, rng) if (corpus.count == 1).all() else _parted(corpus, m, rng)


def _dealt(corpus: Corpus, m: int, rng: Stream) -> list[Corpus]:
    there = corpus.multiplicity > 0
    order = (rng.uniform(corpus.n) + ~there).argsort(-1)  # rows of weight 0 come last
    place = torch.arange(max(m, corpus.n), device=order.device).expand(*corpus.chain_shape, -1)
    present = there.sum(-1, keepdim=True).clamp_min(1)
    wrapped = torch.where(place < m, place % present, place)[..., : max(m, corpus.n)]
    hand = order.gather(-1, wrapped.clamp_max(corpus.n - 1))
    return [corpus.at(hand[..., i::m]) for i in range(m)]


def _parted(corpus: Corpus, m: int, rng: Stream) -> list[Corpus]:
    shares = parted(corpus.count * (corpus.weight > 0), m, rng)
    return [
        corpus.counted(torch.where(mine.sum(-1, keepdim=True) > 0, mine, corpus.count))
        for mine in shares
    ]


def parted(count: Tensor, m: int, rng: Stream) -> list[Tensor]:
    """What ``count (R, C)`` counts, dealt at random into m parts (R, C) whose totals differ by at
    most one."""
    left, total, parts = count, count.sum(-1), []
    for i in range(m):
        parts.append(rng.hypergeometric(left, (total + m - 1 - i) // m))
        left = left - parts[-1]
    return parts


@dataclass(frozen=True, eq=False)
class Pool(Teacher):
    """Several teachers as one: each answers its share of the questions."""

    members: tuple[Teacher, ...]

    @property
    def linear(self) -> bool:
        return all(member.linear for member in self.members)

    @property
    def account(self) -> Mapping[str, float]:
        return merged(member.account for member in self.members)

    def _shared(
        self, n: int, rng: Stream, call: Callable[[Teacher, Tensor, Stream], Tensor]
    ) -> Tensor:
        """``call(member, rows (R, k), rng)`` on a random part of the rows each, in old order."""
        order = rng.at("turns").permutation(n)
        turns = [order[..., i :: len(self.members)] for i in range(min(n, len(self.members)))]
        answers = [
            call(member, rows, rng.at("member", i))
            for i, (member, rows) in enumerate(zip(self.members, turns, strict=False))
        ]
        axis = order.ndim - 1
        return placed(torch.cat(answers, axis), torch.cat(turns, axis).argsort(-1))

    def _mean(self, call: Callable[[Teacher], Tensor]) -> Tensor:
        return cast(Tensor, sum(call(member) for member in self.members)) / len(self.members)

    def answer(self, x, rng):
        n = x.shape[len(rng.chain_shape)]
        if n == 0:
            return self.members[0].answer(x, rng)
        return self._shared(n, rng, lambda member, rows, rng: member.answer(placed(x, rows), rng))

    def redraw(self, x, y, mask, rng):
        def part(member, rows, rng):
            return member.redraw(*(placed(value, rows) for value in (x, y, mask)), rng)

        return self._shared(x.shape[len(rng.chain_shape)], rng, part)

    def mean_answer(self, x):
        return self._mean(lambda member: member.mean_answer(x))

    def logp(self, x, y):
        """Log-probabilities of the mixture; for a token given those before it, the ratio of two
        mixtures."""
        total = torch.stack([member.logp(x, y) for member in self.members]).cumsum(-1)
        pooled = total.logsumexp(0) - math.log(len(self.members))
        before = torch.nn.functional.pad(pooled[..., :-1], (1, 0))
        return torch.where(before > -torch.inf, pooled - before, 0.0)

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        settings = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "processor": processor,
        }
        return Pool(tuple(member.decoded(**settings) for member in self.members))

    def blend(self, other, w):
        others = other.members if isinstance(other, Pool) else (other,) * len(self.members)
        if len(others) != len(self.members):
            raise Incompatible(
                f"an ecosystem of {len(self.members)} cannot be averaged with one of "
                f"{len(others)}, one by one"
            )
        return Pool(
            tuple(mine.blend(theirs, w) for mine, theirs in zip(self.members, others, strict=True))
        )

    def mean_and_factor(self):
        """Mean and covariance factor of the mixture: the spread within the models and between
        them."""
        means, factors = zip(*(member.mean_and_factor() for member in self.members), strict=True)
        mean = sum(means) / len(means)
        apart = torch.stack(means, -2) - mean[..., None, :]
        rows = torch.cat([*(factor.mT for factor in factors), apart], -2)
        return mean, root_of(rows / math.sqrt(len(means)))

    def sample_sufficient(self, n, rng):
        """Counts, to which each member contributes its share."""
        m = len(self.members)
        shares = (
            [(n + m - 1 - i) // m for i in range(m)]
            if isinstance(n, int)
            else parted(n, m, rng.at("turns"))
        )
        answers = [
            member.sample_sufficient(share, rng.at("member", i))
            for i, (member, share) in enumerate(zip(self.members, shares, strict=True))
        ]
        alike = all(
            torch.equal(answers[0].y, other.y) and torch.equal(answers[0].x, other.x)
            for other in answers
        )
        return (
            answers[0].counted(sum(corpus.count for corpus in answers))
            if alike
            else sum(answers[1:], answers[0])
        )


@hookimpl
def collapse_mitigations():
    return {"ecosystem": Ecosystem}
