"""Teachers that are tables over symbols: tables of probabilities, or of one answer per question.

If questions are symbols too (x of shape (R, n, 1)), the table has one row per question: contexts of
next tokens, or items to be named.  Questions and answers share one alphabet of ``corpus.labels``
symbols.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ...core.components import DataGenerator, Model, Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...errors import Lacking, Unsupported
from ..rounding import at_least, extrapolated
from .decoding import PLAIN, Decoding
from .objectives import Objective

MOST = 10**7  # entries of a table of questions by answers, per chain


def contexts_of(corpus: Corpus) -> int | None:
    """The number of possible questions, or None if there are no questions.

    Raises Incompatible unless questions are at most one symbol and the number of symbols is known.
    """
    if corpus.labels is None or corpus.width > 1:
        raise Unsupported(
            "a table needs questions of at most one symbol, and data that declare their number of "
            "symbols"
        )
    return corpus.labels if corpus.width else None


def too_large(data: DataGenerator, model: Model) -> str | None:
    """Why a table of all questions by all answers is too large, or None if it fits."""
    size = (data.contexts or 0) * (data.labels or 0)
    return (
        f"{model.title()} keeps a table; for {data.title()} it would have {size:.1e} entries, at "
        f"most {MOST:.0e} are allowed"
        if size > MOST
        else None
    )


def under(model: Model, loss: object) -> Model:
    """A counting model with ``objective`` set to ``loss``.

    A counting model takes no gradients.  Its relative frequencies are therefore mapped to the
    probabilities that minimise the loss, and the loss must be an Objective that knows this map.
    Raises Incompatible for any other loss.
    """
    if not isinstance(loss, Objective):
        raise Lacking(
            f"{model.title()} takes no gradients, and this loss does not define its minimising "
            "probabilities",
            type(model),
        )
    twin = copy.copy(model)
    object.__setattr__(twin, "objective", loss)
    return twin


@dataclass(frozen=True, eq=False)
class TableTeacher(Teacher):
    """p (R, K) float64, each row summing to one; ``decoding`` is applied when it answers."""

    p: Tensor
    decoding: Decoding = PLAIN

    @cached_property
    def read(self) -> Tensor:
        """Probabilities after decoding, (R, K)."""
        return (
            self.p
            if self.decoding.plain
            else self.decoding.apply(self.p.log(), self._context).exp()
        )

    @property
    def _context(self) -> Tensor | None:
        """The context of each row of the table for a processor; None if there is none."""
        return None

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Symbols (R, n) int64, by inversion of the distribution function."""
        u = rng.uniform(x.shape[len(rng.chain_shape)])
        reach = self.read.cumsum(-1)
        # Rounding can leave the last value just below one.  The draw is scaled to it, so that a
        # symbol of probability 0 is never drawn.
        return torch.searchsorted(reach, u * reach[..., -1:], right=True).clamp_max(
            self.p.shape[-1] - 1
        )

    def sample_sufficient(self, n: int, rng: Stream) -> Corpus:
        """Multinomial counts of n draws: K rows with a count each, at a cost independent of n."""
        K = self.p.shape[-1]
        symbols = torch.arange(K, device=self.p.device).expand(*rng.chain_shape, K)
        return Corpus.of(
            None, symbols, rng.chain_shape, count=rng.multinomial(n, self.read), labels=K
        )

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self.read.log().gather(-1, y)[..., None]

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        return replace(
            self,
            decoding=self.decoding.then(
                temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, processor=processor
            ),
        )

    def blend(self, other: TableTeacher, w: float) -> TableTeacher:
        """(1 - w) of these probabilities and w of the other ones.

        For w outside [0, 1] negative values become 0 and the rest is rescaled to sum to one.  So
        do values that are 0 up to rounding.
        """
        p = extrapolated(self.p, other.p, w)
        if not 0 <= w <= 1:
            p = p / p.sum(-1, keepdim=True)
        return replace(self, p=p)

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return torch.where(mask, self.answer(x, rng), y)


