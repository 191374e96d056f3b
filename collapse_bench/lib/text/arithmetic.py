"""Positive integers as tokens: a sign and the digits in some base, most significant digit first.

Token d < base is the digit d, token ``base`` is the sign +, and -1 fills the row after the end.
Several numbers follow one another without separator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ...theory.gcd import digits_of

ROWS = 1 << 14  # rows per chunk, so that intermediate tensors stay in cache
LARGEST = 1 << 18  # most entries of a table
# states after the first half of two numbers, bits
FIRST, SECOND = 1, 2  # within this number
SIGN, OVER = 4, 8  # just after the second sign; after the end of the second number
SHARE = 8  # a table pays where it has at most this many entries per row


def encode(values: Tensor, base: int, digits: int) -> Tensor:
    """values (..., k) int64 in [1, base^digits), below 2^52 -> tokens (..., k (1 + digits))."""
    spell = _digits
    if _pays(base**digits, values.numel()):
        spell = _looked_up
    return _by_rows(lambda rows: _joined(*spell(rows, base, digits)), values)


def decode(tokens: Tensor, base: int, k: int) -> Tensor:
    """tokens (..., P) -> the k numbers that they encode, (..., k) int64.

    All k are 0 if the tokens do not encode exactly k numbers.
    """
    width, odd = divmod(tokens.shape[-1], k)
    read = _decode
    rows = tokens.numel() // max(1, tokens.shape[-1])
    if k <= 2 and not odd and _pays((base + 2) ** width, rows):
        read = _decode_by_table
    return _by_rows(lambda rows: read(rows, base, k), tokens)


def _pays(entries: int, rows: int) -> bool:
    return entries <= min(LARGEST, SHARE * rows)


def _by_rows(of: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    parts = [of(rows) for rows in values.reshape(-1, values.shape[-1]).split(ROWS)]
    return torch.cat(parts).unflatten(0, values.shape[:-1])


# -- writing ---------------------------------------------------------------------------------------


def _digits(values: Tensor, base: int, digits: int) -> tuple[Tensor, Tensor]:
    """(tokens (m, k, 1 + digits) of each number by itself, its number of digits (m, k))."""
    # 1, base, base^2, ...
    place = float(base) ** torch.arange(digits, dtype=torch.float64, device=values.device)
    length = (values[..., None] >= place).sum(-1)
    # Shift every number so that its first digit is at the first place.
    shifted = values.double() * place[digits - length]
    # The floor is exact: both sides are whole numbers below 2^52.
    heads = torch.floor(shifted[..., None] / place.flip(0))
    figures = heads.clone()
    figures[..., 1:] -= base * heads[..., :-1]
    at = torch.arange(digits, device=values.device)
    figures = torch.where(at < length[..., None], figures, -1.0).long()
    return torch.cat([torch.full_like(figures[..., :1], base), figures], -1), length


def _looked_up(values: Tensor, base: int, digits: int) -> tuple[Tensor, Tensor]:
    """The same as ``_digits``."""
    spelt, length = _spellings(base, digits, values.device)
    at = values.flatten() - 1
    return (
        spelt.index_select(0, at).unflatten(0, values.shape),
        length.index_select(0, at).view(values.shape),
    )


@lru_cache(maxsize=8)
def _spellings(base: int, digits: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and numbers of digits of 1, 2, ... base^digits - 1."""
    return _digits(torch.arange(1, base**digits, device=device), base, digits)


def _joined(spelt: Tensor, length: Tensor) -> Tensor:
    """Numbers (m, k, 1 + digits) one behind the other, (m, k (1 + digits))."""
    m, k, width = spelt.shape
    out = spelt.new_full((m, k * width), -1)
    out[:, :width] = spelt[:, 0]
    behind = torch.arange(width, device=spelt.device).expand(m, width)
    for i in range(1, k):
        behind = behind + length[:, i - 1, None] + 1
        out.scatter_(1, behind, spelt[:, i])
    return out


# -- reading ---------------------------------------------------------------------------------------


def _decode(tokens: Tensor, base: int, k: int) -> Tensor:
    values, begun, fresh, _, wrong = _read(tokens, base, k)
    return torch.stack(values, -1) * ((begun == k) & ~fresh & ~wrong)[:, None]


