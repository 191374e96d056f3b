"""Parts of a corpus that hold rows.

Shapes: ``R`` stands for the dimensions of the chains, which come first; ``n`` rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .plain import make_plain, plain

#: origin of real rows that a mitigation has paid for; plugins see it as 0, real
PAID = -1


PartType = TypeVar("PartType")  # a part of rows, or one that is known by its sums


@dataclass(frozen=True, eq=False)
class RowsPart:
    """Rows that were added together.  ``weight`` and ``count`` are None if they are all 1."""

    x: Tensor  # (R, n, ...)
    y: Tensor  # (R, n, ...)
    weight: Tensor | None  # (R, n) float64; 0 equals absent
    count: Tensor | None  # (R, n) int64: how many identical rows a row stands for
    # the generation a row came from, 0 = real (or PAID); one number or (R, n)
    origin: int | Tensor

    def __post_init__(self) -> None:
        make_plain(self, "x", "y", "weight", "count")
        if type(self.origin) not in (int, Tensor):
            tensor = isinstance(self.origin, Tensor)
            origin = plain(self.origin, "origin") if tensor else int(self.origin)
            object.__setattr__(self, "origin", origin)

    @property
    def unit(self) -> bool:
        """True if every row counts once."""
        return self.weight is None and self.count is None

    @property
    def multiplicity(self) -> Tensor | None:
        """weight * count, (R, n) float64; None if it is 1 for all rows."""
        if self.weight is None:
            return None if self.count is None else self.count.double()
        return self.weight if self.count is None else self.weight * self.count

    def tensors(self) -> Iterator[Tensor]:
        """The tensors that a plugin could change in place."""
        for value in (self.x, self.y, self.weight, self.count):
            if value is not None:
                yield value

    def picked(self, r: Any) -> RowsPart:
        """The part of some chains; ``r`` indexes their dimensions."""
        return self._each(lambda value: value[r])

    def at(self, order: Tensor, axis: int) -> RowsPart:
        """The rows at the positions ``order (R, m)``; ``axis`` is the dimension of the rows."""
        return self._each(lambda value: _take(value, order, axis))

    def own(self) -> RowsPart:
        """The part with tensors of its own."""
        return self._each(torch.clone)

    def _each(self, change: Callable[[Tensor], Tensor]) -> RowsPart:
        tensors = {k: change(v) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)

    def dated(self, origin: int) -> RowsPart:
        return replace(self, origin=origin)

    def paid(self) -> RowsPart:
        """The part with its real rows marked as paid for."""
        if isinstance(self.origin, Tensor):
            return replace(self, origin=torch.where(self.origin == 0, PAID, self.origin))
        return replace(self, origin=PAID) if self.origin == 0 else self

    def real_rows(self, chain_shape: tuple[int, ...], with_paid: bool) -> Tensor:
        """Real rows whose weight is not 0, (R,) int64, counts included."""
        low = PAID if with_paid else 0
        if not isinstance(self.origin, Tensor) and not low <= self.origin <= 0:
            return torch.zeros(chain_shape, dtype=torch.int64, device=self.y.device)
        rows = ones_for(chain_shape, self, torch.int64) if self.count is None else self.count
        if self.weight is not None:
            rows = rows * (self.weight > 0)
        if isinstance(self.origin, Tensor):
            rows = rows * ((self.origin >= low) & (self.origin <= 0))
        return rows.sum(-1)


def ones_for(chain_shape: tuple[int, ...], table: RowsPart, dtype: torch.dtype) -> Tensor:
    """1 for each row, (R, n)."""
    n = table.y.shape[len(chain_shape)]
    return torch.ones((), dtype=dtype, device=table.y.device).expand(*chain_shape, n)


def weight_of(table: RowsPart, chain_shape: tuple[int, ...]) -> Tensor:
    """The weight of each row, (R, n) float64."""
    return ones_for(chain_shape, table, torch.float64) if table.weight is None else table.weight


def expanded_origin(origin: int | Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The origin of each row, (R, n) int64."""
    if isinstance(origin, Tensor):
        return origin
    return torch.full((), origin, dtype=torch.int64, device=like.device).expand(shape)


def alike(parts: tuple[PartType, ...]) -> tuple[PartType, ...]:
    """The parts with their numbers in one type, the narrowest of their types.

    Otherwise the digits of the wider type would reveal where a row comes from, even after all are
    stored in the wider type.
    """
    for name in ("x", "y"):
        values = [getattr(part, name) for part in parts if isinstance(part, RowsPart)]
        types = {v.dtype for v in values if v.is_floating_point() and v.numel()}
        if len(types) > 1:
            narrow = min(types, key=lambda dtype: torch.finfo(dtype).bits)
            parts = tuple(_stored(part, name, narrow) for part in parts)
    return parts


def _stored(part: PartType, name: str, dtype: torch.dtype) -> PartType:
    if not isinstance(part, RowsPart):
        return part
    value: Tensor = getattr(part, name)
    if not value.is_floating_point() or value.dtype == dtype:
        return part
    return replace(part, **{name: value.to(dtype)})


def _take(value: Tensor, order: Tensor, axis: int) -> Tensor:
    n, chains = value.shape[axis], value.shape[:axis]
    within = order.shape[:-1] == chains and bool(((order >= 0) & (order < n)).all())
    if value.ndim == axis + 1 or not within:  # gather raises an error for other places
        index = order.reshape(order.shape + (1,) * (value.ndim - order.ndim)).expand(
            *order.shape, *value.shape[axis + 1 :]
        )
        return value.gather(axis, index)
    # gather copies number by number; whole rows of all chains are two to four times as fast
    first = n * torch.arange(chains.numel(), device=order.device).reshape(*chains, 1)
    rows = value.flatten(0, axis).index_select(0, (order + first).flatten())
    return rows.reshape(*order.shape, *value.shape[axis + 1 :])