@dataclass(frozen=True, eq=False)
class ContextTeacher(TableTeacher):
    """p (R, C, K) float64: a distribution of y (R, n) per question x (R, n, 1) int64 below C."""

    @property
    def _context(self) -> Tensor:
        C = self.p.shape[-2]
        return torch.arange(C, device=self.p.device).expand(*self.p.shape[:-2], C)[..., None]

    @cached_property
    def _reach(self) -> Tensor:
        """Stacked distribution functions, (R, C K): that of context c rises from c to c + 1.

        One search over this vector draws for all contexts at once.
        """
        reach = self.read.cumsum(-1)
        return (
            reach / reach[..., -1:] + torch.arange(reach.shape[-2], device=reach.device)[:, None]
        ).flatten(-2)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        context, K = x[..., 0].double(), self.p.shape[-1]
        u = rng.uniform(x.shape[len(rng.chain_shape)])
        # context + u can round up to context + 1, which would draw from the next context.
        height = torch.minimum(context + u, torch.nextafter(context + 1, context))
        return torch.searchsorted(self._reach, height, right=True) - x[..., 0] * K

    # a table per question: n says how often each is asked
    def sample_sufficient(self, n: Tensor, rng: Stream) -> Corpus:  # type: ignore[override]
        """Multinomial counts of the answers to n (R, C) questions: C K rows with a count each."""
        C, K = self.p.shape[-2:]
        pair = torch.arange(C * K, device=self.p.device).expand(*rng.chain_shape, C * K)
        count = rng.multinomials(n, self.read).flatten(-2)
        return Corpus.of((pair // K)[..., None], pair % K, rng.chain_shape, count=count, labels=K)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self.read.log().flatten(-2).gather(-1, x[..., 0] * self.p.shape[-1] + y)[..., None]


@dataclass(frozen=True, eq=False)
class RecallTeacher(Teacher):
    """answers (R, C) int64: one deterministic answer to each question x (R, n, 1).

    Decoding has no effect.
    """

    answers: Tensor

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.answers.gather(-1, x[..., 0])

    def sample_sufficient(self, n: Tensor, rng: Stream) -> Corpus:
        """The answers to n (R, C) questions: C rows with a count each."""
        C = self.answers.shape[-1]
        questions = torch.arange(n.shape[-1], device=n.device).expand(n.shape)[..., None]
        return Corpus.of(questions, self.answers, rng.chain_shape, count=n, labels=C)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        right = self.answers.gather(-1, x[..., 0]) == y
        return torch.where(right, 0.0, -torch.inf).double()[..., None]

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        return self

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return torch.where(mask, self.answer(x, rng), y)


def uniform(p: Tensor) -> Tensor:
    """The uniform distribution over the K symbols of ``p (..., K)``, in its shape."""
    return p.new_full((), 1 / p.shape[-1]).expand(p.shape)


def recalled(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(answers, mass), (R, C): the most frequent answer to each question, and its total weight.

    Ties up to rounding go to the smaller symbol.  A question that never occurs has mass 0.  Raises
    Incompatible if the rows have no questions.
    """
    C = contexts_of(corpus)
    if C is None:
        raise Unsupported("recall needs rows with questions, and these have none")
    x, y, w = corpus.x[..., 0], corpus.y, corpus.multiplicity
    pair, order = (x * C + y).sort(-1)
    first = torch.ones_like(pair, dtype=torch.bool)
    first[..., 1:] = pair[..., 1:] != pair[..., :-1]
    run = first.cumsum(-1) - 1  # index of the distinct (question, answer) pair of each row
    total = torch.zeros_like(w).scatter_add(-1, run, w.gather(-1, order)).gather(-1, run)
    question = pair // C
    empty = w.new_zeros(*corpus.chain_shape, C)
    most = empty.scatter_reduce(-1, question, total, "amax")
    candidate = torch.where(at_least(total, most.gather(-1, question)), pair % C, C)
    answers = torch.full_like(empty, C, dtype=torch.int64).scatter_reduce(
        -1, question, candidate, "amin"
    )
    return answers.clamp_max(C - 1), empty.scatter_add(-1, x, w)


# -- losses and diagnostics of a learnt distribution against the true one, p (..., K) --------------


def lost(p: Tensor, learnt: Tensor, among_used: bool = False) -> dict[str, Tensor]:
    """Losses (...): total variation, true mass of the lost symbols, share of the K symbols lost.

    among_used: of the symbols that have a probability, where the alphabet has room for more.
    """
    never = learnt == 0
    share = never.double().mean(-1)
    if among_used:
        used = p > 0
        share = (never & used).double().sum(-1) / used.double().sum(-1)
    return {
        "total_variation": 0.5 * (p - learnt).abs().sum(-1),
        "missing_mass": (p * never).sum(-1),
        "support_lost": share,
    }


def left(p: Tensor, learnt: Tensor) -> dict[str, Tensor]:
    """Diagnostics (...): support, entropy in nats, heterozygosity 1 - sum p^2, squared drift."""
    return {
        "support": (learnt > 0).double().sum(-1),
        "entropy": torch.special.entr(learnt).sum(-1),
        "heterozygosity": 1 - learnt.pow(2).sum(-1),
        "l2_drift": (learnt - p).pow(2).sum(-1),
    }
