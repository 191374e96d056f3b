"""Parts of a corpus that hold rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .sums import Sums

#: origin of real rows that a mitigation has paid for; whoever may look at origins sees them as 0, real
PAID = -1


@dataclass(frozen=True, eq=False)
class Part:
    """Rows that entered together.  ``weight`` and ``count`` are None where they are one throughout."""

    x: Tensor | None  # (R, n, ...)
    y: Tensor | None  # (R, n, ...)
    weight: Tensor | None  # (R, n) float64: how much a row is trusted
    count: Tensor | None  # (R, n) int64: how many identical rows a row stands for
    # the generation a row came from, 0 = real (or PAID); one number or (R, n)
    origin: int | Tensor
    # set where the rows are known only through their sums (x and y are None then)
    sums: Sums | None = None


def ones_for(chain_shape: tuple[int, ...], table: Part, dtype) -> Tensor:
    n = table.y.shape[len(chain_shape)]
    return torch.ones((), dtype=dtype, device=table.y.device).expand(*chain_shape, n)


def plain(table: Part, chain_shape) -> Tensor:
    return ones_for(chain_shape, table, torch.float64) if table.weight is None else table.weight


def expanded_origin(origin: int | Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    if isinstance(origin, Tensor):
        return origin
    return torch.full((), origin, dtype=torch.int64, device=like.device).expand(shape)


def alike(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts with their numbers in one type, the narrowest among them: digits that only one side has tell where a row
    comes from, and stay behind when both are stored in the wider type."""
    for name in ("x", "y"):
        types = {
            v.dtype
            for part in parts
            if (v := getattr(part, name)) is not None and v.is_floating_point() and v.numel()
        }
        if len(types) > 1:
            narrow = min(types, key=lambda dtype: torch.finfo(dtype).bits)
            parts = tuple(_stored(part, name, narrow) for part in parts)
    return parts


def _stored(part: Part, name: str, dtype: torch.dtype) -> Part:
    value = getattr(part, name)
    other = value is not None and value.is_floating_point() and value.dtype != dtype
    return replace(part, **{name: value.to(dtype)}) if other else part


def _take(value: Tensor, order: Tensor, axis: int) -> Tensor:
    index = order.reshape(order.shape + (1,) * (value.ndim - order.ndim)).expand(
        *order.shape, *value.shape[axis + 1 :]
    )
    return value.gather(axis, index)


def gather(table: Part, order: Tensor, axis: int) -> Part:
    """The rows of ``table`` at the positions ``order (R, m)``."""

    def pick(value):
        return _take(value, order, axis) if isinstance(value, Tensor) else value

    return Part(*(pick(getattr(table, name)) for name in ("x", "y", "weight", "count", "origin")))


def paid(part: Part) -> Part:
    """The part with its real rows marked as paid for."""
    if isinstance(part.origin, Tensor):
        return replace(part, origin=torch.where(part.origin == 0, PAID, part.origin))
    return replace(part, origin=PAID) if part.origin == 0 else part


def real_rows(part: Part, chain_shape: tuple[int, ...], with_paid: bool) -> Tensor:
    """Real rows of a part whose weight is not 0, (R,) int64; identical rows that stand as one with a count are many."""
    like = part.sums.weight if part.sums is not None else part.y
    low = PAID if with_paid else 0
    if not isinstance(part.origin, Tensor) and not low <= part.origin <= 0:
        return torch.zeros(chain_shape, dtype=torch.int64, device=like.device)
    if part.sums is not None:
        return part.sums.weight.round().long()
    rows = ones_for(chain_shape, part, torch.int64) if part.count is None else part.count
    if part.weight is not None:
        rows = rows * (part.weight > 0)
    if isinstance(part.origin, Tensor):
        rows = rows * ((part.origin >= low) & (part.origin <= 0))
    return rows.sum(-1)


def multiplicity(part: Part) -> Tensor | None:
    if part.weight is None:
        return None if part.count is None else part.count.double()
    return part.weight if part.count is None else part.weight * part.count
