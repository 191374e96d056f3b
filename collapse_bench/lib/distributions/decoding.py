"""Decoding of a probability row: temperature, top-k, top-p and min-p, applied in this order.

The settings are those of text generation.  They mean the same for a table of symbol counts and for
a language model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..rounding import rounding_of, settled


def as_it_is(logp: Tensor, context: Tensor | None) -> Tensor:
    """The processor that changes nothing.  Setting it last replaces any processor set before."""
    return logp


def truncates(top_p=None, top_k=None, min_p=None, processor=None) -> bool:
    """Whether a setting other than the temperature changes the distribution.

    None leaves a setting as it is; top_p=1, top_k=0 and min_p=0 switch it off.
    """
    return not (top_p in (None, 1) and not top_k and not min_p and processor in (None, as_it_is))


@dataclass(frozen=True)
class Decoding:
    """Settings of a decoder; the defaults do not change the distribution."""

    temperature: float = 1.0  # > 0: probabilities to the power 1 / temperature, renormalised
    top_k: int = 0  # keep the k most likely symbols; 0 keeps all
    top_p: float = 1.0  # keep the smallest set of most likely symbols whose mass reaches this
    min_p: float = 0.0  # drop symbols less likely than this share of the most likely one
    #: (log-probabilities (..., K), context (..., p) or None) -> (..., K), applied before the other
    #: settings.  An attribute ``only_last = True`` promises that only the last position of the
    #: context is read, which lets teachers compute one row per symbol instead of one per text.
    processor: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be > 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must lie in [0, 1], got {self.min_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be >= 0, got {self.top_k}")

    def then(self, **settings) -> Decoding:
        """These settings, updated with the given ones.  None leaves a setting as it is."""
        given = {name: value for name, value in settings.items() if value is not None}
        if given.get("processor") is as_it_is:
            given["processor"] = None
        return replace(self, **given)

    @property
    def plain(self) -> bool:
        return self == PLAIN

    def apply(self, logp: Tensor, context: Tensor | None = None) -> Tensor:
        """Normalised log-probabilities ``(..., K)`` after decoding, in the precision of the input.

        ``context (..., p)`` int64: the symbols before this one, for a processor; -1 marks positions
        without a symbol.
        """
        if self.processor is not None:
            logp = self.processor(logp, context)
        if self.temperature != 1:
            logp = torch.log_softmax(logp / self.temperature, -1)
        if not (self.top_k or self.top_p < 1 or self.min_p):
            return torch.log_softmax(logp, -1)
        keep, exact = torch.ones_like(logp, dtype=torch.bool), rounding_of(logp)
        # Equally likely symbols, and masses that reach a threshold exactly, are common where
        # probabilities are shares of counts.
        likely = settled(logp)
        if self.top_k:
            kth = likely.topk(min(self.top_k, logp.shape[-1]), -1).values[..., -1:]
            keep &= likely >= kth
        if self.top_p < 1:
            order = likely.sort(dim=-1, descending=True, stable=True).indices
            ranked = logp.gather(-1, order).exp()
            before = ranked.cumsum(-1) - ranked  # mass of the more likely symbols
            before[..., :1] = -1.0  # the likeliest one is always kept
            keep &= torch.zeros_like(keep).scatter(-1, order, before < self.top_p - exact)
        if self.min_p:
            keep &= logp >= logp.amax(-1, keepdim=True) + math.log(self.min_p) - exact
        return torch.log_softmax(logp.masked_fill(~keep, -torch.inf), -1)


PLAIN = Decoding()
