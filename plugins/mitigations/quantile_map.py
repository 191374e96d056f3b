"""Move the quantiles of the training set towards those of a few real rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rounding import rounding_of, settled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class QuantileMap(Mitigation):
    """y <- y + gamma (q(y) - y), where q maps the quantiles of the training set, axis by axis, to
    those of k real rows (folklore of density estimation, no single paper).

    Stage: curate; track: real, k rows once.  A correction in the sense of ``self-correction`` whose
    expert knows the marginal distributions and no dependence between axes.  With gamma = 1 and k =
    n in one dimension every training set equals those k rows.  For a Gaussian of known variance s^2
    the squared error of the mean under replace tends to s^2/k + s^2/n (1 - gamma)^2 / (1 - (1 -
    gamma)^2), for k = n (derived here; no published form found).
    """

    version = 2
    tunings = ({"gamma": 0.1}, {"gamma": 0.25}, {"gamma": 1.0})

    gamma: float = param(0.5, "how far a row moves towards its quantile", ge=0, le=1)
    k: int = param(100, "real rows that give the quantiles, always the same", ge=1)

    kinds = ("density",)

    def curate(self, corpus, access):
        y, real = (
            some.y.reshape(*some.chain_shape, some.n, -1)
            for some in (corpus, access.real(self.k, fixed=True))
        )
        wanted = quantiles(y, corpus.multiplicity, real)
        return corpus.edited(
            y=torch.lerp(y, wanted.to(y.dtype), self.gamma).reshape(corpus.y.shape)
        )


def quantiles(y: Tensor, w: Tensor, real: Tensor) -> Tensor:
    """Quantile map: each entry of y (R, n, d) to the one of real (R, k, d) of equal rank.

    w (R, n) are the weights of the rows of y.
    """
    order = settled(y.mT).mT.argsort(dim=-2, stable=True)  # values of a table repeat
    ranked = w[..., None].expand(y.shape).gather(-2, order)
    level = (ranked.cumsum(-2) - ranked / 2) / ranked.sum(-2, keepdim=True).clamp_min(1e-300)
    k = real.shape[-2]
    # A level can be a multiple of 1/k exactly.
    rank = (level * k * (1 + rounding_of(level))).long().clamp(0, k - 1)
    result = real.sort(-2).values.gather(-2, rank)
    return torch.empty_like(result).scatter(-2, order, result)


@hookimpl
def collapse_mitigations():
    return {"quantile-map": QuantileMap}
