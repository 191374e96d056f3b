"""Parts of a corpus that hold sufficient sums, and how sums of rows are computed.

Shapes: ``R`` stands for the dimensions of the chains, which come first; ``n`` rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import Unsupported
from .plain import make_plain
from .rows import PAID, RowsPart


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows ``z = [x, y]``, in float64; ``+`` pools two of them.

    The trailing dimensions of z are flattened to width p.  weight: (R,) total weight; mean: (R, p);
    scatter: (R, p, p) sum of w (z - mean)(z - mean)^T; factor: (R, p, p) lower triangular with
    factor @ factor.T = scatter, if it is known more precisely than scatter (a covariance underflows
    and loses its narrow directions long before its factor does).
    """

    weight: Tensor
    mean: Tensor
    scatter: Tensor
    factor: Tensor | None = None

    def __post_init__(self) -> None:
        make_plain(self, "weight", "mean", "scatter", "factor")

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque's update (1979): exact, without cancellation against the mean."""
        weight = self.weight + other.weight
        share = torch.where(weight > 0, other.weight / weight, 0.0)
        gap = other.mean - self.mean
        between = (self.weight * share)[..., None, None] * gap[..., :, None] * gap[..., None, :]
        mean = self.mean + share[..., None] * gap
        return Moments(weight, mean, self.scatter + other.scatter + between)

    def about_zero(self) -> Tensor:
        """Sum of w z z^T, (R, p, p)."""
        return (
            self.scatter
            + self.weight[..., None, None] * self.mean[..., :, None] * self.mean[..., None, :]
        )


@dataclass(frozen=True, eq=False)
class Products:
    """Sums of products about zero, in float64, for regression without intercept; ``+`` pools two.

    weight (R,) = sum w, xx (R, d, d) = sum w x x^T, xy (R, d) = sum w x y, yy (R,) = sum w y^2.
    """

    weight: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    def __post_init__(self) -> None:
        make_plain(self, "weight", "xx", "xy", "yy")

    def __add__(self, other: Products) -> Products:
        return Products(
            self.weight + other.weight, self.xx + other.xx, self.xy + other.xy, self.yy + other.yy
        )


Sums = Moments | Products
OneKind = TypeVar("OneKind", Moments, Products)
OwnSums = TypeVar("OwnSums", bound=Moments | Products | Tensor)


def own(sums: OwnSums) -> OwnSums:
    """The sums with tensors of their own."""
    if isinstance(sums, Tensor):
        return cast(OwnSums, sums.clone())
    tensors: dict[str, Any] = {k: v if v is None else v.clone() for k, v in vars(sums).items()}
    return type(sums)(**tensors)


@dataclass(frozen=True, eq=False)
class SumsPart:
    """Rows that were added together and are known by their sums only."""

    sums: Sums
    origin: int  # the generation the rows came from, 0 = real (or PAID)

    unit = True  # every row counts once

    def tensors(self) -> Iterator[Tensor]:
        """The tensors that a plugin could change in place."""
        yield from (value for value in vars(self.sums).values() if value is not None)

    def picked(self, r: Any) -> SumsPart:
        """The part of some chains; ``r`` indexes their dimensions."""
        values: dict[str, Any] = {k: v if v is None else v[r] for k, v in vars(self.sums).items()}
        return replace(self, sums=type(self.sums)(**values))

    def own(self) -> SumsPart:
        """The part with tensors of its own."""
        return replace(self, sums=own(self.sums))

    def dated(self, origin: int) -> SumsPart:
        return replace(self, origin=origin)

    def paid(self) -> SumsPart:
        """The part marked as paid for, if it is real."""
        return replace(self, origin=PAID) if self.origin == 0 else self

    def real_rows(self, chain_shape: tuple[int, ...], with_paid: bool) -> Tensor:
        """Real rows, (R,) int64."""
        real = self.origin == 0 or (with_paid and self.origin == PAID)
        return self.sums.weight.round().long() * real


Part = RowsPart | SumsPart


