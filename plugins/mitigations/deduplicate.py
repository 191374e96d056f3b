"""Remove duplicates: of equal sequences one is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl

WORDS = 1 << 22  # hashed per chunk


@dataclass(frozen=True)
class Deduplicate(Mitigation):
    """Of sequences with the same question and answer one is kept.

    Lee et al., arXiv 2107.06499: of documents that are nearly the same one is kept, and substrings
    of 50 tokens that occur twice are cut out.

    Here whole rows are dropped and nothing is cut out.  Only sequences are documents: equal symbols
    are no duplicates, and without them every distribution of symbols would be flat.

    Stage: curate; track: blind.  A row with count c gets weight 1/c.  With ``share`` set, a
    sequence is also dropped if at least that share of its n-grams of ``gram`` tokens occurs in
    earlier rows.  Distinct rows stay exactly as they are.  Rows are compared by 64-bit hashes:
    among n rows, two different ones collide with probability n^2/2^65.
    """

    share: float | None = param(
        None,
        "share of known n-grams that makes a sequence a duplicate; null: equal rows only",
        gt=0,
        le=1,
    )
    gram: int = param(8, "tokens of an n-gram", ge=1, le=10000)

    kinds = ("sequence",)
    tunings = ({"share": 0.9}, {"share": 0.5})

    def curate(self, corpus, access):
        first = _first(_rows(corpus), corpus.weight)
        if self.share is not None:
            first = first & (_known(corpus.y, corpus.weight, self.gram) < self.share)
        if first.all() and (corpus.count == 1).all():
            return corpus
        return corpus.weighted(corpus.weight * first / corpus.count.clamp_min(1))


def _rows(corpus: Corpus) -> Tensor:
    """A hash (R, n) of each row: question and answer."""
    axis = len(corpus.chain_shape)
    columns = [v.reshape(*corpus.chain_shape, corpus.n, -1).long() for v in (corpus.x, corpus.y)]
    words = torch.cat(columns, axis + 1)
    flat = words.reshape(-1, words.shape[-1])
    step = max(1, WORDS // max(1, words.shape[-1]))
    return torch.cat([_hash(some) for some in flat.split(step)]).reshape(words.shape[:-1])


def _hash(words: Tensor) -> Tensor:
    """A 64-bit hash (m,) of rows of words (m, p): mix words with positions, sum, mix again."""
    place = torch.arange(1, words.shape[-1] + 1, device=words.device) * -0x61C8864680B583EB
    return _mixed(_mixed(words ^ _mixed(place)).sum(-1))


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection of int64."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        z = (z ^ _shifted(z, shift)) * factor
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """Logical shift to the right of int64: the high bits become 0, whatever the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _first(hashes: Tensor, weight: Tensor) -> Tensor:
    """Marks one row of each set of equal ones, (R, n) bool: the first with the largest weight."""
    by_weight = weight.sort(dim=-1, descending=True, stable=True).indices
    hashes, order = hashes.gather(-1, by_weight).sort(dim=-1, stable=True)
    new = torch.ones_like(hashes, dtype=torch.bool)
    new[..., 1:] = hashes[..., 1:] != hashes[..., :-1]
    return torch.zeros_like(new).scatter(-1, by_weight.gather(-1, order), new)


def _known(y: Tensor, weight: Tensor, gram: int) -> Tensor:
    """Share of each sequence's n-grams in earlier rows, (R, n); rows of weight 0 are ignored."""
    n, L = y.shape[-2:]
    if gram > L:
        return torch.zeros_like(weight)
    grams = y.unfold(-1, gram, 1)  # (R, n, L - gram + 1, gram)
    there = (grams[..., -1] >= 0) & (weight > 0)[..., None]
    hashes = _hash(grams.reshape(-1, gram)).reshape(grams.shape[:-1])
    # equal n-grams become adjacent, earlier rows first
    flat, order = hashes.flatten(-2).sort(dim=-1, stable=True)
    row = (
        torch.arange(n, device=y.device)[:, None]
        .expand(there.shape[-2:])
        .flatten()
        .expand(flat.shape)
    )
    row = torch.where(there.flatten(-2), row, n).gather(-1, order)  # n: not there
    run = torch.ones_like(flat, dtype=torch.bool)
    run[..., 1:] = flat[..., 1:] != flat[..., :-1]
    run = run.cumsum(-1) - 1
    earliest = torch.full_like(row, n).scatter_reduce(-1, run, row, "amin").gather(-1, run)
    met = (
        torch.zeros_like(there.flatten(-2))
        .scatter(-1, order, earliest < row)
        .unflatten(-1, there.shape[-2:])
        & there
    )
    return met.sum(-1) / there.sum(-1).clamp_min(1)


@hookimpl
def collapse_mitigations():
    return {"deduplicate": Deduplicate}
