"""How the objects of a run are written in messages, and read again in the other process.

Plain values, tensors, streams of random numbers and corpora travel as copies.  Teachers, models and
functions stay where they are: the other process gets a number, and calls them by it.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..core.components import BiasedVerifier, Composition
from ..core.corpus import Corpus
from ..core.plain import plain
from ..core.recipe import Recipe
from ..core.rng import Stream
from ..core.rows import RowsPart
from ..core.sums import Moments, Part, Products, SumsPart
from ..errors import ContractError

if TYPE_CHECKING:
    from .link import Link

JUDGE, PLUGIN = "judge", "plugin"  #: the two processes
_SUMS: dict[str, type[Moments] | type[Products]] = {"moments": Moments, "products": Products}


class Exchange:
    """What one process has shown the other, and how values are written.

    ``side`` is the process itself.  Subclasses say how teachers, models and origins of rows look on
    the other side.
    """

    side = ""

    def __init__(self) -> None:
        self.link: Link | None = None
        self._own: dict[int, Any] = {}  # number -> object that the other process may call
        self._numbers: dict[int, int] = {}  # id of such an object -> its number
        self._others: dict[int, Any] = {}  # number of the other side -> what stands for it here
        self._streams: dict[tuple[str, int], Stream] = {}
        self._stream_keys: dict[int, tuple[str, int]] = {}  # id of a stream -> its key
        self._synced: dict[tuple[str, int], int] = {}  # key -> draws that both processes know of
        self._corpora: dict[int, Corpus] = {}  # those of the present call, by number
        self._corpus_numbers: dict[int, int] = {}
        self._received: set[int] = set()  # numbers of corpora that came from the other process
        # numbers of the two processes differ: even ones are the judge's
        self._count = 0 if self.side == JUDGE else 1

    # -- what a side decides -----------------------------------------------------------------------

    def shown(self, value: Any) -> tuple[str, dict[str, Any]] | None:
        """(role, facts) of an object that the other process may call by its number; None for one
        that it cannot use."""
        raise NotImplementedError

    def standing_for(self, role: str, number: int, about: dict[str, Any]) -> Any:
        """What stands here for an object of the other process."""
        raise NotImplementedError

    def number_there(self, value: Any) -> int | None:
        """The number of an object that stands here for one of the other process."""
        raise NotImplementedError

    def origins_out(self, origin: int | Tensor, hidden: bool, shape: tuple[int, ...]) -> Any:
        """The origins of rows as the other process may know them."""
        raise NotImplementedError

    def origins_in(self, origin: Any, shape: tuple[int, ...]) -> int | Tensor:
        """The origins of rows that the other process sent."""
        raise NotImplementedError

    # -- writing -----------------------------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """A value as a message holds it."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return plain(value, "a value").detach()
        for kind in (bool, int, float, str):  # also numpy's numbers and subclasses
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, np.generic):
            return value.item()
        if type(value) in (list, tuple):
            return {"k": type(value).__name__, "v": [self.encode(item) for item in value]}
        if type(value) is dict:
            pairs = [[self.encode(k), self.encode(v)] for k, v in value.items()]
            return {"k": "dict", "v": pairs}
        if isinstance(value, Stream):
            return self._stream_out(value)
        if isinstance(value, Corpus):
            return self._corpus_out(value)
        for name, kind in _RECORDS.items():
            if type(value) is kind:
                inside = {f.name: self.encode(getattr(value, f.name)) for f in fields(kind)}
                return {"k": name, "v": inside}
        if (there := self.number_there(value)) is not None:
            return {"k": "back", "n": there}
        role, about = self.shown(value) or ("object", {})
        return {"k": "ref", "n": self._number(value), "role": role, "about": about}

    def _number(self, value: Any) -> int:
        """The number of an object of this process, which is kept from now on."""
        if id(value) not in self._numbers:
            self._count += 2
            self._numbers[id(value)] = self._count
            self._own[self._count] = value
        return self._numbers[id(value)]

    def _stream_out(self, stream: Stream) -> Any:
        key = self._stream_keys.get(id(stream))
        if key is None:
            self._count += 2
            key = (self.side, self._count)
            self._remember(key, stream)
        words = np.stack([stream._first, stream._second], -1).astype(np.uint64).view(np.int64)
        return {
            "k": "stream",
            "key": list(key),
            "words": torch.from_numpy(words.copy()),
            "chains": list(stream.chain_shape),
            "path": stream.path,
            "one_way": stream._one_way,
            "device": str(stream.device),
            "calls": stream._calls,
        }

    def _remember(self, key: tuple[str, int], stream: Stream) -> None:
        self._streams[key], self._stream_keys[id(stream)] = stream, key
        self._synced[key] = stream._calls

    def _corpus_out(self, corpus: Corpus) -> Any:
        if (number := self._corpus_numbers.get(id(corpus))) is None:
            self._count += 2
            number = self._count
        elif number in self._received:
            return {"k": "same", "n": number}  # it comes back unchanged
        self._keep_corpus(number, corpus)
        hidden = corpus._hidden
        parts = (corpus._table,) if corpus.has_rows else corpus._parts
        return {
            "k": "corpus",
            "n": number,
            "chains": list(corpus.chain_shape),
            "hidden": hidden,
            "labels": corpus.labels,
            "parts": [self._part_out(part, corpus.chain_shape, hidden) for part in parts],
        }

    def _keep_corpus(self, number: int, corpus: Corpus) -> None:
        self._corpora[number], self._corpus_numbers[id(corpus)] = corpus, number

    def _part_out(self, part: Part, chains: tuple[int, ...], hidden: bool) -> dict[str, Any]:
        if isinstance(part, SumsPart):
            name = next(name for name, kind in _SUMS.items() if isinstance(part.sums, kind))
            origin = self.origins_out(part.origin, hidden, ())
            return {"sums": name, **vars(part.sums), "origin": origin}
        shape = (*chains, part.y.shape[len(chains)])
        origin = self.origins_out(part.origin, hidden, shape)
        tensors = {"x": part.x, "y": part.y, "weight": part.weight, "count": part.count}
        plain_ones = {k: v if v is None else v.detach() for k, v in tensors.items()}
        return {"sums": None, **plain_ones, "origin": origin}

    # -- reading -----------------------------------------------------------------------------------

    def decode(self, value: Any) -> Any:
        """A value of a message.  Raises ContractError for one that no run would send."""
        if not isinstance(value, dict):
            if isinstance(value, list):
                raise ContractError("a value of a message cannot be read")
            return value
        try:
            return self._read(value)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as why:
            raise ContractError(
                f"a value of a message cannot be read ({type(why).__name__})"
            ) from None

    def _read(self, value: dict[str, Any]) -> Any:
        kind = value["k"]
        if kind in ("list", "tuple"):
            items = [self.decode(item) for item in value["v"]]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {self.decode(k): self.decode(v) for k, v in value["v"]}
        if kind == "stream":
            return self._stream_in(value)
        if kind == "corpus":
            return self._corpus_in(value)
        if kind == "same":
            return self._corpora[value["n"]]
        if kind == "back":
            return self._own[value["n"]]
        if kind in _RECORDS:
            return _RECORDS[kind](**{k: self.decode(v) for k, v in value["v"].items()})
        if kind != "ref":
            raise ValueError(kind)
        number = int(value["n"])
        if number not in self._others:
            self._others[number] = self.standing_for(str(value["role"]), number, value["about"])
        return self._others[number]

    def _stream_in(self, value: dict[str, Any]) -> Stream:
        side, number = value["key"]
        key = (str(side), int(number))
        if key in self._streams:
            stream = self._streams[key]
        elif key[0] == self.side:
            raise ValueError("a stream of this process that it does not know")
        else:
            words = value["words"].numpy().view(np.uint64)
            chains = tuple(int(size) for size in value["chains"])
            if min(chains, default=0) < 0 or words.shape != (math.prod(chains), 2):
                raise ValueError("the keys of a stream do not fit its chains")
            stream = Stream(np.zeros(chains, np.int64), str(value["path"]), str(value["device"]))
            stream._first, stream._second = words[:, 0].copy(), words[:, 1].copy()
            stream._one_way = bool(value["one_way"])
            self._remember(key, stream)
        stream._calls = _count(value["calls"])
        self._synced[key] = stream._calls
        return stream

    def _corpus_in(self, value: dict[str, Any]) -> Corpus:
        chains = tuple(int(size) for size in value["chains"])
        labels = value["labels"]
        if labels is not None and (type(labels) is not int or labels < 1):
            raise ValueError("labels must be a number")
        parts = tuple(self._part_in(part, chains) for part in value["parts"])
        if not parts:
            raise ValueError("a corpus has no part")
        corpus = Corpus(parts, chains, None, bool(value["hidden"]), labels)
        self._received.add(int(value["n"]))
        self._keep_corpus(int(value["n"]), corpus)
        return corpus

    def _part_in(self, part: dict[str, Any], chains: tuple[int, ...]) -> Part:
        if part["sums"] is not None:
            kind = _SUMS[part["sums"]]
            sums = kind(**{f.name: part[f.name] for f in fields(kind)})
            tensors = [value for value in vars(sums).values() if value is not None]
            if any(tuple(value.shape[: len(chains)]) != chains for value in tensors):
                raise ValueError("sums do not fit the chains")
            return SumsPart(sums, int(self.origins_in(part["origin"], ())))
        x, y, weight, count = (part[name] for name in ("x", "y", "weight", "count"))
        shape = (*chains, y.shape[len(chains)])
        for tensor in (x, y, weight, count):
            if tensor is not None and tuple(tensor.shape[: len(shape)]) != shape:
                raise ValueError("rows do not fit the chains")
        if weight is not None and (weight.shape != shape or weight.dtype != torch.float64):
            raise ValueError("weights must be one float64 number per row")
        if count is not None and (count.shape != shape or count.dtype != torch.int64):
            raise ValueError("counts must be one int64 number per row")
        return RowsPart(x, y, weight, count, self.origins_in(part["origin"], shape))

    # -- streams and corpora of the present call ---------------------------------------------------

    def drawn(self) -> list[list[Any]]:
        """[side, number, draws] of the streams that were drawn from since the last message."""
        out = []
        for key, stream in self._streams.items():
            if stream._calls != self._synced[key]:
                self._synced[key] = stream._calls
                out.append([*key, stream._calls])
        return out

    def advance(self, drawn: Any) -> None:
        """Take over how far the other process has drawn."""
        for item in drawn if isinstance(drawn, list) else []:
            try:
                side, number, calls = item
                key, calls = (str(side), int(number)), _count(calls)
            except (TypeError, ValueError):
                raise ContractError("a message counts no draws of a stream") from None
            if key in self._streams:
                self._streams[key]._calls = self._synced[key] = calls

    def forget(self) -> None:
        """Let go of the streams and corpora of a call that has ended."""
        for held in (self._streams, self._stream_keys, self._synced, self._corpora):
            held.clear()
        self._corpus_numbers.clear()
        self._received.clear()


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError("no number of draws")
    return value


#: tag -> classes of plain values with named parts
_RECORDS: dict[str, type[Any]] = {
    "composition": Composition,
    "biased verifier": BiasedVerifier,
    "recipe": Recipe,
}
