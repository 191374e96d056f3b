"""The greatest common divisor of two numbers as digits: skills that are learned or not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import DataGenerator, Teacher
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import UsageError
from collapse_bench.lib.kept import LastDraw
from collapse_bench.lib.text.arithmetic import decode, encode
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory.gcd import digits_of

CLASSES = 100  # greatest common divisors that count as skills
LEARNED = 0.95  # share of right answers from which a skill counts as learned
DRIVES = {"uniform": 0.0, "inverse": 1.0, "inverse-sqrt": 0.5}  # P(g) proportional to g^-exponent


@dataclass(frozen=True)
class Gcd(DataGenerator):
    """Pairs of numbers up to ``max`` and their greatest common divisor g.

    Charton, arXiv 2308.15594.

    Each number is a sign token + and its digits in the base, most significant first: x (R, n, 2 (1
    + D)) and y (R, n, 1 + D) int64, where D is the number of digits of ``max``.  Token ``base`` is
    the sign, and -1 fills the row after the end.  The true answer is deterministic, so ``verify``
    is exact and all seeds share one truth.

    ``operands`` is the distribution of both numbers: uniform on 1 .. max, or floor(max^u).
    ``outcomes`` is the distribution of g: that of the operands, where P(g) is about 6/(pi g)^2, or
    P(g) proportional to 1, 1/g or 1/sqrt(g) on g = 1 .. 100.  In the latter case coprime operands
    up to max/g are drawn from their distribution by rejection and multiplied by g.  ``share`` mixes
    both.

    Every test uses fresh pairs, uniform operands and greedy decoding: ``test`` random pairs, and
    ``each`` coprime pairs times g for every g up to 100.  An answer is right if it equals the
    number token by token.  Losses: ``error`` (primary, 1 - accuracy on random pairs), ``unlearned``
    (how many g up to 100 have less than 95 % right answers), and ``wrong_gcd_7`` and so on, the
    share of wrong answers for each g.

    The published sampler differs from the description in the paper in two places, which are not
    followed here.  The option of an exponent 3/2 for the outcomes evaluates to -1/2 by operator
    precedence and is ignored when pairs are drawn.  The flag that should make the test set uniform
    in g is stored and never read; a set is stratified whenever it is named test.
    """

    base: int = param(10, "base in which numbers are written", ge=2, le=10_000)
    max: int = param(10**6, "largest operand", ge=2, le=10**9)
    operands: Literal["uniform", "log-uniform"] = param(
        "uniform", "distribution of the training operands"
    )
    outcomes: Literal["natural", "uniform", "inverse", "inverse-sqrt"] = param(
        "natural",
        "distribution of g: from the operands, or proportional to 1, 1/g, 1/sqrt(g) up to 100",
    )
    share: float = param(
        1.0, "share of pairs whose g is drawn by outcomes; the others are natural", ge=0, le=1
    )
    test: int = param(10_000, "random test pairs", ge=1, le=10**6)
    each: int = param(100, "test pairs for every g up to 100", ge=1, le=10**4)

    kind = "sequence"
    family = "arithmetic"
    primary = "error"
    tail_metric = "unlearned"
    truth_is = "fixed"
    tiny = {"max": 40, "test": 30, "each": 1}

    def __post_init__(self):
        super().__post_init__()
        if self.share < 1 and self.outcomes == "natural":
            raise UsageError(
                f"{self.title()}: share={self.share:g} needs chosen outcomes, and these are "
                "natural; choose outcomes=uniform, inverse or inverse-sqrt, or leave share out"
            )

    @property
    def labels(self):
        return self.base + 1

    @property
    def resolution(self):
        return 1 / self.test

    @property
    def digits(self) -> int:
        """Digits of the largest operand."""
        return digits_of(self.max, self.base)

    @property
    def classes(self) -> int:
        """The tested g are 1 .. classes."""
        return min(CLASSES, self.max)

    # -- questions and answers ---------------------------------------------------------------------

    def _operands(self, high: int | Tensor, u: Tensor, operands: str) -> Tensor:
        """Numbers of 1 .. high from uniform u."""
        if operands == "uniform":
            return (u * high).long() + 1
        return torch.exp(u * math.log(high) if isinstance(high, int) else u * high.log()).long()

    def _coprime(self, high: Tensor, rng, operands: str) -> Tensor:
        """Pairs (R, n, 2) of coprime numbers up to ``high (R, n)`` float64, by rejection."""

        def drawn(attempt: int) -> Tensor:
            u = rng.at("attempt", attempt).uniform(high.shape[-1], 2)
            return self._operands(high[..., None], u, operands)

        pairs, attempt = drawn(0), 0
        while (refused := torch.gcd(*pairs.unbind(-1)) != 1).any():
            attempt += 1
            pairs = torch.where(refused[..., None], drawn(attempt), pairs)
        return pairs

    def _chosen(self, n: int, rng) -> Tensor:
        """Pairs (R, n, 2) whose g is drawn by ``outcomes``."""
        law = (
            torch.arange(1, self.classes + 1, dtype=torch.float64, device=rng.device)
            ** -DRIVES[self.outcomes]
        )
        reach = law.cumsum(0)
        g = (
            torch.searchsorted(reach, rng.at("gcd").uniform(n) * reach[-1], right=True).clamp_max(
                self.classes - 1
            )
            + 1
        )
        return self._coprime((self.max // g).double(), rng, self.operands) * g[..., None]

    def ask(self, n, rng):
        pairs = self._operands(self.max, rng.at("pairs").uniform(n, 2), self.operands)
        if self.outcomes != "natural":
            chosen = rng.at("share").uniform(n) < self.share
            pairs = torch.where(chosen[..., None], self._chosen(n, rng.at("chosen")), pairs)
        return encode(pairs, self.base, self.digits)

    def answer(self, x, rng=None):
        operands = decode(x, self.base, 2)
        return encode(torch.gcd(*operands.unbind(-1))[..., None], self.base, self.digits)

    def logp(self, x, y):
        return torch.where(self.answer(x) == y, 0.0, -torch.inf).double()

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        return self  # decoding does not change a deterministic answer

    def verify(self, x, y):
        return (self.answer(x) == y).all(-1)

    def spell(self, y):
        return [
            " ".join("+" if token == self.base else str(token) for token in row if token >= 0)
            for row in y.tolist()
        ]

    def trivial(self):
        """P(g) proportional to g^-2 on g = 1 .. classes, as for two random numbers.

        Decoded greedily, it answers 1, the most frequent divisor.
        """
        return DivisorPrior(self.base, self.digits, self.classes)

    # -- losses -----------------------------------------------------------------------------------

    def sample_truth(self, rng, nature=None):
        return self.with_truth(exams=LastDraw())

    def natural_exam(self, rng) -> Tensor:
        """Questions (R, test, P) on uniform pairs."""
        pairs = self._operands(self.max, rng.at("natural").uniform(self.test, 2), "uniform")
        return encode(pairs, self.base, self.digits)

    def stratified_exam(self, rng) -> Tensor:
        """Questions (R, classes * each, P): ``each`` pairs of g = 1, then of 2, and so on."""
        g = (
            torch.arange(1, self.classes + 1, device=rng.device)
            .repeat_interleave(self.each)
            .expand(*rng.chain_shape, -1)
        )
        pairs = self._coprime((self.max // g).double(), rng.at("stratified"), "uniform")
        return encode(pairs * g[..., None], self.base, self.digits)

    def _exams(self, rng) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (questions, right answers)."""
        drawn = {"natural": self.natural_exam(rng), "stratified": self.stratified_exam(rng)}
        return {name: (x, self.answer(x)) for name, x in drawn.items()}

    def losses(self, teacher, rng):
        greedy, right = teacher.decoded(top_k=1), {}
        exams = LastDraw() if self.truth is None else self.truth.exams
        for name, (x, y) in exams.of(rng, lambda: self._exams(rng)).items():
            right[name] = (greedy.answer(x, rng.at(name, "answer")) == y).all(-1).double()
        skill = right["stratified"].unflatten(-1, (self.classes, self.each)).mean(-1)
        return {
            "error": 1 - right["natural"].mean(-1),
            "unlearned": (skill < LEARNED - 1e-9).double().sum(-1),
            **{f"wrong_gcd_{g}": 1 - share for g, share in enumerate(skill.unbind(-1), 1)},
        }


