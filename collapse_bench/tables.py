"""A teacher that is a table of probabilities over symbols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from .corpus import Corpus
from .decoding import PLAIN, Decoding
from .nouns import Teacher
from .streams import Stream


@dataclass(frozen=True, eq=False)
class TableTeacher(Teacher):
    """p (R, K) float64, rows sum to one; ``decoding`` is how it is read out."""

    p: Tensor
    decoding: Decoding = PLAIN

    @cached_property
    def read(self) -> Tensor:
        """Probabilities as they are read out, (R, K)."""
        return self.p if self.decoding.plain else self.decoding.apply(self.p.log()).exp()

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Symbols (R, n) int64, by inversion of the distribution function."""
        u = rng.uniform(x.shape[len(rng.batch)])
        reach = self.read.cumsum(-1)
        # rounding may leave the last value just below one: the draw is scaled to it, so no lost symbol is drawn
        return torch.searchsorted(reach, u * reach[..., -1:], right=True).clamp_max(self.p.shape[-1] - 1)

    def sufficient(self, n: int, rng: Stream) -> Corpus:
        """Counts of n draws by their multinomial law: K rows with a count each, at a cost free of n."""
        K = self.p.shape[-1]
        symbols = torch.arange(K, device=self.p.device).expand(*rng.batch, K)
        return Corpus.of(None, symbols, rng.batch, count=rng.multinomial(n, self.read), labels=K)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self.read.log().gather(-1, y)[..., None]

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        return replace(
            self,
            decoding=self.decoding.then(
                temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, processor=processor
            ),
        )

    def blend(self, other: TableTeacher, w: float) -> TableTeacher:
        return replace(self, p=torch.lerp(self.p, other.p, w))

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return torch.where(mask, self.answer(x, rng), y)
