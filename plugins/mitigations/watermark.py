"""Mark what the model writes, and drop what bears the mark."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.text.grams import hashed, shifted, token_pairs, u
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Watermark(Mitigation):
    """Favour a green list of tokens in writing, and drop rows with too many of them in reading (Kirchenbauer et al., arXiv
    2301.10226).

    Moment: steer and curate; track: blind, since a key of one's own tells one's own outputs alone.  After each token
    every other one is green with probability gamma by a keyed hash of both, and the log-probability of green tokens is
    raised by delta.  A row of T different pairs of tokens, g of them green, is dropped where z = (g - gamma T) / sqrt(T
    gamma (1 - gamma)) lies above the threshold.

    Over keys g of a text that was written without the key is binomial, so that z has mean 0 and variance 1; it passes 4
    more often than a normal variable would in short texts, whose binomial law is skewed.  Pairs that come again would
    tell nothing new, and are not counted.  A list with the probability G before is drawn from with e^delta G / (1 +
    (e^delta - 1) G) after.
    """

    key: int = param(15485863, "key of the hash", ge=0, le=2**31)
    gamma: float = param(0.25, "probability that a token is green", gt=0, lt=1)
    delta: float = param(2.0, "added to the log-probability of green tokens", ge=0, le=100)
    z: float = param(4.0, "score above which a row is dropped")

    kinds = ("discrete", "sequence")

    def incompatibility(self, cell):
        protocol = cell.protocol
        if not protocol.reads_real:
            return f"watermark drops what the models wrote, and under {protocol.title()} there is nothing else to read"
        most = math.sqrt((1 - self.gamma) / self.gamma)
        if cell.data.kind == "discrete" and self.z >= most:
            return f"a row of one symbol has a score of {most:.2f} at most, and watermark drops from z={self.z:g} on; choose z below"
        return super().incompatibility(cell)

    def steer(self, teacher, access):
        return teacher.decoded(processor=Favour(self.key, self.gamma, self.delta))

    def curate(self, corpus, access):
        return corpus.reweighted(
            (score(*token_pairs(corpus), self.key, self.gamma) <= self.z).double()
        )


@dataclass(frozen=True)
class Favour:
    """The processor of log-probabilities that adds delta to green tokens."""

    key: int
    gamma: float
    delta: float

    last_alone = True

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
    """Whether a token is on the list after another one."""
    return u(hashed(before, token, key)) < gamma


def score(token: Tensor, before: Tensor, key: int, gamma: float) -> Tensor:
    """z of rows of tokens (R, n, L), (R, n); of a row without any, 0."""
    new = unseen(torch.where(token >= 0, shifted(hashed(before, token), 1), -1)) & (token >= 0)
    T = new.sum(-1).double()
    g = (new & green(before, token, key, gamma)).sum(-1)
    return (g - gamma * T) / (T * gamma * (1 - gamma)).clamp_min(1e-300).sqrt()


def unseen(word: Tensor) -> Tensor:
    """Which of these words (..., L) stand in their row for the first time."""
    ranked, order = word.sort(dim=-1, stable=True)
    first = torch.ones_like(ranked, dtype=torch.bool)
    first[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    return torch.zeros_like(first).scatter(-1, order, first)


@hookimpl
def collapse_mitigations():
    return {"watermark": Watermark}
