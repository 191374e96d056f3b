"""Tokenizers: bytes, words, byte pairs trained on the text, or the tokenizer of a checkpoint."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from collapse_bench.errors import UsageError
from collapse_bench.lib.sources import fetched, quiet

BYTES = 256
UNKNOWN = "<unk>"
_WORD = re.compile(r"\w+|[^\w\s]")


class Tokenizer:
    """``vocabulary`` is the spelling of each token, by index."""

    vocabulary: tuple[str, ...]

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        raise NotImplementedError


class Bytes(Tokenizer):
    """UTF-8, one token per byte."""

    vocabulary = tuple(f"<0x{byte:02X}>" for byte in range(BYTES))

    def encode(self, text):
        return list(text.encode())

    def decode(self, tokens):
        return bytes(tokens).decode(errors="replace")


@dataclass(frozen=True, eq=False)
class Words(Tokenizer):
    """Words and punctuation marks.  All rare words share one token, and whitespace is lost."""

    vocabulary: tuple[str, ...]

    @classmethod
    def learnt(cls, texts: Sequence[str], size: int) -> Words:
        """The ``size - 1`` most frequent words, ties by first appearance, and one for others."""
        counts = Counter(word for text in texts for word in _WORD.findall(text))
        return cls(
            (UNKNOWN, *(word for word, _ in counts.most_common(size - 1) if word != UNKNOWN))
        )

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.vocabulary)}

    def encode(self, text):
        return [self._number.get(word, 0) for word in _WORD.findall(text)]

    def decode(self, tokens):
        return " ".join(self.vocabulary[token] for token in tokens)


@dataclass(frozen=True, eq=False)
class BytePairs(Tokenizer):
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019)."""

    inner: Any

    @classmethod
    def learnt(cls, texts: Sequence[str], size: int) -> BytePairs:
        """All bytes, and merges learnt from the texts, at most ``size`` tokens."""
        from tokenizers import Tokenizer as Inner
        from tokenizers import decoders, models, pre_tokenizers, trainers

        inner = Inner(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        inner.train_from_iterator(
            texts,
            trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet),
        )
        return cls(inner)

    @cached_property
    def vocabulary(self):
        return _in_order(self.inner.get_vocab())

    def encode(self, text):
        return self.inner.encode(text, add_special_tokens=False).ids

    def encode_all(self, texts):
        return [
            coded.ids for coded in self.inner.encode_batch(list(texts), add_special_tokens=False)
        ]

    def decode(self, tokens):
        return self.inner.decode(list(tokens), skip_special_tokens=False)


@dataclass(frozen=True, eq=False)
class Pretrained(Tokenizer):
    """The tokenizer of a checkpoint, loaded by ``transformers``.

    The content of a text is read as text: "<|endoftext|>" is encoded as these characters, and not
    as the token that ends a text.
    """

    inner: Any
    whose: str  # for messages

    @classmethod
    def at(cls, place: Path | str, whose: str) -> Pretrained:
        """The tokenizer of a folder or hub id; its code is never run.

        Raises UsageError for an unreadable folder and Unreachable for a hub that cannot be reached.
        """
        from transformers import AutoTokenizer

        quiet()

        def load():
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False)

        if isinstance(place, str):
            inner = fetched(place, whose, load, "the tokenizer")
        else:
            # the library raises many types for a folder it did not write
            try:
                inner = load()
            except Exception as problem:
                reason = " ".join(str(problem).split())[:200] or type(problem).__name__
                raise UsageError(
                    f"{whose}: {place} does not contain a readable tokenizer ({reason}); give a "
                    "folder written by save_pretrained, or one of bpe, bytes, words"
                ) from problem
        inner.model_max_length = 1 << 62  # avoids a warning: the text is cut into blocks later
        return cls(inner, f"{whose}: {place}")

    @cached_property
    def vocabulary(self):
        return _in_order(self.inner.get_vocab())

    def encode(self, text):
        return self.encode_all([text])[0]

    def encode_all(self, texts):
        """Raises UsageError for a tokenizer that makes special tokens of text all the same."""
        if not texts:
            return []
        coded = self.inner(list(texts), add_special_tokens=False, split_special_tokens=True)
        rows = coded["input_ids"]
        special = set(self.inner.all_special_ids)
        if self.inner.unk_token_id != self.inner.eos_token_id:
            special.discard(self.inner.unk_token_id)  # stands for rare characters
        for row in rows:
            if not special.isdisjoint(row):
                token = next(self.vocabulary[i] for i in row if i in special)
                raise UsageError(
                    f"{self.whose} encodes {token!r}, which is written in the text, as a special "
                    "token; remove it from the text, or choose another tokenizer"
                )
        return rows

    def decode(self, tokens):
        return self.inner.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )


def _in_order(numbers: dict[str, int]) -> tuple[str, ...]:
    """Tokens by index; an index without a token is named after itself."""
    names = {number: token for token, number in numbers.items()}
    return tuple(names.get(i, f"<{i}>") for i in range(max(names) + 1))


def tokenizer_of(kind: Path | str, texts: Sequence[str], size: int, whose: str) -> Tokenizer:
    """The tokenizer: bpe or words trained on ``texts``, bytes, or that of a checkpoint."""
    if kind == "bytes":
        return Bytes()
    if kind in ("bpe", "words"):
        return BytePairs.learnt(texts, size) if kind == "bpe" else Words.learnt(texts, size)
    return Pretrained.at(kind, whose)
