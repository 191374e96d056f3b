"""Languages as data generators: the same losses for texts of a grammar and for texts of people."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core.components import DataGenerator, Teacher
from ...core.content import cached_by_content, same_files, unchanged
from ...core.params import fact, param
from ...core.rng import Stream
from ...errors import UsageError
from ...extras import lacking
from ..rounding import rounding_of, settled
from ..sources import located
from . import measures as measure
from . import sentences


class CachedTexts:
    """Texts y (R, m, L) with a cache of their measures, since losses and diagnostics share some."""

    def __init__(self, y: Tensor):
        self.y = y
        self._values: dict[str, Any] = {}

    def once(self, name: str, measure: Callable[[Tensor], Any]) -> Any:
        """``measure(y)``, computed at the first call under this name."""
        if name not in self._values:
            self._values[name] = measure(self.y)
        return self._values[name]


class HeldOut:
    """Held-out texts and their properties.  It caches the texts of the last teacher.

    - x (R, m, P) and y (R, m, L): questions and true answers.  A teacher answers the first
      ``judged``.
    - rare (R, labels) or (labels,): which tokens belong to the tail; rare_share: their true share.
    - law (R, m, L): true log-probabilities of y, or None if they are unknown.
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
        self.real = CachedTexts(y[..., :judged, :])  # the teacher's texts are compared with these
        self._last: tuple[weakref.ref, CachedTexts] | None = None

    @cached_property
    def events(self) -> Tensor:
        """The predicted positions: every token, and the end if there is one, (R, m, L) bool."""
        return events_of(self.y)

    @cached_property
    def tail(self) -> Tensor:
        """Which predicted tokens are rare, (R, m, L) bool."""
        return self.is_rare(self.y)

    def is_rare(self, y: Tensor) -> Tensor:
        """Which tokens of y (R, n, L) are rare, (R, n, L) bool."""
        flat = y.flatten(-2)
        rare = self.rare.expand(*flat.shape[:-1], -1).gather(-1, flat.clamp_min(0))
        return rare.reshape(y.shape) & (y >= 0)

    def written(self, teacher: Teacher) -> CachedTexts:
        """The teacher's answers to the first ``judged`` questions.

        The random draws are the same in every generation, so that differences come from the
        teacher.
        """
        # A weak reference: the cache must not keep the previous teacher in memory.
        if self._last is None or self._last[0]() is not teacher:
            y = teacher.answer(self.x[..., : self.judged, :], self.writing.at("written"))
            self._last = weakref.ref(teacher), CachedTexts(y)
        return self._last[1]

    def forget(self) -> None:
        """Drop the cached texts."""
        self._last = None

    def __getstate__(self):
        return {**self.__dict__, "_last": None}


@dataclass(frozen=True, eq=False)
class UniformTokens(Teacher):
    """Answers (R, n, length) of independent tokens, all equally likely, whatever the question.

    Before each token the text ends with probability ``end``.
    """

    labels: int
    length: int
    end: float

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        n = x.shape[-2]
        u = rng.at("token").uniform(n, self.length)
        token = (u * self.labels).long().clamp_max(self.labels - 1)
        over = (rng.at("end").uniform(n, self.length) < self.end).cumsum(-1) > 0
        return torch.where(over, -1, token)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        end, token = (y.new_tensor(p, dtype=torch.float64).log() for p in self._chances)
        return torch.where(events_of(y), torch.where(y >= 0, token, end), 0.0)

    @property
    def _chances(self) -> tuple[float, float]:
        """(probability of the end, of each token)."""
        return self.end, (1 - self.end) / self.labels


def events_of(y: Tensor) -> Tensor:
    """Which positions of sequences y (..., L) have a probability: every token and the first -1."""
    there = y >= 0
    before = torch.ones_like(there)
    before[..., 1:] = there[..., :-1]
    return before