def moments_of(part: Part, chain_shape: tuple[int, ...]) -> Moments:
    """Sums over the rows of a part; Incompatible if only other sums are known."""
    if isinstance(part, SumsPart):
        return _only(part.sums, Moments)
    n = part.y.shape[len(chain_shape)]
    widths = [(v, v.shape[len(chain_shape) + 1 :].numel()) for v in (part.x, part.y)]
    columns = [v.reshape(*chain_shape, n, width) for v, width in widths if width]
    z = (columns[0] if len(columns) == 1 else torch.cat([c.double() for c in columns], -1)).double()
    w = part.multiplicity
    if w is None:
        # a part without rows (mix with real=0 or 1) has mean 0 and weight 0
        mean = z.mean(-2) if n else z.sum(-2)
        centred = z - mean[..., None, :]
        return Moments(_full(chain_shape, n, z), mean, gram(centred))
    weight = w.sum(-1)
    mean = (w[..., None, :] @ z)[..., 0, :] / weight.clamp_min(1e-300)[..., None]
    centred = z - mean[..., None, :]
    return Moments(weight, mean, centred.mT @ (w[..., None] * centred))


def products_of(part: Part, chain_shape: tuple[int, ...]) -> Products:
    """Sums of products over the rows of a part; Incompatible if only other sums are known."""
    if isinstance(part, SumsPart):
        return _only(part.sums, Products)
    x, y, w = part.x.double(), part.y.double()[..., None], part.multiplicity
    if w is None:
        return Products(
            _full(chain_shape, x.shape[-2], x), gram(x), (x.mT @ y)[..., 0], (y * y).sum((-2, -1))
        )
    wy = w[..., None] * y
    return Products(
        w.sum(-1), x.mT @ (w[..., None] * x), (x.mT @ wy)[..., 0], (y * wy).sum((-2, -1))
    )


def _only(sums: Sums, kind: type[OneKind]) -> OneKind:
    if not isinstance(sums, kind):
        raise Unsupported(
            f"this corpus is known only by its {type(sums).__name__.lower()}; other sums need "
            "sampler=explicit"
        )
    return sums


def _full(chain_shape: tuple[int, ...], value: float, like: Tensor) -> Tensor:
    return torch.full(chain_shape, float(value), dtype=torch.float64, device=like.device)


def gram(z: Tensor) -> Tensor:
    """z^T z over rows, (R, n, p) -> (R, p, p).

    On the CPU, wide matrices are multiplied one by one in numpy, whose BLAS call computes only one
    triangle.  torch has no batched form of it and takes twice as long at p = 300.
    """
    if z.device.type != "cpu" or z.shape[-1] < 64 or not z.numel():
        return z.mT @ z
    flat, p = z.detach().reshape(-1, *z.shape[-2:]).numpy(), z.shape[-1]
    out = np.empty((len(flat), p, p))
    for rows, product in zip(flat, out, strict=True):
        np.matmul(rows.T, rows, out=product)
    return torch.from_numpy(out).reshape(*z.shape[:-2], p, p)


def tally_of(part: Part, chain_shape: tuple[int, ...], K: int, contexts: int | None) -> Tensor:
    """Weighted count of each symbol, (R, K), or after each context, (R, contexts, K)."""
    if isinstance(part, SumsPart):
        raise Unsupported(
            "this corpus is known only by its sums; a count of symbols needs sampler=explicit"
        )
    w = part.multiplicity
    if w is None:
        w = torch.ones((), dtype=torch.float64, device=part.y.device).expand(part.y.shape)
    cell = part.y.long() if contexts is None else part.x[..., 0].long() * K + part.y.long()
    total = torch.zeros(
        *chain_shape, K * (contexts or 1), dtype=torch.float64, device=part.y.device
    ).scatter_add(-1, cell, w)
    return total if contexts is None else total.reshape(*chain_shape, contexts, K)


def mass_of(part: Part, chain_shape: tuple[int, ...], power: int) -> Tensor:
    """Sum of count * weight^power, (R,)."""
    if isinstance(part, SumsPart):
        return part.sums.weight
    if part.weight is None:
        if part.count is None:
            return _full(chain_shape, part.y.shape[len(chain_shape)], part.y)
        return part.count.double().sum(-1)
    trust = part.weight**power
    return (trust if part.count is None else trust * part.count).sum(-1)
