"""Teachers that are tables over symbols: of probabilities, or of the one answer to each question.

Where a question is a symbol too (x of shape (R, n, 1)), the table has a row for each: contexts of next tokens, items to
be named.  Questions and answers come from one alphabet, of ``corpus.labels`` symbols.
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
from ...errors import Incompatible
from .decoding import PLAIN, Decoding
from .objectives import Objective

MOST = 10**7  # entries of a table of questions by answers, per chain


def contexts_of(corpus: Corpus) -> int | None:
    """How many symbols a question can be, None where there is nothing to ask."""
    if corpus.labels is None or corpus.width > 1:
        raise Incompatible(
            "a table wants questions of one symbol or of none, and data that state how many symbols there are"
        )
    return corpus.labels if corpus.width else None


def too_large(data: DataGenerator, model: Model) -> str | None:
    """The sentence that refuses a table of all questions by all answers where it would not fit a memory."""
    size = (data.contexts or 0) * (data.labels or 0)
    return (
        f"{model.title()} keeps a table, and that of {data.title()} has {size:.1e} entries"
        if size > MOST
        else None
    )


def under(model: Model, loss: object) -> Model:
    """A model that counts, with ``objective`` set: its relative frequencies become what training under the loss makes of
    them.  It takes no gradients, so that a loss must know its own law."""
    if not isinstance(loss, Objective):
        raise Incompatible(
            f"{model.title()} takes no gradients, and of this loss nobody has said to what law of labels it leads"
        )
    twin = copy.copy(model)
    object.__setattr__(twin, "objective", loss)
    return twin


@dataclass(frozen=True, eq=False)
class TableTeacher(Teacher):
    """p (R, K) float64, rows sum to one; ``decoding`` is how it is read out."""

    p: Tensor
    decoding: Decoding = PLAIN

    @cached_property
    def read(self) -> Tensor:
        """Probabilities as they are read out, (R, K)."""
        return (
            self.p
            if self.decoding.plain
            else self.decoding.apply(self.p.log(), self._context).exp()
        )

    @property
    def _context(self) -> Tensor | None:
        """What a processor sees to stand before each row of the table; None: nothing does."""
        return None

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Symbols (R, n) int64, by inversion of the distribution function."""
        u = rng.uniform(x.shape[len(rng.chain_shape)])
        reach = self.read.cumsum(-1)
        # rounding may leave the last value just below one: the draw is scaled to it, so no lost symbol is drawn
        return torch.searchsorted(reach, u * reach[..., -1:], right=True).clamp_max(
            self.p.shape[-1] - 1
        )

    def sample_sufficient(self, n: int, rng: Stream) -> Corpus:
        """Counts of n draws by their multinomial law: K rows with a count each, at a cost free of n."""
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
        """Probabilities averaged; outside of [0, 1], what falls below 0 is 0 and the rest is scaled to 1."""
        p = torch.lerp(self.p, other.p, w)
        if not 0 <= w <= 1:
            p = p.clamp_min(0)
            p = p / p.sum(-1, keepdim=True)
        return replace(self, p=p)

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return torch.where(mask, self.answer(x, rng), y)


