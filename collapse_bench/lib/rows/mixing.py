"""Real and synthetic rows in one training set: helpers for methods that reweight or exchange them.

Shapes: ``R`` chains as leading dimension, ``n`` rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...errors import Lacks

if TYPE_CHECKING:
    from ...core.cell import Cell


def rows_in(corpus: Corpus) -> int:
    """The number of rows of a training set; a row with a count stands for that many rows."""
    return int(corpus.count.sum(-1).amax())


def unmixed(cell: Cell, who: str) -> str | None:
    """Why there are no real rows that method ``who`` could weigh, or None if there are."""
    protocol = cell.protocol
    if not protocol.reads_real and len(cell.mitigations) == 1:
        return Lacks(
            f"{who} weighs real rows against synthetic ones, and {protocol.title()} provides only "
            "synthetic ones; choose mix or accumulate, or add real rows first, as in "
            f"real-anchor + {who}"
        )
    return None


def weighed(corpus: Corpus, real: Tensor, w: Tensor | float) -> Corpus:
    """The corpus with a share w of its weight on the rows where ``real (R, n)``, 1 - w elsewhere.

    w is a number or (R, 1).  The weights are rescaled to the effective sample size.  Chains whose
    rows are all real or all synthetic stay unchanged.
    """
    real = real.double()
    mass = corpus.multiplicity
    share = (mass * real).sum(-1, keepdim=True) / mass.sum(-1, keepdim=True)
    factor = torch.where(real > 0, w / share, (1 - w) / (1 - share))
    both = (share > 0) & (share < 1)
    return corpus.reweighted(torch.where(both, factor, 1.0))


def exchanged(corpus: Corpus, new: Corpus, rng: Stream) -> Corpus:
    """The training set with rows replaced by ``new``: as many randomly chosen rows are dropped."""
    return corpus.sample(rows_in(corpus) - rows_in(new), rng) + new


def surprisal(teacher: Teacher, corpus: Corpus) -> Tensor:
    """-log p of each row's answer given its question in nats, (R, n).

    For sequences it is the mean per token; the end of a sequence counts as a token.
    """
    logp = teacher.logp(corpus.x, corpus.y)
    if logp.shape[-1] == 1:
        return -logp[..., 0]
    tokens = (corpus.y >= 0).sum(-1)
    return -logp.sum(-1) / (tokens + (tokens < corpus.y.shape[-1]))


def placed(value: Tensor, order: Tensor) -> Tensor:
    """The rows of ``value (R, n, ...)`` at the positions ``order (R, m)``: (R, m, ...)."""
    axis = order.ndim - 1
    index = order.reshape(order.shape + (1,) * (value.ndim - order.ndim)).expand(
        *order.shape, *value.shape[axis + 1 :]
    )
    return value.gather(axis, index)
