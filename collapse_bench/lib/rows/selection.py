"""Keep the best part of the rows, by weight: nobody deletes rows.

Shapes: ``R`` replicates in front, ``n`` rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...core.components import DataGenerator, Teacher
from ...core.corpus import Corpus
from ...errors import Incompatible

if TYPE_CHECKING:
    from ...core.access import Access


def best(corpus: Corpus, score: Tensor, quota: Tensor | float) -> Tensor:
    """The share of each row (R, n), in [0, 1], that is kept when rows of the highest ``score (R, n)`` fill the quota.

    ``quota``: how much multiplicity is kept, a number or (R, 1).  Rows arrive in random order and the sort is stable,
    so ties fall at random; of identical rows that stand as one with a count, the part that just fills the quota is kept.
    """
    mass = corpus.multiplicity
    order = score.sort(dim=-1, descending=True, stable=True).indices
    ranked = mass.gather(-1, order)
    before = ranked.cumsum(-1) - ranked
    kept = torch.minimum((quota - before).clamp_min(0), ranked) / ranked.clamp_min(1e-300)
    return torch.zeros_like(kept).scatter(-1, order, kept)


def keep_best(corpus: Corpus, score: Tensor, share: float) -> Corpus:
    """The corpus with the highest-scoring ``share`` of its rows left, by weight."""
    quota = (share * corpus.multiplicity.sum(-1, keepdim=True)).round()
    return corpus.weighted(corpus.weight * best(corpus, score, quota))


def unverifiable(who: str, data: DataGenerator) -> str | None:
    """The sentence that refuses data whose answers cannot be checked."""
    return (
        None
        if data.verifiable
        else f"{who} needs answers that can be checked, and {data.title()} has no verifier"
    )


def oversampled(corpus: Corpus, access: Access, oversample: float) -> Corpus:
    """The lesson and further synthetic rows to choose from: oversample - 1 of them for each row of a generation."""
    more = round((oversample - 1) * access.n)
    return corpus + access.synthetic(more) if more else corpus


def likelihood(teacher: Teacher, corpus: Corpus) -> Tensor:
    """How likely each row is to the teacher, (R, n), to be compared among rows of one corpus: higher is likelier.

    The log-probability of its answer in nats, of a sequence per token (its end counts as one).  Of a number that
    answers a question: minus the squared residual, which orders rows like any normal noise about the teacher's mean.  Of
    a label, where the teacher has scores and no probabilities: its score less the best of the other labels'.
    """
    x, y = corpus.x, corpus.y
    alone = y.ndim == len(corpus.chain_shape) + 1  # one symbol or number per row
    if alone and y.is_floating_point():
        return -(y.double() - teacher.mean_answer(x)).square()
    try:
        logp = teacher.logp(x, y)
    except Incompatible:
        if not alone:
            raise
        return _margin(teacher.mean_answer(x), y)
    if alone or y.is_floating_point():
        return logp.sum(-1)
    ends = (y[..., -1] < 0).long()
    return logp.sum(-1) / ((y >= 0).sum(-1) + ends).clamp_min(1)


def _margin(score: Tensor, y: Tensor) -> Tensor:
    """Score (R, n, C) of each label (R, n) less the largest of the others."""
    own = score.gather(-1, y[..., None])
    return own[..., 0] - score.scatter(-1, y[..., None], -torch.inf).amax(-1)


def numbers(corpus: Corpus) -> Tensor:
    """Rows as columns of numbers, (R, n, p) float64: question and answer side by side, a label as a one-hot vector."""
    axis = len(corpus.chain_shape)
    y = corpus.y
    if not y.is_floating_point():
        if y.ndim > axis + 1 or corpus.labels is None:
            raise Incompatible("symbols in a row are no numbers to take means of")
        y = torch.nn.functional.one_hot(y, corpus.labels)
    return torch.cat(
        [v.reshape(*corpus.chain_shape, corpus.n, -1).double() for v in (corpus.x, y)], -1
    )