@dataclass(frozen=True, eq=False)
class ContextTeacher(TableTeacher):
    """p (R, C, K) float64: a law of the answer y (R, n) for each question x (R, n, 1) int64 below C."""

    @property
    def _context(self) -> Tensor:
        C = self.p.shape[-2]
        return torch.arange(C, device=self.p.device).expand(*self.p.shape[:-2], C)[..., None]

    @cached_property
    def _reach(self) -> Tensor:
        """Distribution functions one above the other, (R, C K): that of context c climbs from c to c + 1."""
        reach = self.read.cumsum(-1)
        return (
            reach / reach[..., -1:] + torch.arange(reach.shape[-2], device=reach.device)[:, None]
        ).flatten(-2)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        context, K = x[..., 0].double(), self.p.shape[-1]
        u = rng.uniform(x.shape[len(rng.chain_shape)])
        # the sum may round to the foot of the next row
        height = torch.minimum(context + u, torch.nextafter(context + 1, context))
        return torch.searchsorted(self._reach, height, right=True) - x[..., 0] * K

    # a table per question: n says how often each is asked
    def sample_sufficient(self, n: Tensor, rng: Stream) -> Corpus:  # type: ignore[override]
        """Counts of the answers to n (R, C) questions by their multinomial laws: C K rows with a count each."""
        C, K = self.p.shape[-2:]
        pair = torch.arange(C * K, device=self.p.device).expand(*rng.chain_shape, C * K)
        count = rng.multinomials(n, self.read).flatten(-2)
        return Corpus.of((pair // K)[..., None], pair % K, rng.chain_shape, count=count, labels=K)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self.read.log().flatten(-2).gather(-1, x[..., 0] * self.p.shape[-1] + y)[..., None]


@dataclass(frozen=True, eq=False)
class RecallTeacher(Teacher):
    """said (R, C) int64: one answer to each question x (R, n, 1), without doubt, however it is decoded."""

    said: Tensor

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.said.gather(-1, x[..., 0])

    def sample_sufficient(self, n: Tensor, rng: Stream) -> Corpus:
        """What is said to n (R, C) questions: C rows with a count each."""
        questions = torch.arange(n.shape[-1], device=n.device).expand(n.shape)[..., None]
        return Corpus.of(questions, self.said, rng.chain_shape, count=n, labels=self.said.shape[-1])

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(self.said.gather(-1, x[..., 0]) == y, 0.0, -torch.inf).double()[
            ..., None
        ]

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        return self

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return torch.where(mask, self.answer(x, rng), y)


def recalled(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(said, mass), (R, C) each: the answer most often read to each question, ties to the smaller, and the weight of all
    that was read of it.  A question that was never read has mass 0."""
    C = contexts_of(corpus)
    if C is None:
        raise Incompatible("there is nothing to recall where there is nothing to ask")
    x, y, w = corpus.x[..., 0], corpus.y, corpus.multiplicity
    pair, order = (x * C + y).sort(-1)
    first = torch.ones_like(pair, dtype=torch.bool)
    first[..., 1:] = pair[..., 1:] != pair[..., :-1]
    run = first.cumsum(-1) - 1  # which distinct pair each row is
    total = torch.zeros_like(w).scatter_add(-1, run, w.gather(-1, order)).gather(-1, run)
    question = pair // C
    empty = w.new_zeros(*corpus.chain_shape, C)
    most = empty.scatter_reduce(-1, question, total, "amax")
    candidate = torch.where(total == most.gather(-1, question), pair % C, C)
    said = torch.full_like(empty, C, dtype=torch.int64).scatter_reduce(
        -1, question, candidate, "amin"
    )
    return said.clamp_max(C - 1), empty.scatter_add(-1, x, w)


# -- what is judged and described of a law p (..., K) and the one learnt from it ------------------------------------


def lost(p: Tensor, learnt: Tensor) -> dict[str, Tensor]:
    """Losses (...): total variation, true probability of symbols never said, share of the K symbols never said."""
    never = learnt == 0
    return {
        "total_variation": 0.5 * (p - learnt).abs().sum(-1),
        "missing_mass": (p * never).sum(-1),
        "support_lost": never.double().mean(-1),
    }


def left(p: Tensor, learnt: Tensor) -> dict[str, Tensor]:
    """Quantities (...): surviving support, entropy in nats, heterozygosity 1 - sum p^2, squared drift."""
    return {
        "support": (learnt > 0).double().sum(-1),
        "entropy": torch.special.entr(learnt).sum(-1),
        "heterozygosity": 1 - learnt.pow(2).sum(-1),
        "l2_drift": (learnt - p).pow(2).sum(-1),
    }
