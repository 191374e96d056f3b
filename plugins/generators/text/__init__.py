"""Real text from a file, a saved data set or a hub: real prompts and their real continuations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from collapse_bench.core.content import cached_by_content, unchanged
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, Unreachable, UsageError
from collapse_bench.lib.rows.pools import deal
from collapse_bench.lib.sources import located, tokenizer_files
from collapse_bench.lib.text.language import HeldOut, Language, events_of
from collapse_bench.lib.text.measures import frequencies
from collapse_bench.paths import exists, expanded
from collapse_bench.registry.hookspecs import hookimpl

from ._texts import Place, saved_files
from ._tokens import BYTES, tokenizer_of

TOKENIZERS = ("bpe", "bytes", "words")


@dataclass(frozen=True)
class Text(Language):
    """Blocks of real text, e.g. ``text(source="data/tinyshakespeare/input.txt")``.

    The source is a file (.txt, .jsonl or .parquet), a folder written by ``save_to_disk``, or a hub
    id with ``config``, ``split`` and ``revision``.  With ``unit=window`` its texts are joined by
    line breaks and cut into consecutive blocks of ``block`` tokens; the remainder is dropped, and
    no block has an end.  With ``unit=row`` each text (in a .txt each line) is one block: longer
    texts are cut, shorter ones have an end, and texts of at most ``prompt`` tokens are dropped.

    The last share ``held_out`` of the text, in characters or rows, is used only for the losses,
    unless ``exam`` names another file or split for them.  The tokenizer is trained on the rest:
    ``bpe`` (byte pairs) and ``words`` up to ``vocab`` tokens.  ``bytes`` and the tokenizer of a
    checkpoint, by path or hub id, need no training.  A model that starts from a checkpoint needs
    the tokenizer of it.

    x (R, n, prompt) are real prefixes, drawn without repetition until all were used.  y (R, n,
    block - prompt) are their real continuations; if a prefix occurs in several blocks, one is
    chosen at random.  The ledger counts different blocks as unique real rows, and the tokens of
    prompts as real, whichever teacher answers.  All seeds share one text.

    Losses: see Language; the true distribution is unknown.  ``logp`` of the oracle teacher is the
    empirical distribution of all blocks, including held-out ones: a floor that no language model
    reaches, not the entropy of the language.
    """

    source: Path | str | None = param(None, "file, folder or hub id; must be given")
    config: str | None = param(None, "configuration of a hub's data set")
    split: str | None = param(None, "split of a data set; none: train")
    revision: str | None = param(None, "branch, tag or commit of a hub id")
    field: str = param("text", "column or key that contains the text")
    exam: Path | str | None = param(
        None, "held-out file for the losses, or split if the source is a data set"
    )
    held_out: float = param(
        0.1, "share of the text, at its end, held out for the losses", gt=0, lt=1
    )
    unit: Literal["window", "row"] = param(
        "window", "blocks cut from the joined text, or one per row"
    )
    tokenizer: Path | str = param("bpe", "bpe, bytes, words, or the path or hub id of a tokenizer")
    vocab: int = param(1024, "largest size of a bpe or words vocabulary", ge=2, le=1_000_000)
    block: int = param(64, "tokens of a block, including the prompt", ge=2, le=1_000_000)
    prompt: int = param(32, "tokens given as the question", ge=0)

    version = 2

    def __post_init__(self):
        super().__post_init__()
        if self.source is None:
            raise UsageError(
                'text needs its source: text(source="data/tinyshakespeare/input.txt"); '
                "grammar-stories needs no file"
            )
        self._set("source", located(self.source, "text: source", "a text"))
        self._set("field", str(self.field))
        if self.exam is not None:
            self._set("exam", self._examined())
        if self.split is not None and not self._has_splits:
            raise UsageError(
                f"text: {self.source} is a file and has no splits; leave out split={self.split}"
            )
        if str(self.tokenizer) in TOKENIZERS:
            self._set("tokenizer", str(self.tokenizer))
        else:
            self._set(
                "tokenizer",
                located(self.tokenizer, "text: tokenizer (bpe, bytes or words)", "a tokenizer"),
            )
        if self.tokenizer == "bpe" and self.vocab < BYTES:
            raise UsageError(
                f"text: a bpe vocabulary contains all {BYTES} bytes; choose vocab >= {BYTES}, "
                f"got {self.vocab}"
            )
        if self.prompt >= self.block:
            raise UsageError(
                "text: prompt is a part of block and must be smaller; "
                f"got prompt={self.prompt}, block={self.block}"
            )

    @property
    def place(self) -> Path | str:
        """The source, which every text has."""
        assert self.source is not None
        return self.source

    @property
    def _has_splits(self) -> bool:
        return not isinstance(self.source, Path) or self.source.is_dir()

    def _examined(self) -> Path | str:
        """The held-out file as a Path, or the name of a split of the source."""
        path = expanded(str(self.exam))
        if exists(path, "text: exam: ") and path.is_file():
            return path
        if not self._has_splits:
            raise UsageError(
                f"text: exam={str(self.exam)!r} is not a file, and {self.source} is a file and has "
                "no splits; give the path of a file in double quotes, or leave exam out"
            )
        return str(self.exam)

    def files_read(self, parameter, folder):
        if parameter == "source":
            splits = [self.split, self.exam if isinstance(self.exam, str) else None]
            return saved_files(folder, splits)
        if parameter == "tokenizer":
            return tokenizer_files(folder)
        return super().files_read(parameter, folder)

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    # -- properties of the text -------------------------------------------------------------------

    @property
    def labels(self):
        return len(self.vocabulary)

    @property
    def vocabulary(self):
        return _table(self).tokenizer.vocabulary

    @property
    def span(self):
        return self.block

    @property
    def texts_end(self):
        return self.unit == "row"

    @property
    def pool_size(self):
        # a suite can still be planned; the cells of this text fail when they run
        try:
            return _table(self).pool
        except Unreachable:
            return None

    def sample_truth(self, rng, nature=None):
        placed = _placed(self, str(rng.device))
        held = self.with_truth(blocks=placed.blocks, pool=placed.pool, hashed=placed.hashed)
        x, y = (part.expand(*rng.chain_shape, *part.shape) for part in self._halves(placed.exam))
        judged = min(self.judged, y.shape[-2])
        held.truth.held_out = HeldOut(x, y, judged, placed.frequency, self.tail, rng.at("exam"))
        return held

    def _halves(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        return blocks[..., : self.prompt], blocks[..., self.prompt :]

    # -- questions and answers --------------------------------------------------------------------

    def ask(self, n, rng):
        if not self.prompt:
            return torch.empty(*rng.chain_shape, n, 0, dtype=torch.int64, device=rng.device)
        return self._halves(self.truth.blocks[deal(n, self.truth.pool, rng)])[0]

    def answer(self, x, rng):
        n = x.shape[-2]
        which = (
            deal(n, self.truth.pool, rng)
            if not self.prompt
            else self.truth.hashed.member(x, rng.uniform(n))
        )
        return self._halves(self.truth.blocks[which])[1]

    def logp(self, x, y):
        """Log-probability under the empirical distribution of all blocks.

        The probability of a token is the share of blocks with the same beginning that continue with
        it.
        """
        rows = torch.cat([x, y], -1)
        # (..., block + 1): how many blocks have the same first 0, 1, ... tokens
        counts = self.truth.hashed.prefix_counts(rows)
        logp = (counts[..., 1:] / counts[..., :-1].clamp_min(1)).log()[..., self.prompt :]
        return torch.where(events_of(y), logp, 0.0)

    def identity(self, x, y):
        return self.truth.hashed.place(torch.cat([x, y], -1))

    def spell(self, y):
        decode = _table(self).tokenizer.decode
        return [decode([token for token in row if token >= 0]) for row in y.tolist()]


# -- blocks ----------------------------------------------------------------------------------------


def _table(data: Text) -> SimpleNamespace:
    """All blocks of a text, the pool first; read once.

    Raises Unreachable if the hub cannot be reached.  That outcome is cached too, so that the hub is
    not asked again.
    """
    table = _read(data)
    if isinstance(table, Unreachable):
        raise Unreachable(str(table))
    return table


@cached_by_content(maxsize=4)
def _placed(data: Text, device: str) -> SimpleNamespace:
    """The blocks on a device, their lookup table, held-out blocks, and token counts."""
    table = _table(data)
    blocks = table.blocks.to(device)
    return SimpleNamespace(
        blocks=blocks,
        pool=table.pool,
        hashed=_Hashed(blocks, data.prompt, table.pool),
        exam=blocks[table.exam.to(device)],
        frequency=frequencies(blocks[: table.pool], len(table.tokenizer.vocabulary)),
    )


@cached_by_content(maxsize=4)
def _read(data: Text) -> SimpleNamespace | Unreachable:
    try:
        with unchanged(data):
            learnt, exam = _halves_of(data)
            tokenizer = tokenizer_of(data.tokenizer, learnt, data.vocab, "text: tokenizer")
    except Unreachable as refusal:
        return refusal
    pool = _blocks(tokenizer.encode_all(learnt), data, data.place, "the training part")
    where = data.exam if isinstance(data.exam, Path) else data.place
    others = _blocks(tokenizer.encode_all(exam), data, where, "the held-out part")
    chosen = np.linspace(0, len(others) - 1, min(data.test, len(others))).astype(np.int64)
    # A random order, so that the first blocks, which teachers answer, are spread out as well.
    order = Stream(0, "exam").permutation(len(chosen)).numpy()
    return SimpleNamespace(
        tokenizer=tokenizer,
        blocks=torch.from_numpy(np.concatenate([pool, others])),  # (pool + m, block) int64
        pool=len(pool),
        exam=torch.from_numpy(len(pool) + chosen[order]),  # indices of the held-out blocks
    )


def _halves_of(data: Text) -> tuple[list[str], list[str]]:
    """(training texts, held-out texts): one text each if texts are joined."""
    place = Place(data.place, "text", data.field, data.config, data.split, data.revision)
    texts = _units(place, data)
    if data.exam is not None:
        other = (
            {"split": data.exam}
            if isinstance(data.exam, str)
            else {"source": data.exam, "split": None}
        )
        return texts, _units(Place(**{**vars(place), **other}), data)
    if data.unit == "row":
        cut = min(len(texts) - 1, round((1 - data.held_out) * len(texts)))
        return texts[:cut], texts[cut:]
    (text,) = texts
    cut = round((1 - data.held_out) * len(text))
    return [text[:cut]], [text[cut:]]


def _units(place: Place, data: Text) -> list[str]:
    """The texts of a place before they are cut: its rows, or one joined text."""
    texts = place.texts()
    if (
        data.unit == "row"
        and isinstance(place.source, Path)
        and place.source.suffix.lower() == ".txt"
    ):
        texts = [line for text in texts for line in text.split("\n")]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise UsageError(f"text: {place.source} is empty; give a file or data set with some text")
    return texts if data.unit == "row" else ["\n".join(texts)]


def _blocks(texts: list[list[int]], data: Text, where: Path | str, part: str) -> np.ndarray:
    """Blocks of the encoded texts, (n, block) int64, -1 after the end.

    ``part`` and ``where`` name the texts in messages.  Raises UsageError for fewer than two blocks.
    """
    if data.unit == "row":
        texts = [tokens[: data.block] for tokens in texts if len(tokens) > data.prompt]
        blocks = np.full((len(texts), data.block), -1, np.int64)
        for row, tokens in zip(blocks, texts, strict=True):
            row[: len(tokens)] = tokens
    else:
        joined = np.asarray(texts[0], np.int64)
        n = len(joined) // data.block
        blocks = joined[: n * data.block].reshape(n, data.block)
    if len(blocks) < 2:
        size = (
            f"{len(texts)} rows of more than {data.prompt}"
            if data.unit == "row"
            else f"{len(texts[0])}"
        )
        raise UsageError(
            f"text: {where} is too short: {part} has {size} tokens, and at least 2 blocks of "
            f"{data.block} are needed; give a longer text, a smaller block, or another share "
            "held_out"
        )
    return blocks


class _Hashed:
    """Lookup of blocks (N, block) by 64-bit hashes; the first ``pool`` blocks are for training."""

    def __init__(self, blocks: Tensor, prompt: int, pool: int):
        keys = Stream(0, "token-hash").integers(2**31, blocks.shape[-1], 2).to(blocks.device)
        self.keys = (keys[:, 0] << 33) | (keys[:, 1] << 1) | 1  # odd factors, one per position
        self.pool, self.prompt, self.blocks = pool, prompt, blocks
        self.whole, self.order = self._hash(blocks).sort(stable=True)
        # Prompts of the pool, then held-out prompts, each sorted so that equal ones are adjacent.
        halves = (self._hash(blocks[:pool, :prompt]), self._hash(blocks[pool:, :prompt]))
        self.prompts = [half.sort(stable=True) for half in halves]

    def _hash(self, rows: Tensor) -> Tensor:
        """A hash of each row (..., L), L <= block, (...): tokens times keys, summed modulo 2^64."""
        return ((rows + 2) * self.keys[: rows.shape[-1]]).sum(-1)

    def place(self, rows: Tensor) -> Tensor:
        """The index of the block of each row (..., block), int64; the lowest of equal blocks."""
        hashed = self._hash(rows)
        at = torch.searchsorted(self.whole, hashed).clamp_max(len(self.whole) - 1)
        if (self.whole[at] != hashed).any():
            raise Incompatible("a row is not a block of this text and cannot be counted as real")
        return self.order[at]

    def member(self, x: Tensor, u: Tensor) -> Tensor:
        """The index of a block that begins with each prompt (R, n, prompt).

        Uniform ``u (R, n)`` chooses among several.  Held-out blocks are used only if no block of
        the pool begins with the prompt.
        """
        hashed = self._hash(x)
        index = torch.full_like(hashed, -1)
        for (ranked, order), first in zip(self.prompts, (0, self.pool), strict=True):
            low, high = (torch.searchsorted(ranked, hashed, right=right) for right in (False, True))
            one = order[(low + (u * (high - low)).long()).clamp_max(len(order) - 1)] + first
            index = torch.where((index < 0) & (high > low), one, index)
        if (index < 0).any():
            raise Incompatible(
                "a prompt does not occur in this text, so its true answer is unknown; ask real "
                "prompts"
            )
        return index

    def prefix_counts(self, rows: Tensor) -> Tensor:
        """How many blocks share the first l tokens of each row (..., block): (..., block + 1)."""
        all_hashes, mine = (((some + 2) * self.keys).cumsum(-1) for some in (self.blocks, rows))
        counts = [torch.full(rows.shape[:-1], len(self.blocks), device=rows.device)]
        for ranked, hashed in zip(
            all_hashes.sort(0).values.T.contiguous(), mine.unbind(-1), strict=True
        ):
            asked = hashed.contiguous()
            counts.append(
                torch.searchsorted(ranked, asked, right=True) - torch.searchsorted(ranked, asked)
            )
        return torch.stack(counts, -1).double()


@hookimpl
def collapse_generators():
    return {"text": Text}
