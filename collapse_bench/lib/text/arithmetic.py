"""Positive integers as tokens: a sign and the digits in some base, most significant digit first.

Token d < base is the digit d, token ``base`` is the sign +, and -1 fills the row after the end.
Several numbers follow one another without separator.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...theory.gcd import digits_of

ROWS = 1 << 14  # rows per chunk, so that intermediate tensors stay in cache


def encode(values: Tensor, base: int, digits: int) -> Tensor:
    """values (..., k) int64 in [1, base^digits), below 2^52 -> tokens (..., k (1 + digits))."""
    return _by_rows(lambda rows: _encode(rows, base, digits), values)


def decode(tokens: Tensor, base: int, k: int) -> Tensor:
    """tokens (..., P) -> the k numbers that they encode, (..., k) int64.

    All k are 0 if the tokens do not encode exactly k numbers.
    """
    return _by_rows(lambda rows: _decode(rows, base, k), tokens)


def _by_rows(of: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    parts = [of(rows) for rows in values.reshape(-1, values.shape[-1]).split(ROWS)]
    return torch.cat(parts).unflatten(0, values.shape[:-1])


def _encode(values: Tensor, base: int, digits: int) -> Tensor:
    # 1, base, base^2, ...
    place = float(base) ** torch.arange(digits, dtype=torch.float64, device=values.device)
    length = (values[..., None] >= place).sum(-1)  # (m, k), number of digits
    # Shift every number so that its first digit is at the first place.
    shifted = values.double() * place[digits - length]
    # The floor is exact: both sides are whole numbers below 2^52.
    heads = torch.floor(shifted[..., None] / place.flip(0))
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
    begun = torch.zeros_like(value)  # how many signs have been read
    fresh = torch.zeros_like(value, dtype=torch.bool)  # whether the previous token was a sign
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
