"""Languages as data generators: one judge for texts of a grammar and for texts of people."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core.components import DataGenerator, Teacher
from ...core.params import fact, param
from ...core.rng import Stream
from ...errors import UsageError
from ...extras import lacking
from ..sources import located
from . import measures as measure
from . import sentences


class CachedTexts:
    """Texts y (R, m, L) that are measured more than once: what was found is kept."""

    def __init__(self, y: Tensor):
        self.y = y
        self._found: dict[str, Any] = {}

    def once(self, name: str, measured: Callable[[Tensor], Any]) -> Any:
        if name not in self._found:
            self._found[name] = measured(self.y)
        return self._found[name]


class HeldOut:
    """Held-out texts, and what is known of them; it remembers what the last teacher wrote to be judged.

    x (R, m, P) and y (R, m, L): questions and true answers, of which the first ``judged`` are those that a teacher
    answers to be judged.  rare (R, labels) or (labels,): the tokens of the tail; rare_share: their share of true tokens.
    law (R, m, L): true log-probabilities of y, None where nobody knows them.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        judged: int,
        frequency: Tensor,
        tail: float,
        writing: Stream,
        law=None,
    ):
        self.x, self.y, self.judged, self.law, self.writing = x, y, judged, law, writing
        self.rare, self.rare_share = tail_of(frequency, tail)
        self.real = CachedTexts(y[..., :judged, :])  # what the teacher's texts are laid beside
        self._last: tuple[weakref.ref, CachedTexts] | None = None

    @cached_property
    def events(self) -> Tensor:
        """What is predicted: every token, and the end where there is one, (R, m, L) bool."""
        return events_of(self.y)

    @cached_property
    def tail(self) -> Tensor:
        """Which of the tokens to be predicted are rare, (R, m, L) bool."""
        return self.is_rare(self.y)

    def is_rare(self, y: Tensor) -> Tensor:
        """Which tokens of y (R, n, L) are rare, bool."""
        flat = y.flatten(-2)
        found = self.rare.expand(*flat.shape[:-1], -1).gather(-1, flat.clamp_min(0))
        return found.reshape(y.shape) & (y >= 0)

    def written(self, teacher: Teacher) -> CachedTexts:
        """The teacher's answers to the first ``judged`` questions: by the same draws in every generation."""
        if self._last is None or self._last[0]() is not teacher:
            y = teacher.answer(self.x[..., : self.judged, :], self.writing.at("written"))
            self._last = weakref.ref(teacher), CachedTexts(y)
        return self._last[1]

    def forget(self) -> None:
        """Let go of what was written last."""
        self._last = None

    def __getstate__(self):
        return {**self.__dict__, "_last": None}


def events_of(y: Tensor) -> Tensor:
    """What has a probability in sequences y (..., L): every token, and the first -1; bool (..., L)."""
    there = y >= 0
    before = torch.ones_like(there)
    before[..., 1:] = there[..., :-1]
    return before


