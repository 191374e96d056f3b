"""Next tokens after a context, a Zipf law per context: the simplest language with a tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.core.components import ACCUMULATE, REPLACE, DataGenerator
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim, recursion
from collapse_bench.lib.distributions.tables import ContextTeacher, left, lost, uniform
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


@dataclass(frozen=True)
class Bigram(DataGenerator):
    """The next token after each of K contexts: p_i proportional to i^-beta for ranks i = 1..K.

    x (R, n, 1) and y (R, n) int64 share one alphabet.  ``visits=fixed`` asks each context n/K times
    (if n/K is not whole, the first ones once more), as the laws per context assume;
    ``visits=drawn`` asks contexts uniformly at random.  For each seed and context the ranks are
    assigned to the tokens at random; ``truth_is=fixed`` gives token i rank i + 1 after every
    context.  ``sampler=exact-law`` draws the K^2 counts from their multinomial distributions: rows
    with ``count``, at a cost independent of n.

    Losses, averaged over contexts: ``total_variation`` (primary, in [0, 1]), ``missing_mass`` (true
    probability of lost next tokens), ``support_lost``.  Diagnostics, averaged likewise: surviving
    support per context, entropy in nats, heterozygosity 1 - sum p^2, and squared drift.
    """

    beta: float = param(1.5, "exponent of the Zipf distribution of next tokens", gt=0, le=8)
    K: int = param(50, "number of tokens", ge=2, le=3000)
    visits: Literal["fixed", "drawn"] = param(
        "fixed", "each context n/K times, or contexts at random"
    )
    truth_is: Literal["drawn", "fixed"] = param(
        "drawn", "ranks random per seed and context, or in order"
    )
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "one pair per row, or counts from their exact distribution"
    )

    kind = "discrete"
    family = "tails"
    primary = "total_variation"
    tail_metric = "missing_mass"
    diversity_metric = "support_lost"

    @property
    def labels(self):
        return self.K

    @property
    def contexts(self):
        return self.K

    def sample_truth(self, rng, nature=None):
        p = torch.arange(1, self.K + 1, dtype=torch.float64, device=rng.device) ** -self.beta
        p = (p / p.sum()).expand(*rng.chain_shape, self.K, self.K)
        if self.truth_is == "drawn":
            p = p.gather(-1, rng.at("ranks").uniform(self.K, self.K).argsort(-1))
        return self.with_truth(teacher=ContextTeacher(p))

    def ask(self, n, rng):
        if self.visits == "drawn":
            return rng.integers(self.K, n, 1)
        return (torch.arange(n, device=rng.device) % self.K).expand(*rng.chain_shape, n)[..., None]

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def summary(self, teacher, n, rng):
        contexts = torch.arange(self.K, device=rng.device).expand(*rng.chain_shape, self.K)
        visits = n // self.K + (contexts < n % self.K).long()
        if self.visits == "drawn":
            visits = rng.at("x").multinomial(n, torch.ones_like(contexts, dtype=torch.float64))
        return teacher.sample_sufficient(visits, rng.at("y"))

    def sample_sufficient(self, n, rng):
        return self.truth.teacher.sample_sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def trivial(self):
        """Uniform next tokens after every context."""
        return ContextTeacher(uniform(self.truth.teacher.p))

    def _table(self, teacher):
        p = self.truth.teacher.p
        pair = torch.arange(self.K**2, device=p.device).expand(*p.shape[:-2], -1)
        learnt = teacher.logp((pair // self.K)[..., None], pair % self.K)[..., 0].exp()
        return p, learnt.unflatten(-1, (self.K, self.K))

    def losses(self, teacher, rng):
        return {name: value.mean(-1) for name, value in lost(*self._table(teacher)).items()}

    def diagnostics(self, teacher):
        return {name: value.mean(-1) for name, value in left(*self._table(teacher)).items()}


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Total variation of one fit to real rows if all contexts are read equally often: exact."""
    data, (model, protocol) = cell.data, recursion(cell) or (None, None)
    if not isinstance(data, Bigram) or model != "counts" or cell.model.smoothing:
        return None
    if (
        data.visits != "fixed"
        or protocol not in (REPLACE, ACCUMULATE)
        or cell.growth
        or cell.n % data.K
    ):
        return None
    T = [
        cell.n // data.K * (t + 1 if protocol == ACCUMULATE else 1)
        for t in range(cell.generations + 1)
    ]
    if not cell.nature:
        T = T[:1]
    return [tails.bigram_tv(data.beta, visits, data.K) for visits in T] + [math.nan] * (
        cell.generations + 1 - len(T)
    )


@hookimpl
def collapse_claims():
    def one(
        law,
        t,
        metric,
        given,
        K,
        beta,
        M,
        chains=1000,
        protocol="replace",
        sampler="explicit",
        model="counts",
    ):
        """M draws per context."""
        spec = (
            f"bigram(K={K}, beta={beta}, sampler={sampler}) | {model} | {protocol} @ n={K * M} "
            f"T={t}"
        )
        return Claim(law, {"beta": beta, **given}, spec, metric, t, chains)

    def per_context(law, k, metric, K, beta, M, **more):
        known = {"K": K, "M": M, **({"pi": 0.2} if "mix" in law else {"k": k})}
        return one(f"discrete.{law}", k - 1, metric, known, K, beta, M, **more)

    return [
        one("tails.bigram_tv", 0, "total_variation", {"T": 40, "N": 20}, 20, 1.5, 40),
        one(
            "tails.bigram_tv",
            0,
            "total_variation",
            {"T": 10**5, "N": 50},
            50,
            1.2,
            10**5,
            200,
            sampler="exact-law",
        ),
        *(
            per_context(law, 5, metric, 12, 1.2, 15, sampler=sampler)
            for sampler in ("explicit", "exact-law")
            for law, metric in (
                ("heterozygosity", "heterozygosity"),
                ("l2_drift", "l2_drift"),
                ("support", "support"),
                ("missing_mass", "missing_mass"),
            )
        ),
        per_context("H_accumulate", 8, "heterozygosity", 12, 1.2, 15, protocol="accumulate"),
        one(
            "tails.bigram_tv",
            0,
            "total_variation",
            {"T": 30, "N": 10},
            10,
            1.5,
            30,
            200,
            model="softmax-regression",
        ),
        per_context(
            "heterozygosity",
            4,
            "heterozygosity",
            8,
            1.2,
            20,
            chains=200,
            model="softmax-regression",
        ),
    ]


@hookimpl
def collapse_generators():
    return {"bigram": Bigram}
