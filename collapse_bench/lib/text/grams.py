"""Hashed unigrams and bigrams, for methods that distinguish texts by their n-grams.

Shapes: ``R`` chains as leading dimension, ``n`` rows, ``L`` tokens of an answer.  A symbol is an
answer of one token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.corpus import Corpus

# The multipliers of SplitMix64, as signed numbers, since torch has no unsigned 64-bit arithmetic.
_FACTORS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


def token_pairs(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(token, before), (R, n, L) int64 each: the tokens of the answers, and the ones before them.

    -1 marks positions after the end.  Before the first token comes the last position of the
    question, or -1 without a question.
    """
    shape = (*corpus.chain_shape, corpus.n, -1)
    token = corpus.y.reshape(shape).long()
    first = (
        corpus.x.reshape(shape)[..., -1:].long()
        if corpus.width
        else torch.full_like(token[..., :1], -1)
    )
    return token, torch.cat([first, token[..., :-1]], -1)


def hashed(before: Tensor, token: Tensor, key: int = 0) -> Tensor:
    """A pseudo-random int64 (...) per pair of tokens under a key: the finaliser of SplitMix64."""
    salt = (key * 0x1B873593CC9E2D51 + 1) & ((1 << 63) - 1)
    z = (before.long() * 0x2545F4914F6CDD1D) ^ (token.long() * 0x369DEA0F31A53F85 + salt)
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        z = (z ^ shifted(z, shift)) * factor
    return z ^ shifted(z, 31)


def shifted(z: Tensor, by: int) -> Tensor:
    """Logical shift to the right of int64: the high bits become 0, whatever the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def u(word: Tensor) -> Tensor:
    """Hashes (...) int64 as numbers in (0, 1), float64."""
    return (shifted(word, 12) + 0.5) * 2.0**-52


def buckets(corpus: Corpus, many: int) -> list[tuple[Tensor, Tensor]]:
    """Hash buckets of unigrams and of bigrams: two pairs (bucket, there).

    bucket (R, n, L) is int64 below ``many``; there (R, n, L) marks positions that have an n-gram.
    A token without a token before it has no bigram.
    """
    token, before = token_pairs(corpus)
    there = token >= 0
    single, pair = hashed(torch.full_like(token, -1), token), hashed(before, token)
    return [(shifted(single, 1) % many, there), (shifted(pair, 1) % many, there & (before >= 0))]


def tally(bucket: Tensor, there: Tensor, mass: Tensor, many: int) -> Tensor:
    """Weighted count of each bucket, (R, many) float64, for rows of weight ``mass (R, n)``."""
    w = (there * mass[..., None]).flatten(-2)
    return w.new_zeros(*w.shape[:-1], many).scatter_add(-1, bucket.flatten(-2), w)


def look_up(table: Tensor, bucket: Tensor, there: Tensor) -> Tensor:
    """Sum of the entries of ``table (R, many)`` over the buckets of each row, (R, n)."""
    return (table.gather(-1, bucket.flatten(-2)).reshape(bucket.shape) * there).sum(-1)