def tail_of(frequency: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """(which tokens are rare, their share of all tokens): the rarest types that hold at most ``share`` of the mass
    together, those that never occur among them.  frequency (..., labels); bool (..., labels), (...)."""
    p = frequency / frequency.sum(-1, keepdim=True)
    ranked, order = p.sort(dim=-1, stable=True)
    rare = torch.zeros_like(p, dtype=torch.bool).scatter(-1, order, ranked.cumsum(-1) <= share)
    return rare, (p * rare).sum(-1)


def by_token(y: Tensor, labels: int) -> dict[str, Tensor]:
    """Diversities of a running text, larger is more diverse, of a number of tokens that is the same for all."""
    found = {f"distinct_{n}": measure.distinct(y, n) for n in measure.ORDERS}
    found["entropy"] = measure.entropy(measure.frequencies(y, labels))
    found["type_token_ratio"] = measure.type_token_ratio(y)
    return found


def lost(written: dict[str, Tensor], real: dict[str, Tensor]) -> dict[str, Tensor]:
    """max(0, 1 - d(written)/d(real)) of each diversity; 0 where the real text has none to lose.

    More diverse than the truth is no merit and no fault here: what is written at random shows in the perplexity.
    """
    return {
        f"{name}_lost": torch.where(real[name] > 0, 1 - written[name] / real[name], 0.0).clamp_min(
            0
        )
        for name in real
    }


@dataclass(frozen=True)
class Language(DataGenerator):
    """What a language is judged by; a subclass draws ``truth.exam`` and spells.

    Losses on held-out texts: ``nats`` per token (primary; the end of a text counts as one) and ``perplexity``, its
    exponential; ``rare_nats`` per rare token, those types being rare that hold together at most the share ``tail`` of
    true tokens.  Where the true law is known: ``excess_nats``, the mean of log p - log q over held-out tokens, which is
    the Kullback-Leibler divergence per token; ``total_variation``, the mean of (1 - q/p)+, which is that between true and
    learnt law of the next token; ``tail_missing``, the same over rare tokens alone.

    Losses of ``judged`` texts that the teacher writes, each beside a real text to the same question: d being a
    diversity, what is lost of it is max(0, 1 - d(written)/d(real)).  ``distinct_1_lost`` to ``distinct_4_lost``,
    ``entropy_lost`` (of words), ``type_token_ratio_lost`` (on stretches of 100 tokens), ``compression_lost``, each after
    the longer of both sets was cut to the size of the other, in tokens or bytes; ``self_bleu_lost`` (of 1 - self-BLEU-4),
    ``repetition_lost`` (of the product over n = 2, 3, 4 of 1 - rep-n); ``rare_lost`` (of the share of rare tokens).
    Even nature loses a little, since two samples differ by chance.  With an ``encoder`` or a ``parser`` also
    ``semantic_lost`` and ``syntactic_lost``.  Described: the measures themselves, vocabulary, Zipf's exponent, mean
    length, the share of texts that end.
    """

    test: int = param(200, "held-out texts that perplexity is measured on", ge=2, le=100_000)
    judged: int = param(
        64,
        "texts that a teacher writes to be judged, answering the first of those",
        ge=2,
        le=10_000,
    )
    tail: float = param(0.05, "share of true tokens that the rare types hold", gt=0, lt=1)
    encoder: Path | str | None = param(
        None, "sentence encoder for semantic diversity: a path or a hub id"
    )
    parser: Path | str | None = param(
        None, "spaCy pipeline for syntactic diversity: a path or its name"
    )

    kind = "sequence"
    family = "text"
    primary = "nats"
    tail_metric = "rare_nats"
    diversity_metric = "distinct_2_lost"
    log_loss = True
    continues_prompt = True

    @fact
    def block(self) -> int:
        return 2

    @fact
    def prompt(self) -> int:
        return 0

    def __post_init__(self):
        super().__post_init__()
        if self.judged > self.test:
            raise UsageError(
                f"{self.title()}: judged must be at most test, got judged={self.judged}, test={self.test}"
            )
        for name in ("encoder", "parser"):
            value = located(
                getattr(self, name),
                f"{self.title()}: {name}",
                f"a folder with {_NEEDS[name].content}",
            )
            object.__setattr__(self, name, value)

    @property
    def span(self) -> int:
        """Tokens of a row, ``prompt`` and answer, or of an answer and what stands before it."""
        return self.block + (self.prompt == 0)

    def remarks(self):
        absent = ((name, lacking(_NEEDS[name].extra, "it")) for name in self._asked)
        return [
            f"{name} of {self.title()} is left out: {reason}" for name, reason in absent if reason
        ]

    def losses(self, teacher, rng):
        exam = self.truth.exam
        return self._predicted(teacher, exam) | self._lost(exam.written(teacher), exam)

    def diagnostics(self, teacher):
        exam = self.truth.exam
        paper = exam.written(teacher)
        y, counts = paper.y, measure.frequencies(paper.y, self.labels)
        found = by_token(y, self.labels) | {f"rep_{n}": measure.repetition(y, n) for n in (2, 3, 4)}
        found |= {
            "self_bleu": paper.once("self_bleu", measure.self_bleu),
            "vocabulary": measure.vocabulary(counts),
        }
        found |= {
            "zipf_slope": measure.zipf_slope(counts),
            "length": measure.tokens_in(y) / y.shape[-2],
        }
        found |= {
            "ended": (y[..., -1] < 0).double().mean(-1),
            "rare_share": _mean(exam.is_rare(y), y >= 0),
        }
        for name, (mean, error) in self._sentences(paper).items():
            found |= {f"{name}_diversity": mean, f"{name}_error": error}
        return found

    # -- losses -------------------------------------------------------------------------------------------------

    def _predicted(self, teacher: Teacher, exam: HeldOut) -> dict[str, Tensor]:
        learnt = teacher.logp(exam.x, exam.y).double()
        nats = -_mean(learnt, exam.events)
        found = {"nats": nats, "perplexity": nats.exp(), "rare_nats": -_mean(learnt, exam.tail)}
        if exam.law is not None:
            missing = -torch.expm1((learnt - exam.law).clamp_max(0))
            found["excess_nats"] = _mean(exam.law - learnt, exam.events)
            found["total_variation"] = _mean(missing, exam.events)
            found["tail_missing"] = _mean(missing, exam.tail)
        return found

    def _lost(self, written: CachedTexts, exam: HeldOut) -> dict[str, Tensor]:
        size = torch.minimum(measure.tokens_in(written.y), measure.tokens_in(exam.real.y))
        rare = _mean(exam.is_rare(written.y), written.y >= 0)
        compression = self._compression(written, exam.real)
        shares = (rare, exam.rare_share.expand_as(rare))
        assert self.labels is not None  # tokens are symbols
        sides = []
        for paper, ratio, share in zip((written, exam.real), compression, shares, strict=True):
            side = by_token(measure.trimmed(paper.y, size), self.labels) | {
                "compression": ratio,
                "rare": share,
            }
            side["self_bleu"] = 1 - paper.once("self_bleu", measure.self_bleu)
            side["repetition"] = paper.once("diversity", measure.diversity)
            sides.append(side | {name: mean for name, (mean, _) in self._sentences(paper).items()})
        return lost(*sides)

    def _compression(self, *sides: CachedTexts) -> tuple[Tensor, ...]:
        """Compression ratio of both sets of texts, one text after another, cut to the bytes of the smaller; (R,) each."""
        pairs = zip(*(side.once("books", self._books) for side in sides), strict=True)
        sizes = [(min(map(len, pair)), pair) for pair in pairs]
        ratios = [[measure.compression_ratio(book[:size]) for book in pair] for size, pair in sizes]
        y = sides[0].y
        found = torch.tensor(ratios, dtype=torch.float64, device=y.device).reshape(*y.shape[:-2], 2)
        return found.unbind(-1)

    def _books(self, y: Tensor) -> list[bytes]:
        """The texts of each replicate as they are spelled, one to a line."""
        return [
            ("\n".join(self.spell(texts)) + "\n").encode() for texts in y.reshape(-1, *y.shape[-2:])
        ]

    # -- sentences ----------------------------------------------------------------------------------------------

    @property
    def _asked(self) -> list[str]:
        return [name for name in _NEEDS if getattr(self, name) is not None]

    def _sentences(self, paper: CachedTexts) -> dict[str, tuple[Tensor, Tensor]]:
        """(diversity, standard error), (R,) each, as far as asked for and possible here."""
        possible = [name for name in self._asked if lacking(_NEEDS[name].extra, name) is None]
        return {
            _NEEDS[name].kind: paper.once(name, partial(self._diversity, name)) for name in possible
        }

    def _diversity(self, name: str, y: Tensor) -> tuple[Tensor, Tensor]:
        tool, of = _tool(name, getattr(self, name), f"{self.title()}: {name}", str(y.device))
        pairs = [of(self.spell(texts), tool) for texts in y.reshape(-1, *y.shape[-2:])]
        both = torch.tensor(pairs, dtype=torch.float64, device=y.device).reshape(*y.shape[:-2], 2)
        return both[..., 0], both[..., 1]


class _Need(NamedTuple):
    extra: str  # see extras.EXTRAS
    kind: str  # of diversity that is measured
    content: str  # of the folder that the parameter names


_NEEDS = {
    "encoder": _Need("semantic", "semantic", "a sentence encoder"),
    "parser": _Need("syntax", "syntactic", "a spaCy pipeline"),
}


@lru_cache(maxsize=2)
def _tool(name: str, source: Path | str, whose: str, device: str):
    """An encoder or parser, loaded once, and the measure that reads it."""
    if name == "encoder":
        return sentences.encoder_of(source, whose, device), sentences.semantic_diversity
    return sentences.parser_of(source, whose).pipe, sentences.syntactic_diversity


def _mean(value: Tensor, there: Tensor) -> Tensor:
    """Mean over the marked entries of all texts, (...); 0 where none is."""
    total = torch.where(there, value, torch.zeros_like(value)).double().sum((-2, -1))
    return total / there.sum((-2, -1)).clamp_min(1)
