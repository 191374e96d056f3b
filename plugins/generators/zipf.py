"""A truncated Zipf law over symbols: the smallest world with a tail to lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import DataGenerator, param
from collapse_bench.tables import TableTeacher


@dataclass(frozen=True)
class Zipf(DataGenerator):
    """One symbol per row: p_i proportional to i^-beta for ranks i = 1..K.  y (R, n) int64, questions of width 0.

    Per seed the ranks are dealt to the symbols at random; ``truth_is=fixed`` gives symbol i rank i + 1.
    ``sampler=exact-law`` draws the counts of all symbols at once by their multinomial law: rows with ``count``.

    Losses: ``total_variation`` (primary, in [0, 1]), ``missing_mass`` (true probability of symbols that the teacher
    never says), ``support_lost`` (share of the K symbols that it never says).  Described: surviving support, entropy
    in nats, heterozygosity 1 - sum p^2 and squared drift sum (p_hat - p)^2 of the Wright-Fisher laws.
    """

    beta: float = param(1.5, "exponent of the law", gt=0, le=8)
    K: int = param(1000, "number of symbols", ge=2, le=10_000_000)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "ranks dealt per seed, or in order")
    sampler: Literal["explicit", "exact-law"] = param("explicit", "one symbol per row, or the law of the counts")

    kind = "discrete"
    family = "tails"
    primary = "total_variation"

    @property
    def labels(self):
        return self.K

    def drawn(self, rng, nature=None):
        p = torch.arange(1, self.K + 1, dtype=torch.float64, device=rng.device) ** -self.beta
        p = (p / p.sum()).expand(*rng.batch, self.K)
        if self.truth_is == "drawn":
            p = p.gather(-1, rng.at("ranks").permutation(self.K))
        return self.holding(teacher=TableTeacher(p))

    def ask(self, n, rng):
        return torch.empty(*rng.batch, n, 0, device=rng.device)

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def sufficient(self, n, rng):
        return self.truth.teacher.sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def _table(self, teacher):
        p = self.truth.teacher.p
        symbols = torch.arange(self.K, device=p.device).expand(p.shape)
        return p, teacher.logp(p.new_empty(*p.shape, 0), symbols)[..., 0].exp()

    def judge(self, teacher, rng):
        p, learnt = self._table(teacher)
        lost = learnt == 0
        return {
            "total_variation": 0.5 * (p - learnt).abs().sum(-1),
            "missing_mass": (p * lost).sum(-1),
            "support_lost": lost.double().mean(-1),
        }

    def describe(self, teacher):
        p, learnt = self._table(teacher)
        return {
            "support": (learnt > 0).double().sum(-1),
            "entropy": torch.special.entr(learnt).sum(-1),
            "heterozygosity": 1 - learnt.pow(2).sum(-1),
            "l2_drift": (learnt - p).pow(2).sum(-1),
        }


@hookimpl
def collapse_generators():
    return {"zipf": Zipf}
