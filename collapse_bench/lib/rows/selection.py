"""Selection of rows by score.  Rejected rows get weight 0; rows are never deleted.

Shapes: ``R`` chains as leading dimension, ``n`` rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...core.components import DataGenerator, Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...errors import Incompatible, Lacks, Unsupported
from ..rounding import settled
from .mixing import rows_in

if TYPE_CHECKING:
    from ...core.access import Access


def best(corpus: Corpus, score: Tensor, quota: Tensor | float) -> Tensor:
    """The kept share (R, n) of each row when the rows of highest ``score (R, n)`` fill the quota.

    ``quota`` is the multiplicity to keep, a number or (R, 1).  Rows arrive in random order and the
    sort is stable, so ties, also those up to rounding, are broken at random.  Of a row with a
    count, only the part that fills the quota is kept.
    """
    mass = corpus.multiplicity
    order = settled(score).sort(dim=-1, descending=True, stable=True).indices
    ranked = mass.gather(-1, order)
    before = ranked.cumsum(-1) - ranked
    kept = torch.minimum((quota - before).clamp_min(0), ranked) / ranked.clamp_min(1e-300)
    return torch.zeros_like(kept).scatter(-1, order, kept)


def keep_best(corpus: Corpus, score: Tensor, share: float) -> Corpus:
    """The corpus with only the highest-scoring ``share`` of its rows, the others at weight 0."""
    quota = settled(share * corpus.multiplicity.sum(-1, keepdim=True)).round()
    return corpus.weighted(corpus.weight * best(corpus, score, quota))


def refilled(n: int, keep: float) -> int:
    """The number of rows to compose, of which the share ``keep`` is n."""
    return max(1, round(n / keep))


def usual_share(corpus: Corpus, access: Access, keep: float) -> float:
    """The share of the corpus that the protocol composes without the refill of ``refilled``.

    It is ``keep`` where all rows are of this generation.  A pool has surplus rows from every
    generation in which the method took part, and the rows of generation 0 without a surplus.
    """
    rows = rows_in(corpus)
    surplus = access.n - round(keep * access.n)
    return 1 - surplus * max(1, rows // access.n) / max(1, rows)


def keep_random(corpus: Corpus, accepted: Tensor, share: float, rng: Stream) -> Corpus:
    """The accepted rows (R, n), at most ``share`` of all rows: a random choice if there are more.

    The others have weight 0.
    """
    if share >= 1:
        return corpus.weighted(corpus.weight * accepted)
    quota = settled(share * corpus.multiplicity.sum(-1, keepdim=True)).round()
    turn = torch.where(accepted, rng.uniform(corpus.n), -1.0)
    return corpus.weighted(corpus.weight * best(corpus, turn, quota) * accepted)


def unverifiable(who: str, data: DataGenerator) -> str | None:
    """Why method ``who`` cannot verify answers of ``data``, or None if it can."""
    return (
        None
        if data.verifiable
        else Lacks(f"{who} needs answers that can be checked, and {data.title()} has no verifier")
    )


def likelihood(teacher: Teacher, corpus: Corpus) -> Tensor:
    """A score of how likely each row is under the teacher, (R, n); higher means more likely.

    Scores are comparable within one corpus.  The score is

    - the log-probability of the answer in nats, for sequences per token (the end counts as a
      token);
    - for a number that answers a question: minus the squared residual, which ranks rows as any
      normal noise about the teacher's mean does;
    - for a label of a teacher with scores but no probabilities: its score minus the best other
      score.
    """
    x, y = corpus.x, corpus.y
    scalar = y.ndim == len(corpus.chain_shape) + 1  # one symbol or number per row
    if scalar and y.is_floating_point():
        return -(y.double() - teacher.mean_answer(x)).square()
    try:
        logp = teacher.logp(x, y)
    except Incompatible:
        if not scalar:
            raise
        return _margin(teacher.mean_answer(x), y)
    if scalar or y.is_floating_point():
        return logp.sum(-1)
    ends = (y[..., -1] < 0).long()
    return logp.sum(-1) / ((y >= 0).sum(-1) + ends).clamp_min(1)


def _margin(score: Tensor, y: Tensor) -> Tensor:
    """The score of each label (R, n) minus the largest other one, for scores (R, n, C); (R, n)."""
    own = score.gather(-1, y[..., None])
    return own[..., 0] - score.scatter(-1, y[..., None], -torch.inf).amax(-1)


def numbers(corpus: Corpus) -> Tensor:
    """Rows as vectors of numbers, (R, n, p) float64: question, then answer; labels are one-hot.

    Raises Incompatible for sequences of symbols, whose means are meaningless.
    """
    axis = len(corpus.chain_shape)
    y = corpus.y
    if not y.is_floating_point():
        if y.ndim > axis + 1 or corpus.labels is None:
            raise Unsupported("answers that are sequences of symbols have no means")
        y = torch.nn.functional.one_hot(y, corpus.labels)
    return torch.cat(
        [v.reshape(*corpus.chain_shape, corpus.n, -1).double() for v in (corpus.x, y)], -1
    )
