"""Add noise to the training set: redraw a share of its symbols, or perturb its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoiseAugmentation(Mitigation):
    """Replace a share of symbols by draws from their frequencies; add Gaussian noise to numbers.

    Symbols are tokens, symbols or labels; the noise has that share of the standard deviation
    (folklore of regularisation, no single paper; for text a coarse form of synonym replacement).

    Stage: curate; track: blind.  With v the variance of a fitted Gaussian (ddof=1), E v grows by
    the factor 1 + share^2 (1 - 1/n) per generation of replace.  For a table of frequencies the
    heterozygosity is multiplied by (1 - 1/n) (1 - (1 - (1 - share)^2)/n).  Questions stay
    unchanged.
    """

    share: float = param(
        0.1, "share of symbols that are replaced, or noise in standard deviations", ge=0, le=1
    )

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return Lacks("noise-augmentation edits rows one by one; choose sampler=explicit")
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
        symbols = y.reshape(*corpus.chain_shape, corpus.n, -1)  # (R, n, L)
        there = symbols >= 0
        w = (corpus.multiplicity[..., None] * there).flatten(-2)
        labels = corpus.labels or int(y.max()) + 1
        count = w.new_zeros(*corpus.chain_shape, labels).scatter_add(
            -1, symbols.clamp_min(0).flatten(-2), w
        )
        reach = count.cumsum(-1)
        draw, u = rng.uniform(corpus.n, symbols.shape[-1], 2).unbind(-1)
        drawn = torch.searchsorted(reach, u.flatten(-2) * reach[..., -1:], right=True).clamp_max(
            labels - 1
        )
        redrawn = torch.where(there & (draw < self.share), drawn.reshape(symbols.shape), symbols)
        return redrawn.reshape(y.shape)


@hookimpl
def collapse_mitigations():
    return {"noise-augmentation": NoiseAugmentation}