@dataclass(frozen=True, eq=False)
class DivisorPrior(Teacher):
    """P(g) proportional to g^-2 on g = 1 .. ``most``, whatever the question x (R, n, P)."""

    base: int
    digits: int
    most: int

    def _table(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """(each g as tokens (most, L), its probability (most,) float64)."""
        g = torch.arange(1, self.most + 1, device=like.device)
        p = g.double() ** -2
        return encode(g[:, None], self.base, self.digits), p / p.sum()

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        tokens, p = self._table(x)
        reach = p.cumsum(0)
        u = rng.uniform(x.shape[-2]) * reach[-1]
        return tokens[torch.searchsorted(reach, u, right=True).clamp_max(self.most - 1)]

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        tokens, p = self._table(y)
        same = (y[..., None, :] == tokens).cumprod(-1).double()  # (R, n, most, L)
        mass = (p[:, None] * same).sum(-2)  # of the numbers that begin like this
        before = torch.cat([torch.ones_like(mass[..., :1]), mass[..., :-1]], -1)
        return torch.where(before > 0, mass / before.clamp_min(1e-300), 0.0).log()

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        if top_k != 1:
            raise self._lacks("decoded", "be decoded except greedily (top_k=1)")
        return replace(self, most=1)


@hookimpl
def collapse_generators():
    return {"gcd": Gcd}
