"""Whole numbers as tokens: a sign and the digits in some base, most significant first, one number after another.

Token d < base is the digit d and token ``base`` the sign +; -1 stands after the end.  Numbers are positive.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...theory.gcd import digits_of

ROWS = 1 << 14  # rows at a time: what is worked on stays in cache


def encode(values: Tensor, base: int, digits: int) -> Tensor:
    """values (..., k) int64 in [1, base^digits), below 2^52 -> tokens (..., k (1 + digits)) int64."""
    return _by_rows(lambda rows: _encode(rows, base, digits), values)


def decode(tokens: Tensor, base: int, k: int) -> Tensor:
    """tokens (..., P) -> the k numbers that they spell, (..., k) int64; 0 for all k where they do not spell k numbers."""
    return _by_rows(lambda rows: _decode(rows, base, k), tokens)


def _by_rows(of: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    parts = [of(rows) for rows in values.reshape(-1, values.shape[-1]).split(ROWS)]
    return torch.cat(parts).unflatten(0, values.shape[:-1])


def _encode(values: Tensor, base: int, digits: int) -> Tensor:
    place = float(base) ** torch.arange(
        digits, dtype=torch.float64, device=values.device
    )  # 1, base, base^2, ...
    length = (values[..., None] >= place).sum(-1)  # (m, k) digits of each number
    shifted = (
        values.double() * place[digits - length]
    )  # every number has its first digit at the first place
    heads = torch.floor(
        shifted[..., None] / place.flip(0)
    )  # exact: a quotient of whole numbers below 2^52
    figures = heads.clone()
    figures[..., 1:] -= base * heads[..., :-1]
    at = torch.arange(digits, device=values.device)
    figures = torch.where(at < length[..., None], figures, -1.0).long()
    spelt = torch.cat([torch.full_like(figures[..., :1], base), figures], -1)  # (m, k, 1 + digits)
    out = spelt[:, 0]
    for i in range(1, values.shape[-1]):
        behind = length[:, :i].sum(-1, keepdim=True) + i  # where number i begins
        column = torch.arange(out.shape[-1] + 1 + digits, device=values.device) - behind
        own = spelt[:, i].gather(-1, column.clamp(0, digits))
        own = torch.where(column > digits, -1, own)
        out = torch.where(column >= 0, own, torch.nn.functional.pad(out, (0, 1 + digits), value=-1))
    return out


def _decode(tokens: Tensor, base: int, k: int) -> Tensor:
    columns = tokens.t().contiguous()
    value = torch.zeros_like(columns[0])
    values = [torch.zeros_like(value) for _ in range(k)]
    begun = torch.zeros_like(value)  # numbers whose sign has been read
    fresh = torch.zeros_like(value, dtype=torch.bool)  # the sign was just read
    ended, wrong = fresh, fresh
    for token in columns:
        sign, digit = token == base, (token >= 0) & (token < base)
        wrong = (
            wrong
            | (token > base)
            | (ended & (token >= 0))
            | (fresh & ~(digit & (token > 0)))
            | (digit & (begun == 0))
        )
        ended = ended | (token < 0)
        for i in range(k):
            values[i] = torch.where(sign & (begun == i + 1), value, values[i])
        value = torch.where(digit, value * base + token, torch.where(sign, 0, value))
        begun, fresh = begun + sign, sign
    values[-1] = value
    return torch.stack(values, -1) * ((begun == k) & ~fresh & ~wrong)[:, None]


__all__ = ["decode", "digits_of", "encode"]
