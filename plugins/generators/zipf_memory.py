"""Questions from a heavy-tailed distribution, each with one right answer that must be memorised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.core.components import REPLACE, VERIFIED, DataGenerator
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim, natural, recursion
from collapse_bench.lib.distributions.tables import RecallTeacher, TableTeacher, uniform
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


@dataclass(frozen=True)
class ZipfMemory(DataGenerator):
    """K questions with p_i proportional to i^-beta, each with one right answer among K symbols.

    Hutter, arXiv 2102.04074.  x (R, n, 1) and y (R, n) int64.  Symbol K means "unknown" and is
    never right.  In every generation fresh questions are drawn from the true distribution and the
    teacher answers them.  A student learns the answer "unknown" for questions that its teacher does
    not know.  For each seed ranks and answers are assigned at random; ``truth_is=fixed`` gives
    question i rank i + 1 and answer i.  ``sampler=exact-law`` draws how often each question is
    asked: rows with ``count``, at a cost independent of n.

    Loss ``error``: the exact probability of a wrong answer over the true distribution of questions.
    Diagnostics: ``known``, the expected number of right answers over all questions.
    """

    beta: float = param(1.5, "exponent of the Zipf law of questions", gt=0, le=8)
    K: int = param(1000, "number of questions", ge=2, le=10_000_000)
    truth_is: Literal["drawn", "fixed"] = param(
        "drawn", "ranks and answers random per seed, or in order"
    )
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "one question per row, or counts from their exact distribution"
    )

    kind = "discrete"
    family = "tails"
    primary = "error"

    @property
    def labels(self):
        return self.K + 1

    @property
    def contexts(self):
        return self.K

    def sample_truth(self, rng, nature=None):
        p = torch.arange(1, self.K + 1, dtype=torch.float64, device=rng.device) ** -self.beta
        p = (p / p.sum()).expand(*rng.chain_shape, self.K)
        answers = torch.arange(self.K, device=rng.device).expand(p.shape)
        if self.truth_is == "drawn":
            p = p.gather(-1, rng.at("ranks").permutation(self.K))
            answers = rng.at("answers").permutation(self.K)
        unknown = answers.new_full((*rng.chain_shape, 1), self.K)
        return self.with_truth(
            questions=TableTeacher(p), teacher=RecallTeacher(torch.cat([answers, unknown], -1))
        )

    def ask(self, n, rng):
        return self.truth.questions.answer(
            torch.empty(*rng.chain_shape, n, 0, device=rng.device), rng
        )[..., None]

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def summary(self, teacher, n, rng):
        asked = self.truth.questions.sample_sufficient(n, rng.at("x")).count
        return teacher.sample_sufficient(torch.nn.functional.pad(asked, (0, 1)), rng.at("y"))

    def sample_sufficient(self, n, rng):
        return self.truth.teacher.sample_sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def verify(self, x, y):
        return self.truth.teacher.answers.gather(-1, x[..., 0]) == y

    def trivial(self):
        """One of the K answers at random, whatever the question; never "unknown"."""
        p = uniform(self.truth.questions.p)
        return TableTeacher(torch.nn.functional.pad(p, (0, 1)))

    def _right(self, teacher):
        """Probability of the right answer to each question, (R, K)."""
        answers = self.truth.teacher.answers[..., : self.K]
        questions = torch.arange(self.K, device=answers.device).expand(answers.shape)[..., None]
        return teacher.logp(questions, answers)[..., 0].exp()

    def losses(self, teacher, rng):
        return {"error": (self.truth.questions.p * (1 - self._right(teacher))).sum(-1)}

    def diagnostics(self, teacher):
        return {"known": self._right(teacher).sum(-1)}


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Error of a memoriser: trained on real rows, and of later generations under replace."""
    data, (model, protocol), read = cell.data, recursion(cell) or (None, None), natural(cell)
    if not isinstance(data, ZipfMemory) or model != "memory" or not read:
        return None
    if cell.nature:
        risks = [tails.hutter(data.beta, T, N=data.K) for T in read]
        return risks + [math.nan] * (cell.generations + 1 - len(risks))
    law = {REPLACE: tails.gens_mislabel, VERIFIED: tails.gens_relabel}.get(protocol)
    first = tails.hutter(data.beta, cell.n, N=data.K)
    if law is None or cell.growth or (protocol == VERIFIED and not _passes_enough(cell, law)):
        return [first] + [math.nan] * cell.generations
    return [first] + [law(data.beta, cell.n, t + 1, data.K) for t in range(1, cell.generations + 1)]


def _passes_enough(cell, law):
    """Whether a perfect verifier always accepts n rows, and n is large enough for the law."""
    protocol, data = cell.protocol, cell.data
    known = 1 - law(data.beta, cell.n, cell.generations, data.K)
    spare = protocol.oversample * known - 1
    return (
        (protocol.phi, protocol.psi) == (1, 0)
        and cell.n >= 2000
        and spare > 6 * (protocol.oversample / cell.n) ** 0.5
    )


@hookimpl
def collapse_claims():
    def one(
        law,
        t,
        chains,
        beta,
        n,
        K,
        model="memory",
        protocol="replace",
        sampler="explicit",
        metric="error",
        **given,
    ):
        spec = (
            f"zipf-memory(beta={beta}, K={K}, sampler={sampler}) | {model} | {protocol} @ n={n} "
            f"T={t}"
        )
        return Claim(f"tails.{law}", {"beta": beta, "N": K, **given}, spec, metric, t, chains)

    return [
        one("hutter", 0, 2000, 1.5, 1000, 5000, T=1000),
        one("hutter", 0, 100, 2.0, 10**8, 30_000, sampler="exact-law", T=10**8),
        one("gens_mislabel", 9, 1000, 1.5, 500, 2000, T=500, g=10),
        one("gens_mislabel", 4, 400, 1.2, 10**6, 10_000, sampler="exact-law", T=10**6, g=5),
        one(
            "gens_relabel",
            9,
            200,
            1.5,
            3000,
            20_000,
            protocol="verify-filter(oversample=1.5)",
            T=3000,
            g=10,
        ),
        one(
            "gens_relabel",
            4,
            200,
            1.3,
            3000,
            10_000,
            protocol="verify-filter(oversample=2)",
            T=3000,
            g=5,
        ),
        *(
            one(
                "memory_error",
                0,
                400,
                beta,
                10**9,
                300,
                f"associative-memory(d={d}, rho={rho})",
                sampler="exact-law",
                d=d,
                rho=rho,
            )
            for beta, d, rho in ((1.5, 256, 1.0), (2.0, 256, 0.5), (2.0, 256, 0.25))
        ),
    ]


@hookimpl
def collapse_generators():
    return {"zipf-memory": ZipfMemory}
