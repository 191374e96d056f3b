"""Write more than is needed, and read what the learner is least sure of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.corpus import Corpus
from collapse_bench.errors import Unfit
from collapse_bench.hookspecs import hookimpl
from collapse_bench.mixing import exchanged, rows_in, surprisal
from collapse_bench.nouns import Mitigation, Teacher, param
from collapse_bench.selection import best


@dataclass(frozen=True)
class DeliberatePractice(Mitigation):
    """A share of the lesson gives way to the most uncertain of ``oversample`` times as many new synthetic rows (Askari-
    Hemmat et al., arXiv 2502.15588).

    Moment: curate; track: blind, at the price of the rows written.  The learner is the model of the generation before.  Of
    classes its uncertainty is the entropy of the softmax of its scores; of symbols and texts the surprisal of what was
    written, per token, which is that entropy on average.
    """

    share: float = param(0.5, "share of the lesson that is so chosen", ge=0, le=1)
    oversample: float = param(4.0, "rows written for each of these", ge=1, le=1000)

    kinds = ("classification", "discrete", "sequence")

    def curate(self, corpus, taps):
        m = round(self.share * rows_in(corpus))
        if m == 0:
            return corpus
        pool = taps.synthetic(round(self.oversample * m))
        return exchanged(corpus, _hardest(pool, _uncertainty(taps.teacher, pool), m), taps.rng)


def _uncertainty(teacher: Teacher, corpus: Corpus) -> Tensor:
    """(R, n) nats."""
    try:
        return torch.special.entr(teacher.expect(corpus.x).softmax(-1)).sum(-1)
    except Unfit:  # symbols and texts have no scores
        return surprisal(teacher, corpus)


def _hardest(pool: Corpus, score: Tensor, m: int) -> Corpus:
    """The m rows of the highest score."""
    kept = best(pool, score, m)
    if rows_in(pool) > pool.n:  # rows that stand for several
        return pool.counted((pool.count * kept).round().long())
    return pool.at(kept.sort(dim=-1, descending=True, stable=True).indices[..., :m])


@hookimpl
def collapse_mitigations():
    return {"deliberate-practice": DeliberatePractice}
