"""Blur the lesson: a share of its symbols drawn anew, or noise on its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoiseAugmentation(Mitigation):
    """Replace a share of the tokens, symbols or labels by draws from their frequencies in the lesson; add Gaussian
    noise of that share of the standard deviation to numbers (folklore of regularisation, from no one paper; for text a
    coarse form of synonym replacement).

    Moment: curate; track: blind.  With v the variance of a fitted Gaussian (ddof=1), E v grows by 1 + share^2 (1 - 1/n) in
    a generation of replace; of a table of frequencies, heterozygosity shrinks by (1 - 1/n) (1 - (1 - (1 - share)^2)/n).
    Questions stay as they are.
    """

    share: float = param(
        0.1, "share of symbols that are replaced, or noise in standard deviations", ge=0, le=1
    )

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return "noise-augmentation edits rows one by one; choose sampler=explicit"
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self.share == 0:
            return corpus
        blurred = self._noisy if corpus.y.is_floating_point() else self._replaced
        return corpus.edited(y=blurred(corpus, access.rng))

    def _noisy(self, corpus, rng):
        y, rows = corpus.y, len(corpus.chain_shape)
        w = corpus.multiplicity.reshape(*corpus.chain_shape, corpus.n, *(1,) * (y.ndim - rows - 1))
        total = w.sum(rows, keepdim=True).clamp_min(1e-300)
        mean = (w * y).sum(rows, keepdim=True) / total
        spread = ((w * (y - mean) ** 2).sum(rows, keepdim=True) / total).sqrt()
        return (y + self.share * spread * rng.normal(*y.shape[rows:])).to(y.dtype)

    def _replaced(self, corpus, rng):
        y = corpus.y
        said = y.reshape(*corpus.chain_shape, corpus.n, -1)  # (R, n, L)
        there = said >= 0
        w = (corpus.multiplicity[..., None] * there).flatten(-2)
        labels = corpus.labels or int(y.max()) + 1
        count = w.new_zeros(*corpus.chain_shape, labels).scatter_add(
            -1, said.clamp_min(0).flatten(-2), w
        )
        reach = count.cumsum(-1)
        draw, u = rng.uniform(corpus.n, said.shape[-1], 2).unbind(-1)
        drawn = torch.searchsorted(reach, u.flatten(-2) * reach[..., -1:], right=True).clamp_max(
            labels - 1
        )
        return torch.where(there & (draw < self.share), drawn.reshape(said.shape), said).reshape(
            y.shape
        )


@hookimpl
def collapse_mitigations():
    return {"noise-augmentation": NoiseAugmentation}
