"""How much there is in a set of texts: distinct n-grams, repetition, self-BLEU, compression, the law of its words.

Shapes: texts ``y (..., m, L)`` are m sequences of tokens 0 .. labels - 1 with -1 after the end, replicates in front; each
measure is a number per replicate (...).  An n-gram never reaches over the end of a text.  Measures of a whole set
depend on its size: compare sets of equal size, see ``trimmed``.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

_LAST = torch.iinfo(torch.int64).max  # stands where there is no n-gram, after all others in order
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # odd, and far from any small ratio
ORDERS = (1, 2, 3, 4)


def ngrams(y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(keys, there), (..., m, L - n + 1) each: a number for every n-gram, equal where the n-grams are, and whether one
    stands there.

    Numbers to a base above the largest token, exact while base^n < 2^63 (4-grams over 50 000 words); a 64-bit hash beyond.
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
    """How many tokens the texts hold together, (...)."""
    return (y >= 0).sum((-2, -1))


def trimmed(y: Tensor, tokens: Tensor) -> Tensor:
    """The texts up to their first ``tokens (...)`` tokens, in reading order: the last one may be cut, later ones are empty."""
    there = y >= 0
    place = there.flatten(-2).cumsum(-1).reshape(y.shape)
    return torch.where(there & (place <= tokens[..., None, None]), y, -1)


# -- n-grams --------------------------------------------------------------------------------------------------------


def distinct(y: Tensor, n: int) -> Tensor:
    """Different n-grams over all n-grams of the set (Li et al. 2016, arXiv 1510.03055); 0 where there is none."""
    keys, there = ngrams(y, n)
    return _share(_different(keys.flatten(-2), there.flatten(-2)), there.sum((-2, -1)))


def repetition(y: Tensor, n: int) -> Tensor:
    """rep-n: the share of n-grams that stood before in the same text (Welleck et al. 2020, arXiv 1908.04319), n-grams of
    all texts together; 0 where there is none."""
    keys, there = ngrams(y, n)
    total = there.sum((-2, -1))
    return torch.where(total > 0, 1 - _share(_different(keys, there).sum(-1), total), 0.0)


def diversity(y: Tensor) -> Tensor:
    """Product over n = 2, 3, 4 of 1 - rep-n (Su et al. 2022, arXiv 2202.06417): 1 where no text repeats itself."""
    return torch.stack([1 - repetition(y, n) for n in (2, 3, 4)]).prod(0)


def type_token_ratio(y: Tensor, size: int = 100) -> Tensor:
    """Mean share of different tokens in stretches of ``size`` tokens (Johnson 1944, mean segmental type-token ratio).

    Texts are read one after another; what is left at the end is not counted.  The stretches being of one size, it does
    not depend on the size of the set.  A set of fewer tokens is one stretch whose missing tokens are nothing new.
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
    """How many different keys there are along the last dimension, (...)."""
    if not keys.shape[-1]:
        return keys.sum(-1)
    ranked = keys.masked_fill(~there, _LAST).sort(-1).values
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    return (new & (ranked != _LAST)).sum(-1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part.double() / whole.clamp_min(1), 0.0)


# -- the law of words -----------------------------------------------------------------------------------------------


def frequencies(y: Tensor, labels: int) -> Tensor:
    """How often each token is written, (..., labels) float64."""
    flat = y.flatten(-2)
    counts = torch.zeros(*flat.shape[:-1], labels + 1, dtype=torch.float64, device=y.device)
    return counts.scatter_add(
        -1, flat.clamp_min(-1) + 1, torch.ones_like(flat, dtype=torch.float64)
    )[..., 1:]


def vocabulary(counts: Tensor) -> Tensor:
    """Different tokens among ``counts (..., labels)``, (...)."""
    return (counts > 0).sum(-1).double()


def entropy(counts: Tensor) -> Tensor:
    """Entropy of the frequencies ``counts (..., labels)``, nats, (...); 0 where nothing is written."""
    total = counts.sum(-1, keepdim=True)
    return torch.special.entr(counts / total.clamp_min(1e-300)).sum(-1)


