"""Watermark generated rows, and drop rows with the watermark."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.text.grams import hashed, shifted, token_pairs, u
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Watermark(Mitigation):
    """Favour a green list of tokens when generating, and drop rows with too many of them.

    Kirchenbauer et al., arXiv 2301.10226.

    Stage: steer and curate; track: blind, since the key only identifies the method's own outputs.
    After each token, every token is green with probability gamma by a keyed hash of both, and the
    log-probability of green tokens is raised by delta.  A row of T different token pairs, g of them
    green, is dropped if z = (g - gamma T) / sqrt(T gamma (1 - gamma)) is above the threshold.

    For a text generated without the key, g is binomial over random keys, so z has mean 0 and
    variance 1.  In short texts it exceeds 4 more often than a normal variable, since the binomial
    distribution is skewed.  Repeated pairs carry no new information and are not counted.  A green
    list with probability G is sampled with probability e^delta G / (1 + (e^delta - 1) G).
    """

    key: int = param(15485863, "key of the hash", ge=0, le=2**31)
    gamma: float = param(0.25, "probability that a token is green", gt=0, lt=1)
    delta: float = param(2.0, "added to the log-probability of green tokens", ge=0, le=100)
    z: float = param(4.0, "score above which a row is dropped")

    kinds = ("discrete", "sequence")

    def incompatibility(self, cell):
        protocol = cell.protocol
        if not protocol.reads_real:
            return Lacks(
                f"watermark drops synthetic rows, and {protocol.title()} provides no other rows"
            )
        most = math.sqrt((1 - self.gamma) / self.gamma)
        if cell.data.kind == "discrete" and self.z >= most:
            return Lacks(
                f"a row of one symbol has a score of at most {most:.2f}, below watermark's "
                f"threshold z={self.z:g}; choose a smaller z"
            )
        return super().incompatibility(cell)

    def steer(self, teacher, access):
        return teacher.decoded(processor=Favour(self.key, self.gamma, self.delta))

    def curate(self, corpus, access):
        return corpus.reweighted(
            (score(*token_pairs(corpus), self.key, self.gamma) <= self.z).double()
        )


@dataclass(frozen=True)
class Favour:
    """A processor of log-probabilities that adds delta to green tokens."""

    key: int
    gamma: float
    delta: float

    only_last = True

    def __call__(self, logp: Tensor, context: Tensor | None) -> Tensor:
        tokens = torch.arange(logp.shape[-1], device=logp.device)
        before = (
            tokens.new_full((1,), -1)
            if context is None or not context.shape[-1]
            else context[..., -1:]
        )
        return torch.log_softmax(
            logp + self.delta * green(before, tokens, self.key, self.gamma), -1
        )


def green(before: Tensor, token: Tensor, key: int, gamma: float) -> Tensor:
    """Whether a token is green after another one."""
    return u(hashed(before, token, key)) < gamma


def score(token: Tensor, before: Tensor, key: int, gamma: float) -> Tensor:
    """The score z (R, n) of rows of tokens (R, n, L); 0 for empty rows."""
    new = unseen(torch.where(token >= 0, shifted(hashed(before, token), 1), -1)) & (token >= 0)
    T = new.sum(-1).double()
    g = (new & green(before, token, key, gamma)).sum(-1)
    return (g - gamma * T) / (T * gamma * (1 - gamma)).clamp_min(1e-300).sqrt()


def unseen(word: Tensor) -> Tensor:
    """Which of the values (..., L) occur for the first time in their row."""
    ranked, order = word.sort(dim=-1, stable=True)
    first = torch.ones_like(ranked, dtype=torch.bool)
    first[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    return torch.zeros_like(first).scatter(-1, order, first)


@hookimpl
def collapse_mitigations():
    return {"watermark": Watermark}
