"""From text to tokens and back: bytes, words, byte pairs learnt from the text, or the tokenizer of a checkpoint."""

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
    """``vocabulary``: how each token is spelled, by number."""

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
    """Words and marks; the rarest go by one token, and what stands between them is lost."""

    vocabulary: tuple[str, ...]

    @classmethod
    def learnt(cls, texts: Sequence[str], size: int) -> Words:
        """The ``size - 1`` most frequent words of the texts, ties by first appearance, and one token for all others."""
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
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), of the library ``tokenizers``."""

    inner: Any

    @classmethod
    def learnt(cls, texts: Sequence[str], size: int) -> BytePairs:
        """All bytes, and merges learnt from the texts up to ``size`` tokens; fewer where the texts have no more."""
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
            found.ids for found in self.inner.encode_batch(list(texts), add_special_tokens=False)
        ]

    def decode(self, tokens):
        return self.inner.decode(list(tokens), skip_special_tokens=False)


@dataclass(frozen=True, eq=False)
class Pretrained(Tokenizer):
    """The tokenizer of a checkpoint, of the library ``transformers``."""

    inner: Any

    @classmethod
    def at(cls, place: Path | str, whose: str) -> Pretrained:
        """That of a folder or hub id; no code that lies there is run.  Raises UsageError, and Unreachable of a hub."""
        from transformers import AutoTokenizer

        quiet()

        def load():
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False)

        if isinstance(place, str):
            inner = fetched(place, whose, load, "the tokenizer")
        else:
            try:
                inner = load()
            except (
                Exception
            ) as problem:  # whatever a library finds in a folder that it did not write
                said = " ".join(str(problem).split())[:200] or type(problem).__name__
                raise UsageError(
                    f"{whose}: {place} holds no tokenizer that can be read ({said}); give a folder that save_pretrained "
                    "wrote, or one of bpe, bytes, words"
                ) from problem
        inner.model_max_length = 1 << 62  # a text is cut into blocks later
        return cls(inner)

    @cached_property
    def vocabulary(self):
        return _in_order(self.inner.get_vocab())

    def encode(self, text):
        return self.inner.encode(text, add_special_tokens=False)

    def encode_all(self, texts):
        return self.inner(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def decode(self, tokens):
        return self.inner.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )


def _in_order(numbers: dict[str, int]) -> tuple[str, ...]:
    """Tokens by number; a number that no token has is named after itself."""
    names = {number: token for token, number in numbers.items()}
    return tuple(names.get(i, f"<{i}>") for i in range(max(names) + 1))


def tokenizer_of(kind: Path | str, texts: Sequence[str], size: int, whose: str) -> Tokenizer:
    """bpe, bytes or words, as far as they learn from ``texts``, or the tokenizer at a path or hub id."""
    if kind == "bytes":
        return Bytes()
    if kind in ("bpe", "words"):
        return BytePairs.learnt(texts, size) if kind == "bpe" else Words.learnt(texts, size)
    return Pretrained.at(kind, whose)