def tail_of(frequency: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """(which tokens are rare, their share of all tokens): bool (..., labels) and (...).

    The rare types are the rarest ones that together have at most ``share`` of the mass of
    ``frequency (..., labels)``, including types that never occur.
    """
    p = frequency / frequency.sum(-1, keepdim=True)
    order = settled(p).sort(dim=-1, stable=True).indices
    within = p.gather(-1, order).cumsum(-1) <= share * (1 + rounding_of(p))
    rare = torch.zeros_like(p, dtype=torch.bool).scatter(-1, order, within)
    return rare, (p * rare).sum(-1)


def by_token(y: Tensor, labels: int) -> dict[str, Tensor]:
    """Diversities of a running text; larger is more diverse.

    They depend on the number of tokens, so compare texts of equal size.
    """
    values = {f"distinct_{n}": measure.distinct(y, n) for n in measure.ORDERS}
    values["entropy"] = measure.entropy(measure.frequencies(y, labels))
    values["type_token_ratio"] = measure.type_token_ratio(y)
    return values


def lost(written: dict[str, Tensor], real: dict[str, Tensor]) -> dict[str, Tensor]:
    """max(0, 1 - d(written)/d(real)) of each diversity d; 0 where d(real) is 0.

    More diversity than in real text is neither rewarded nor penalised: random text shows in the
    perplexity.
    """
    return {
        f"{name}_lost": torch.where(real[name] > 0, 1 - written[name] / real[name], 0.0).clamp_min(
            0
        )
        for name in real
    }


@dataclass(frozen=True)
class Language(DataGenerator):
    """The losses of a language.  A subclass draws ``truth.held_out`` and defines ``spell``.

    Losses on held-out texts: ``nats`` per token (primary; the end of a text counts as a token);
    ``perplexity``, its exponential; ``rare_nats``, per rare token.  The rare types together have at
    most the share ``tail`` of true tokens.  If the true distribution p is known: ``excess_nats``,
    the mean of log p - log q over held-out tokens, which estimates the Kullback-Leibler divergence
    per token; ``total_variation``, the mean of (1 - q/p)+, which estimates that of the next token;
    ``tail_missing``, the same over rare tokens only.

    Losses of ``judged`` texts that the teacher generates, each compared with a real text for the
    same question.  For a diversity d the loss is max(0, 1 - d(written)/d(real)).
    ``distinct_1_lost`` to ``distinct_4_lost``, ``entropy_lost`` (of words),
    ``type_token_ratio_lost`` (on segments of 100 tokens) and ``compression_lost`` are computed
    after the longer set is cut to the size of the other, in tokens or bytes.  ``self_bleu_lost``
    uses 1 - self-BLEU-4, ``repetition_lost`` the product over n = 2, 3, 4 of 1 - rep-n,
    ``rare_lost`` the share of rare tokens.  Even the oracle teacher ``nature`` loses a little,
    since two samples differ by chance.  An ``encoder`` or a ``parser`` adds ``semantic_lost`` or
    ``syntactic_lost``.

    Diagnostics: the measures themselves, vocabulary, Zipf's exponent, mean length, the share of
    texts that end.
    """

    test: int = param(200, "held-out texts for the perplexity", ge=2, le=100_000)
    judged: int = param(
        64,
        "texts that a teacher generates for the diversity losses, for the first held-out questions",
        ge=2,
        le=10_000,
    )
    tail: float = param(0.05, "largest share of true tokens that are of rare types", gt=0, lt=1)
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
                f"{self.title()}: judged must be at most test, got judged={self.judged}, "
                f"test={self.test}"
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
        """Tokens per row: ``prompt`` and answer; without a prompt, a start token and the answer."""
        return self.block + (self.prompt == 0)

    def remarks(self):
        absent = ((name, lacking(_NEEDS[name].extra, "it")) for name in self._asked)
        return [
            f"{name} of {self.title()} is left out: {reason}" for name, reason in absent if reason
        ]

    # False where no text ends before its last position
    @fact
    def texts_end(self) -> bool:
        return True

    def trivial(self):
        """Uniform tokens.

        Where texts end, the end has probability 1/(L + 1) at each of the L positions of an answer,
        so that a text that is not cut has L tokens on average.  Else it has probability 0.
        """
        length = self.truth.held_out.y.shape[-1]
        assert self.labels is not None  # tokens are symbols
        return UniformTokens(self.labels, length, 1 / (length + 1) if self.texts_end else 0.0)

    def losses(self, teacher, rng):
        held_out = self.truth.held_out
        return self._predicted(teacher, held_out) | self._lost(held_out.written(teacher), held_out)

    def diagnostics(self, teacher):
        held_out = self.truth.held_out
        texts = held_out.written(teacher)
        y, counts = texts.y, measure.frequencies(texts.y, self.labels)
        values = by_token(y, self.labels)
        values |= {f"rep_{n}": measure.repetition(y, n) for n in (2, 3, 4)}
        values |= {
            "self_bleu": texts.once("self_bleu", measure.self_bleu),
            "vocabulary": measure.vocabulary(counts),
            "zipf_slope": measure.zipf_slope(counts),
            "length": measure.tokens_in(y) / y.shape[-2],
            "ended": (y[..., -1] < 0).double().mean(-1),
            "rare_share": _mean(held_out.is_rare(y), y >= 0),
        }
        for name, (mean, error) in self._sentences(texts).items():
            values |= {f"{name}_diversity": mean, f"{name}_error": error}
        return values

    # -- losses ------------------------------------------------------------------------------------

    def _predicted(self, teacher: Teacher, held_out: HeldOut) -> dict[str, Tensor]:
        learnt = teacher.logp(held_out.x, held_out.y).double()
        nats, rare_nats = -_mean(learnt, held_out.events), -_mean(learnt, held_out.tail)
        values = {"nats": nats, "perplexity": nats.exp(), "rare_nats": rare_nats}
        if held_out.law is not None:
            missing = -torch.expm1((learnt - held_out.law).clamp_max(0))
            values["excess_nats"] = _mean(held_out.law - learnt, held_out.events)
            values["total_variation"] = _mean(missing, held_out.events)
            values["tail_missing"] = _mean(missing, held_out.tail)
        return values

    def _lost(self, written: CachedTexts, held_out: HeldOut) -> dict[str, Tensor]:
        real = held_out.real
        size = torch.minimum(measure.tokens_in(written.y), measure.tokens_in(real.y))
        rare = _mean(held_out.is_rare(written.y), written.y >= 0)
        compression = self._compression(written, real)
        shares = (rare, held_out.rare_share.expand_as(rare))
        assert self.labels is not None  # tokens are symbols
        sides = []
        for texts, ratio, share in zip((written, real), compression, shares, strict=True):
            side = by_token(measure.trimmed(texts.y, size), self.labels) | {
                "compression": ratio,
                "rare": share,
            }
            side["self_bleu"] = 1 - texts.once("self_bleu", measure.self_bleu)
            side["repetition"] = texts.once("diversity", measure.diversity)
            sides.append(side | {name: mean for name, (mean, _) in self._sentences(texts).items()})
        return lost(*sides)

    def _compression(self, *sides: CachedTexts) -> tuple[Tensor, ...]:
        """Compression ratio (R,) of both sets, concatenated and cut to one size in bytes."""
        pairs = zip(*(side.once("books", self._books) for side in sides), strict=True)
        sizes = [(min(map(len, pair)), pair) for pair in pairs]
        ratios = [[measure.compression_ratio(book[:size]) for book in pair] for size, pair in sizes]
        y = sides[0].y
        values = torch.tensor(ratios, dtype=torch.float64, device=y.device)
        return values.reshape(*y.shape[:-2], 2).unbind(-1)

    def _books(self, y: Tensor) -> list[bytes]:
        """The texts of each chain as written, one per line."""
        return [
            ("\n".join(self.spell(texts)) + "\n").encode() for texts in y.reshape(-1, *y.shape[-2:])
        ]

    # -- sentences ---------------------------------------------------------------------------------

    @property
    def _asked(self) -> list[str]:
        return [name for name in _NEEDS if getattr(self, name) is not None]

    def _sentences(self, cached: CachedTexts) -> dict[str, tuple[Tensor, Tensor]]:
        """(diversity, standard error), (R,) each, for requested measures that are installed."""
        possible = [name for name in self._asked if lacking(_NEEDS[name].extra, name) is None]
        return {
            _NEEDS[name].kind: cached.once(name, partial(self._diversity, name))
            for name in possible
        }

    def _diversity(self, name: str, y: Tensor) -> tuple[Tensor, Tensor]:
        # the key of the cache must not hold the truth of this run
        tool, of = _tool(same_files(self), name, str(y.device))
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


@cached_by_content(maxsize=4)
def _tool(language: Language, name: str, device: str):
    """An encoder or parser, loaded once, and the measure that uses it."""
    source, whose = getattr(language, name), f"{language.title()}: {name}"
    with unchanged(language):
        if name == "encoder":
            return sentences.encoder_of(source, whose, device), sentences.semantic_diversity
        return sentences.parser_of(source, whose).pipe, sentences.syntactic_diversity


def _mean(value: Tensor, there: Tensor) -> Tensor:
    """Mean over the marked entries of all texts, (...); 0 if no entry is marked."""
    total = torch.where(there, value, torch.zeros_like(value)).double().sum((-2, -1))
    return total / there.sum((-2, -1)).clamp_min(1)
