"""Diversity of a set of texts: n-grams, repetition, self-BLEU, compression, word frequencies.

Shapes: texts ``y (..., m, L)`` are m sequences of tokens 0 .. labels - 1 with -1 after the end;
leading dimensions are chains.  Each measure is one number per chain (...).  An n-gram never crosses
the end of a text.  Measures of a whole set depend on its size: compare sets of equal size, see
``trimmed``.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

_LAST = torch.iinfo(torch.int64).max  # marks positions without an n-gram; sorts after all keys
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio, a good multiplier for hashing
ORDERS = (1, 2, 3, 4)


def ngrams(y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(keys, there), (..., m, L - n + 1) each: a number per n-gram, and whether there is an n-gram.

    Equal n-grams have equal keys.  A key is the n-gram as a number in a base above the largest
    token, which is exact while base^n < 2^63 (4-grams over 50 000 words); beyond that it is a
    64-bit hash.
    """
    if y.shape[-1] < n:
        empty = y[..., :0]
        return empty, empty.bool()
    base = int(y.max()) + 2 if y.numel() else 1
    base = base if base**n < 2**63 else _GOLDEN
    windows = (y + 1).unfold(-1, n, 1)  # (..., m, W, n)
    keys = windows[..., 0]
    for i in range(1, n):
        keys = keys * base + windows[..., i]
    return keys, (windows > 0).all(-1)


def tokens_in(y: Tensor) -> Tensor:
    """Total number of tokens of all texts, (...)."""
    return (y >= 0).sum((-2, -1))


def trimmed(y: Tensor, tokens: Tensor) -> Tensor:
    """The first ``tokens (...)`` tokens of the set in reading order; the others become -1."""
    there = y >= 0
    place = there.flatten(-2).cumsum(-1).reshape(y.shape)
    return torch.where(there & (place <= tokens[..., None, None]), y, -1)


# -- n-grams ---------------------------------------------------------------------------------------


def distinct(y: Tensor, n: int) -> Tensor:
    """Number of different n-grams over all n-grams of the set (Li et al. 2016, arXiv 1510.03055).

    0 if there are no n-grams.
    """
    keys, there = ngrams(y, n)
    return _share(_different(keys.flatten(-2), there.flatten(-2)), there.sum((-2, -1)))


def repetition(y: Tensor, n: int) -> Tensor:
    """rep-n: the share of n-grams that occurred earlier in the same text, over all texts together.

    Welleck et al. 2020, arXiv 1908.04319.  0 if there are no n-grams.
    """
    keys, there = ngrams(y, n)
    total = there.sum((-2, -1))
    return torch.where(total > 0, 1 - _share(_different(keys, there).sum(-1), total), 0.0)


def diversity(y: Tensor) -> Tensor:
    """Product over n = 2, 3, 4 of 1 - rep-n (Su et al. 2022, arXiv 2202.06417).

    1 if no text repeats itself.
    """
    return torch.stack([1 - repetition(y, n) for n in (2, 3, 4)]).prod(0)


