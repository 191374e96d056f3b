"""Tokens with the ones before them, hashed: what methods look at that tell one text from another by its n-grams.

Shapes: ``R`` replicates in front, ``n`` rows, ``L`` tokens of an answer; a symbol is an answer of one token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.corpus import Corpus

# the multipliers of SplitMix64, as signed numbers
_FACTORS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


def said(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(token, before), (R, n, L) int64 each: the answers, -1 where nothing is said, and the token before each; before the
    first one stands the last place of the question, or -1."""
    shape = (*corpus.chain_shape, corpus.n, -1)
    token = corpus.y.reshape(shape).long()
    first = (
        corpus.x.reshape(shape)[..., -1:].long()
        if corpus.width
        else torch.full_like(token[..., :1], -1)
    )
    return token, torch.cat([first, token[..., :-1]], -1)


def hashed(before: Tensor, token: Tensor, key: int = 0) -> Tensor:
    """A word (...) int64 for each pair of tokens under a key, as good as random (the finaliser of SplitMix64)."""
    salt = (key * 0x1B873593CC9E2D51 + 1) & ((1 << 63) - 1)
    z = (before.long() * 0x2545F4914F6CDD1D) ^ (token.long() * 0x369DEA0F31A53F85 + salt)
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        z = (z ^ shifted(z, shift)) * factor
    return z ^ shifted(z, 31)


def shifted(z: Tensor, by: int) -> Tensor:
    """Shift to the right that brings in zeros, on int64."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def u(word: Tensor) -> Tensor:
    """The words (...) as numbers in (0, 1), float64."""
    return (shifted(word, 12) + 0.5) * 2.0**-52


def buckets(corpus: Corpus, many: int) -> list[tuple[Tensor, Tensor]]:
    """Of the tokens alone, and of pairs with the one before: (bucket (R, n, L) int64 below ``many``, whether there is one).

    Where nothing stands before a token it has no pair.
    """
    token, before = said(corpus)
    there = token >= 0
    alone, pair = hashed(torch.full_like(token, -1), token), hashed(before, token)
    return [(shifted(alone, 1) % many, there), (shifted(pair, 1) % many, there & (before >= 0))]


def tally(bucket: Tensor, there: Tensor, mass: Tensor, many: int) -> Tensor:
    """Weighted count of each bucket, (R, many) float64, for rows of ``mass (R, n)``."""
    w = (there * mass[..., None]).flatten(-2)
    return w.new_zeros(*w.shape[:-1], many).scatter_add(-1, bucket.flatten(-2), w)


def look_up(table: Tensor, bucket: Tensor, there: Tensor) -> Tensor:
    """Sum over the tokens of each row of what a table (R, many) holds in their buckets, (R, n)."""
    return (table.gather(-1, bucket.flatten(-2)).reshape(bucket.shape) * there).sum(-1)
