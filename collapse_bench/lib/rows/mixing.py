"""Real and synthetic rows in one lesson: what the methods share that weigh or exchange them.

Shapes: ``R`` replicates in front, ``n`` rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream

if TYPE_CHECKING:
    from ...core.cell import Cell


def rows_in(corpus: Corpus) -> int:
    """How many rows a lesson has, identical ones that stand as one counted apart."""
    return int(corpus.count.sum(-1).amax())


def unmixed(cell: Cell, who: str) -> str | None:
    """The sentence of a method that weighs real rows against synthetic ones, where its lessons hold no real ones."""
    protocol = cell.protocol
    if not protocol.reads_real and len(cell.mitigations) == 1:
        return (
            f"{who} weighs real rows against synthetic ones, and {protocol.title()} gives synthetic ones alone; choose "
            f"mix or accumulate, or add real rows first, as in real-anchor + {who}"
        )
    return None


def weighed(corpus: Corpus, real: Tensor, w: Tensor | float) -> Corpus:
    """The corpus with the share w (a number or (R, 1)) of its weight on the rows where ``real (R, n)``, 1 - w on the
    others, rescaled to the effective sample size; as it is in chains that hold rows of one sort alone."""
    real = real.double()
    mass = corpus.multiplicity
    share = (mass * real).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True)
    factor = torch.where(real > 0, w / share, (1 - w) / (1 - share))
    both = (share > 0) & (share < 1)
    return corpus.reweighted(torch.where(both, factor, 1.0))


def exchanged(corpus: Corpus, new: Corpus, rng: Stream) -> Corpus:
    """The lesson with as many of its rows as ``new`` has, drawn at random, given up for these."""
    return corpus.sample(rows_in(corpus) - rows_in(new), rng) + new


def surprisal(teacher: Teacher, corpus: Corpus) -> Tensor:
    """-log p of each row's answer given its question, (R, n) nats; of a sequence per token, its end being one."""
    logp = teacher.logp(corpus.x, corpus.y)
    if logp.shape[-1] == 1:
        return -logp[..., 0]
    tokens = (corpus.y >= 0).sum(-1)
    return -logp.sum(-1) / (tokens + (tokens < corpus.y.shape[-1]))


def placed(value: Tensor, order: Tensor) -> Tensor:
    """The rows of ``value (R, n, ...)`` at the positions ``order (R, m)``."""
    axis = order.ndim - 1
    index = order.reshape(order.shape + (1,) * (value.ndim - order.ndim)).expand(
        *order.shape, *value.shape[axis + 1 :]
    )
    return value.gather(axis, index)
