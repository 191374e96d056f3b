"""Move every synthetic row towards its correction by an expert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rows.neighbours import closest
from collapse_bench.registry.hookspecs import hookimpl

ROUNDS = 10  # of Lloyd's algorithm


@dataclass(frozen=True)
class SelfCorrection(Mitigation):
    """y <- y + gamma (proj(y) - y) for synthetic rows; proj is the nearest k-means center of real
    rows.

    The paper (Gillman et al., arXiv 2402.07087): train on the real rows and on samples of the last
    model after an expert corrects them.  For images the authors replace every sample (gamma = 1) by
    the nearest of 16 k-means centers of the real images of its digit; for motions a simulator
    corrects.  Here the rows have no classes and the centers are those of k real rows, drawn for
    this method; Lloyd's steps start at the first rows, not at k-means++.  The protocol says which
    rows are read beside the corrected ones: real-anchor(share=1, fixed=true) under replace is the
    paper's loop.

    Stage: curate; track: real and provenance, k rows once; real rows stay as they are.  Few centers
    pull inwards: of a Gaussian the variance within their cells is lost in every generation.
    """

    version = 2
    tunings = ({"clusters": 50}, {"gamma": 0.5}, {"gamma": 0.1})
    tiny = {"k": 20, "clusters": 4}

    gamma: float = param(1.0, "how far a row moves towards its center", ge=0, le=1)
    k: int = param(100, "real rows of the expert, always the same", ge=1)
    clusters: int = param(16, "centers of k-means, at most k", ge=1)

    kinds = ("density",)

    def __post_init__(self):
        super().__post_init__()
        if self.clusters > self.k:
            raise UsageError(
                f"{self.title()}: clusters={self.clusters} centers need at least as many real "
                f"rows, and k={self.k}"
            )

    def curate(self, corpus, access):
        y, real = (
            some.y.reshape(*some.chain_shape, some.n, -1)
            for some in (corpus, access.real(self.k, fixed=True))
        )
        synthetic = (access.provenance(corpus) > 0)[..., None]
        wanted = nearest(y, centres(real, self.clusters)).to(y.dtype)
        moved = torch.where(synthetic, torch.lerp(y, wanted, self.gamma), y)
        return corpus.edited(y=moved.reshape(corpus.y.shape))


def centres(rows: Tensor, K: int) -> Tensor:
    """K centers (R, K, d) of rows (R, k, d) by Lloyd's steps, from the first K rows.

    The order of the rows is random.
    """
    result = rows[..., :K, :]
    for _ in range(ROUNDS):
        # (R, k, K)
        own = torch.nn.functional.one_hot(closest(rows, result), K).to(rows.dtype)
        many = own.sum(-2)[..., None]
        result = torch.where(many > 0, own.mT @ rows / many.clamp_min(1), result)
    return result


def nearest(y: Tensor, centre: Tensor) -> Tensor:
    """The nearest center (R, K, d) to each of y (R, n, d)."""
    which = closest(y, centre.to(y.dtype))[..., None]
    return centre.gather(-2, which.expand(*which.shape[:-1], y.shape[-1]))


@hookimpl
def collapse_mitigations():
    return {"self-correction": SelfCorrection}
