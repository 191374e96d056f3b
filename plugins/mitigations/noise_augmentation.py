"""Add noise to the inputs of the training set: perturb numbers, or redraw some symbols."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoiseAugmentation(Mitigation):
    """Train on noisy inputs and unchanged labels (Bishop, Neural Computation 1995).

    The paper: Gaussian noise of variance v on the inputs acts on average as the penalty v |slope|^2
    on the squared loss; of a linear model that is ridge.  Here every coordinate gets noise of that
    share of its standard deviation, and a share of symbols is replaced by draws from their
    frequencies (for text a coarse form of synonym replacement).

    Stage: curate; track: blind.  Inputs are the questions, of a text its prompt; a row without a
    question is its own input.  ``labels`` perturbs the answers instead.  With v the variance of a
    fitted Gaussian (ddof=1), E v grows by the factor 1 + share^2 (1 - 1/n) per generation of
    replace.  For a table of frequencies the heterozygosity is multiplied by (1 - 1/n) (1 - (1 - (1
    - share)^2)/n).  The weights of least squares shrink by 1/(1 + share^2) per generation.
    """

    version = 2
    tunings = ({"share": 0.01}, {"share": 0.03}, {"share": 0.3})

    share: float = param(
        0.1, "share of symbols that are replaced, or noise in standard deviations", ge=0, le=1
    )
    labels: bool = param(False, "perturb the answers to questions instead of the questions")

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return Lacks("noise-augmentation edits rows one by one; choose sampler=explicit")
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self.share == 0:
            return corpus
        if self.labels or not corpus.width:
            return corpus.edited(y=self._blurred(corpus, corpus.y, access.rng))
        return corpus.edited(x=self._blurred(corpus, corpus.x, access.rng))

    def _blurred(self, corpus: Corpus, values: Tensor, rng: Stream) -> Tensor:
        """The questions or answers (R, n, ...) with noise."""
        return (self._noisy if values.is_floating_point() else self._replaced)(corpus, values, rng)

    def _noisy(self, corpus: Corpus, y: Tensor, rng: Stream) -> Tensor:
        rows = len(corpus.chain_shape)
        w = corpus.multiplicity.reshape(*corpus.chain_shape, corpus.n, *(1,) * (y.ndim - rows - 1))
        total = w.sum(rows, keepdim=True).clamp_min(1e-300)
        mean = (w * y).sum(rows, keepdim=True) / total
        spread = ((w * (y - mean) ** 2).sum(rows, keepdim=True) / total).sqrt()
        return (y + self.share * spread * rng.normal(*y.shape[rows:])).to(y.dtype)

    def _replaced(self, corpus: Corpus, y: Tensor, rng: Stream) -> Tensor:
        symbols = y.reshape(*corpus.chain_shape, corpus.n, -1)  # (R, n, L)
        there = symbols >= 0
        w = (corpus.multiplicity[..., None] * there).flatten(-2)
        labels = max(corpus.labels or 0, int(y.max()) + 1)
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