def zipf_slope(counts: Tensor) -> Tensor:
    """Exponent of Zipf's law, (...): minus the slope of log frequency on log rank by least squares, over all types that
    are written at all; NaN of fewer than two types."""
    ranked = counts.sort(-1, descending=True).values
    w = (ranked > 0).double()
    rank = torch.arange(1, counts.shape[-1] + 1, dtype=torch.float64, device=counts.device).log()
    f = ranked.clamp_min(1e-300).log()
    n = w.sum(-1, keepdim=True)
    gap = rank - (w * rank).sum(-1, keepdim=True) / n
    return torch.where(n[..., 0] > 1, -(w * gap * f).sum(-1) / (w * gap**2).sum(-1), torch.nan)


# -- compression ----------------------------------------------------------------------------------------------------


def compression_ratio(text: bytes) -> float:
    """Compressed over plain size (zlib, level 9), of a text that is not empty: small where much is said twice.

    The inverse of Shaib et al.'s ratio (arXiv 2403.00553), so that more is more diverse.  Depends on the size of the text.
    """
    return len(zlib.compress(text, 9)) / len(text)


# -- self-BLEU ------------------------------------------------------------------------------------------------------


def self_bleu(y: Tensor) -> Tensor:
    """Mean BLEU-4 of each text against all others as references, in [0, 1]: 1 where all are alike (Zhu et al. 2018,
    arXiv 1802.01886).

    Counts of matching n-grams are found for all texts at once; the score of each is sacrebleu's sentence BLEU on tokens
    as they are (exponential smoothing, effective order, closest reference length).  Empty texts match one another.
    """
    flat = y.reshape(-1, *y.shape[-2:]).cpu()
    lengths = (flat >= 0).sum(-1).numpy()  # (B, m)
    matches = np.stack([_matches(flat, n) for n in ORDERS], -1)  # (B, m, 4)
    totals = np.maximum(lengths[..., None] - np.arange(len(ORDERS)), 0)
    scores = _scores(matches, totals, lengths, _closest(lengths))
    alone = (lengths == 0).sum(-1, keepdims=True) < 2
    scores = np.where(lengths == 0, np.where(alone, 0.0, 1.0), scores)
    return torch.from_numpy(scores.mean(-1)).reshape(y.shape[:-2]).to(y.device)


def _matches(y: Tensor, n: int) -> np.ndarray:
    """Matching n-grams of each text (B, m): each counted at most as often as in the text, among the others, that has it
    most often."""
    (B, m), (keys, there) = y.shape[:2], ngrams(y, n)
    book, text, _ = np.nonzero(there.numpy())
    gram = np.unique(keys.numpy()[there.numpy()], return_inverse=True)[1]
    found, many = np.unique((gram * B + book) * m + text, return_counts=True)
    if not found.size:
        return np.zeros((B, m), np.int64)
    where, text = np.divmod(found, m)  # one (n-gram, book) after another, and in each its texts
    first = np.flatnonzero(np.diff(where, prepend=-1))
    group = np.repeat(np.arange(first.size), np.diff(first, append=found.size))
    most = np.maximum.reduceat(many, first)[group]
    leaders = np.flatnonzero(many == most)
    leader = leaders[
        np.flatnonzero(np.diff(group[leaders], prepend=-1))
    ]  # the first text that has it most often
    rest = many.copy()
    rest[leader] = 0
    most[leader] = np.maximum.reduceat(rest, first)
    place = where % B * m + text
    return np.bincount(place, np.minimum(many, most), B * m).reshape(B, m).astype(np.int64)


def _closest(lengths: np.ndarray) -> np.ndarray:
    """For each text (B, m) the length of another that is closest to its own, of two the shorter."""
    gap = np.abs(lengths[:, :, None] - lengths[:, None, :]) * 2 + (
        lengths[:, None, :] > lengths[:, :, None]
    )
    gap[:, np.arange(lengths.shape[1]), np.arange(lengths.shape[1])] = np.iinfo(gap.dtype).max
    return np.take_along_axis(lengths, gap.argmin(-1), -1)


def _scores(
    matches: np.ndarray, totals: np.ndarray, lengths: np.ndarray, references: np.ndarray
) -> np.ndarray:
    """BLEU of each text, (B, m) in [0, 1]."""
    from sacrebleu.metrics.bleu import BLEU  # slow to import, and nobody else needs it

    def score(correct, total, length, reference):
        how = {"smooth_method": "exp", "effective_order": True}
        return BLEU.compute_bleu(correct, total, length, reference, **how).score / 100

    rows = (
        value.reshape(-1, *value.shape[2:]).tolist()
        for value in (matches, totals, lengths, references)
    )
    return np.array([score(*row) for row in zip(*rows, strict=True)]).reshape(lengths.shape)