def _read(
    tokens: Tensor, base: int, k: int, begun: int = 0
) -> tuple[list[Tensor], Tensor, Tensor, Tensor, Tensor]:
    """(k values, begun, fresh, ended, wrong) after the tokens (m, P).

    begun: how many signs have been read, also before the tokens; fresh: whether the last token was
    a sign; ended: whether the row has ended; wrong: whether it can no longer be numbers.  The last
    value is that of the digits since the last sign.
    """
    columns = tokens.t().contiguous()
    value = torch.zeros_like(columns[0])
    values = [torch.zeros_like(value) for _ in range(k)]
    signs = torch.full_like(value, begun)  # how many have been read
    fresh = torch.zeros_like(value, dtype=torch.bool)  # whether the previous token was a sign
    ended, wrong = fresh, fresh
    for token in columns:
        sign, digit = token == base, (token >= 0) & (token < base)
        wrong = (
            wrong
            | (token > base)
            | (ended & (token >= 0))
            | (fresh & ~(digit & (token > 0)))
            | (digit & (signs == 0))
        )
        ended = ended | (token < 0)
        for i in range(k):
            values[i] = torch.where(sign & (signs == i + 1), value, values[i])
        value = torch.where(digit, value * base + token, torch.where(sign, 0, value))
        signs, fresh = signs + sign, sign
    values[-1] = value
    return values, signs, fresh, ended, wrong


def _decode_by_table(tokens: Tensor, base: int, k: int) -> Tensor:
    """The same as ``_decode``: a row is looked up as one number, two numbers as two halves."""
    low, high = torch.aminmax(tokens)
    if low < -1 or high > base:
        return _decode(tokens, base, k)
    width, symbols = tokens.shape[-1] // k, base + 2
    powers = float(symbols) ** torch.arange(width, dtype=torch.float64, device=tokens.device)
    # exact: whole numbers below LARGEST
    key = tokens.double().unflatten(-1, (k, width)) @ powers + powers.sum()
    if k == 1:
        return _numbers(base, width, tokens.device).index_select(0, key[:, 0].long())[:, None]
    heads, tails = _halves(base, width, tokens.device)
    done, open_, state = heads.index_select(0, key[:, 0].long()).unbind(-1)
    scale, more, last, states = tails.index_select(0, key[:, 1].long()).unbind(-1)
    grown, one = open_ * scale + more, state == FIRST
    values = torch.stack([torch.where(one, grown, done), torch.where(one, last, grown)], -1)
    return values * ((state & states) > 0)[:, None]


def _rows(base: int, width: int, device: torch.device) -> Tensor:
    """All rows of tokens -1 .. base, in the order of their keys."""
    symbols = base + 2
    place = symbols ** torch.arange(width, device=device)
    return torch.arange(symbols**width, device=device)[:, None] // place % symbols - 1


@lru_cache(maxsize=8)
def _numbers(base: int, width: int, device: torch.device) -> Tensor:
    """The number that each row encodes, 0 where it encodes none."""
    return _decode(_rows(base, width, device), base, 1)[:, 0]


@lru_cache(maxsize=8)
def _halves(base: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tables of the first and the second half of two numbers, by the key of the half.

    A first half gives (the number that is complete, the digits of the open one, its state).  A
    second half gives (base to the number of its digits before a sign, these digits, the number
    after the sign, the states that it can follow).
    """
    rows = _rows(base, width, device)
    return (
        _by_rows(lambda some: _heads(some, base), rows),
        _by_rows(lambda some: _tails(some, base), rows),
    )


def _heads(rows: Tensor, base: int) -> Tensor:
    (done, value), begun, new, over, wrong = _read(rows, base, 2)
    second = torch.where(over, OVER, torch.where(new, SIGN, SECOND))
    first = torch.where(over | new, 0, FIRST)
    state = torch.where(begun == 2, second, torch.where(begun == 1, first, 0))
    return torch.stack([done, value, torch.where(wrong, 0, state)], -1)


def _tails(rows: Tensor, base: int) -> Tensor:
    (more, last), begun, new, _, wrong = _read(rows, base, 2, begun=1)
    plain = ~wrong & (begun == 1)  # digits and the end, or one of them
    states = (
        torch.where(~wrong & ~new & (begun == 2), FIRST, 0)
        + torch.where(plain, SECOND, 0)
        + torch.where(plain & (rows[:, 0] > 0), SIGN, 0)
        + torch.where((rows < 0).all(-1), OVER, 0)
    )
    before = (rows >= 0) & (rows < base) & ((rows == base).cumsum(-1) == 0)
    more, last = torch.where(begun == 1, last, more), torch.where(begun == 1, 0, last)
    return torch.stack([base ** before.sum(-1), more, last, states], -1)


__all__ = ["decode", "digits_of", "encode"]
