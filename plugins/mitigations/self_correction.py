"""Move every row towards its correction by an expert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rounding import rounding_of
from collapse_bench.lib.rows.neighbours import closest
from collapse_bench.registry.hookspecs import hookimpl

ROUNDS = 10  # of Lloyd's algorithm


@dataclass(frozen=True)
class SelfCorrection(Mitigation):
    """y <- y + gamma (proj(y) - y), where proj projects onto a fixed set of k real rows.

    Gillman et al., arXiv 2402.07087.

    Stage: curate; track: real, k rows once.  proj maps the quantiles of the training set, axis by
    axis, to those of the real rows.  With ``anchors`` it is the nearest center of k-means on the
    real rows, which pulls inwards if there are few centers.  With gamma = 1 and k = n in one
    dimension every training set equals those k rows.  For a Gaussian of known variance s^2 the
    squared error of the mean under replace tends to s^2/k + s^2/n (1 - gamma)^2 / (1 - (1 -
    gamma)^2), for k = n (derived here; no published form found).
    """

    gamma: float = param(0.5, "how far a row moves towards its projection", ge=0, le=1)
    k: int = param(100, "real rows of the expert, always the same", ge=1)
    anchors: int | None = param(None, "centers of k-means, at most k; none: quantiles", ge=1)

    kinds = ("density",)

    def __post_init__(self):
        super().__post_init__()
        if self.anchors is not None and self.anchors > self.k:
            raise UsageError(
                f"{self.title()}: anchors={self.anchors} centers need at least as many real rows, "
                f"and k={self.k}"
            )

    def curate(self, corpus, access):
        y, real = (
            some.y.reshape(*some.chain_shape, some.n, -1)
            for some in (corpus, access.real(self.k, fixed=True))
        )
        wanted = (
            quantiles(y, corpus.multiplicity, real)
            if self.anchors is None
            else nearest(y, centres(real, self.anchors))
        )
        return corpus.edited(
            y=torch.lerp(y, wanted.to(y.dtype), self.gamma).reshape(corpus.y.shape)
        )


def quantiles(y: Tensor, w: Tensor, real: Tensor) -> Tensor:
    """Quantile map: each entry of y (R, n, d) to the one of real (R, k, d) of equal rank.

    w (R, n) are the weights of the rows of y.
    """
    order = y.argsort(dim=-2, stable=True)
    ranked = w[..., None].expand(y.shape).gather(-2, order)
    level = (ranked.cumsum(-2) - ranked / 2) / ranked.sum(-2, keepdim=True).clamp_min(1e-300)
    k = real.shape[-2]
    # A level can be a multiple of 1/k exactly.
    rank = (level * k * (1 + rounding_of(level))).long().clamp(0, k - 1)
    result = real.sort(-2).values.gather(-2, rank)
    return torch.empty_like(result).scatter(-2, order, result)


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