def type_token_ratio(y: Tensor, size: int = 100) -> Tensor:
    """Mean share of different tokens in segments of ``size`` tokens.

    The mean segmental type-token ratio (Johnson 1944).  Texts are concatenated, and an incomplete
    last segment is dropped.  Since all segments have one size, the measure does not depend on the
    size of the set.  A set with fewer tokens is one segment; its missing tokens count as
    repetitions.
    """
    flat = y.flatten(-2)
    there = flat >= 0
    packed = flat.gather(-1, (~there).to(torch.int8).argsort(stable=True, dim=-1))
    pad = -packed.shape[-1] % size
    segments = torch.nn.functional.pad(packed, (0, pad), value=-1).unflatten(-1, (-1, size))
    types = _different(segments, segments >= 0)  # (..., segments)
    full = (there.sum(-1, keepdim=True) // size).clamp_min(1)
    counted = torch.arange(types.shape[-1], device=y.device) < full
    return (types * counted).sum(-1).double() / (full[..., 0] * size)


def _different(keys: Tensor, there: Tensor) -> Tensor:
    """Number of different keys along the last dimension, (...)."""
    if not keys.shape[-1]:
        return keys.sum(-1)
    ranked = keys.masked_fill(~there, _LAST).sort(-1).values
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    return (new & (ranked != _LAST)).sum(-1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part.double() / whole.clamp_min(1), 0.0)


# -- word frequencies ------------------------------------------------------------------------------


def frequencies(y: Tensor, labels: int) -> Tensor:
    """Number of occurrences of each token, (..., labels) float64."""
    flat = y.flatten(-2)
    counts = torch.zeros(*flat.shape[:-1], labels + 1, dtype=torch.float64, device=y.device)
    return counts.scatter_add(
        -1, flat.clamp_min(-1) + 1, torch.ones_like(flat, dtype=torch.float64)
    )[..., 1:]


def vocabulary(counts: Tensor) -> Tensor:
    """Number of different tokens in ``counts (..., labels)``, (...)."""
    return (counts > 0).sum(-1).double()


def entropy(counts: Tensor) -> Tensor:
    """Entropy of the frequencies ``counts (..., labels)`` in nats, (...); 0 for empty sets."""
    total = counts.sum(-1, keepdim=True)
    return torch.special.entr(counts / total.clamp_min(1e-300)).sum(-1)


def zipf_slope(counts: Tensor) -> Tensor:
    """Exponent of Zipf's law, (...): minus the least-squares slope of log frequency on log rank.

    Over all types that occur; NaN if there are fewer than two.
    """
    ranked = counts.sort(-1, descending=True).values
    w = (ranked > 0).double()
    rank = torch.arange(1, counts.shape[-1] + 1, dtype=torch.float64, device=counts.device).log()
    f = ranked.clamp_min(1e-300).log()
    n = w.sum(-1, keepdim=True)
    gap = rank - (w * rank).sum(-1, keepdim=True) / n
    return torch.where(n[..., 0] > 1, -(w * gap * f).sum(-1) / (w * gap**2).sum(-1), torch.nan)


# -- compression -----------------------------------------------------------------------------------


def compression_ratio(text: bytes) -> float:
    """Compressed over plain size (zlib, level 9) of a non-empty text: small for repetitive text.

    The inverse of the ratio of Shaib et al. (arXiv 2403.00553), so that larger is more diverse.  It
    depends on the size of the text.
    """
    return len(zlib.compress(text, 9)) / len(text)


# -- self-BLEU -------------------------------------------------------------------------------------


def self_bleu(y: Tensor) -> Tensor:
    """Mean BLEU-4 of each text against all others as references, in [0, 1]; 1 if all are equal.

    Zhu et al. 2018, arXiv 1802.01886.  Matching n-grams are counted for all texts at once.  The
    score of each text is sacrebleu's sentence BLEU on unprocessed tokens (exponential smoothing,
    effective order, closest reference length).  Empty texts match one another.
    """
    flat = y.reshape(-1, *y.shape[-2:]).cpu()
    lengths = (flat >= 0).sum(-1).numpy()  # (B, m)
    matches = np.stack([_matches(flat, n) for n in ORDERS], -1)  # (B, m, 4)
    totals = np.maximum(lengths[..., None] - np.arange(len(ORDERS)), 0)
    scores = _scores(matches, totals, lengths, _closest(lengths))
    single = (lengths == 0).sum(-1, keepdims=True) < 2  # at most one empty text: it matches nothing
    scores = np.where(lengths == 0, np.where(single, 0.0, 1.0), scores)
    return torch.from_numpy(scores.mean(-1)).reshape(y.shape[:-2]).to(y.device)


def _matches(y: Tensor, n: int) -> np.ndarray:
    """Clipped matches (B, m): an n-gram counts at most its largest count in another text.

    The largest count among the other texts is the largest count overall, except for the text that
    attains it; that text needs the second largest.
    """
    (B, m), (keys, there) = y.shape[:2], ngrams(y, n)
    book, text, _ = np.nonzero(there.numpy())
    gram = np.unique(keys.numpy()[there.numpy()], return_inverse=True)[1]
    distinct_keys, many = np.unique((gram * B + book) * m + text, return_counts=True)
    if not distinct_keys.size:
        return np.zeros((B, m), np.int64)
    where, text = np.divmod(distinct_keys, m)  # sorted by (n-gram, book), then by text
    first = np.flatnonzero(np.diff(where, prepend=-1))
    group = np.repeat(np.arange(first.size), np.diff(first, append=distinct_keys.size))
    most = np.maximum.reduceat(many, first)[group]
    leaders = np.flatnonzero(many == most)
    # The first text of each group that attains the largest count.
    leader = leaders[np.flatnonzero(np.diff(group[leaders], prepend=-1))]
    rest = many.copy()
    rest[leader] = 0
    most[leader] = np.maximum.reduceat(rest, first)
    place = where % B * m + text
    return np.bincount(place, np.minimum(many, most), B * m).reshape(B, m).astype(np.int64)


def _closest(lengths: np.ndarray) -> np.ndarray:
    """For each text (B, m) the closest length of another text, the shorter one in a tie."""
    gap = np.abs(lengths[:, :, None] - lengths[:, None, :]) * 2 + (
        lengths[:, None, :] > lengths[:, :, None]
    )
    gap[:, np.arange(lengths.shape[1]), np.arange(lengths.shape[1])] = np.iinfo(gap.dtype).max
    return np.take_along_axis(lengths, gap.argmin(-1), -1)


def _scores(
    matches: np.ndarray, totals: np.ndarray, lengths: np.ndarray, references: np.ndarray
) -> np.ndarray:
    """BLEU of each text, (B, m) in [0, 1]."""
    from sacrebleu.metrics.bleu import BLEU  # imported here because the import is slow

    def score(correct, total, length, reference):
        how = {"smooth_method": "exp", "effective_order": True}
        return BLEU.compute_bleu(correct, total, length, reference, **how).score / 100

    rows = (
        value.reshape(-1, *value.shape[2:]).tolist()
        for value in (matches, totals, lengths, references)
    )
    return np.array([score(*row) for row in zip(*rows, strict=True)]).reshape(lengths.shape)
