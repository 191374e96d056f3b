"""What a mitigation may keep in its memory, and how it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from torch import Tensor

from ..errors import ContractError
from .access import Access
from .corpus import Corpus


def to_keep(user: str, value: Any, chain_shape: tuple[int, ...]) -> Any:
    """``value`` in the form in which it is stored; ContractError if it cannot be kept."""

    def stored(leaf: Any) -> Any:
        if isinstance(leaf, Corpus):
            if leaf.chain_shape != chain_shape:
                raise ContractError(
                    f"{user} kept a corpus of chains {leaf.chain_shape}; expected {chain_shape}"
                )
            return leaf._kept()
        if isinstance(leaf, Tensor):
            if tuple(leaf.shape[: len(chain_shape)]) != chain_shape:
                raise ContractError(
                    f"{user} kept a tensor of shape {tuple(leaf.shape)}; expected leading "
                    f"dimensions {chain_shape}, one entry per chain"
                )
            return leaf
        for inner in _reachable(leaf):
            if isinstance(inner, Access):
                raise ContractError(
                    f"{user} kept its access, which is valid for one generation only; keep the "
                    "rows that it returned"
                )
            if isinstance(inner, Corpus):
                raise ContractError(
                    f"{user} kept a corpus inside {type(leaf).__name__}; keep the corpus itself, "
                    "or in a tuple, list or dict"
                )
        return leaf

    return copied(value, stored)


def copied(value: Any, leaf: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """A copy of nested tuples, lists and dicts, with ``leaf`` applied to everything else."""
    if type(value) is dict:
        return {key: copied(item, leaf) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)([copied(item, leaf) for item in value])
    return leaf(value)


def leaves_of(value: Any) -> Iterator[Any]:
    """What nested tuples, lists and dicts hold."""
    if type(value) in (dict, tuple, list):
        for item in value.values() if type(value) is dict else value:
            yield from leaves_of(item)
    else:
        yield value


def corpora_in(value: Any) -> Iterator[Corpus]:
    """Every corpus in nested tuples, lists and dicts."""
    return (leaf for leaf in leaves_of(value) if isinstance(leaf, Corpus))


def _reachable(value: Any) -> Iterator[Any]:
    """An object and everything that it refers to, through attributes and containers."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(
            value, (type, ModuleType, FunctionType, BuiltinFunctionType, Tensor, str, bytes)
        ):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, (Access, Corpus)):
            continue
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (tuple, list, set, frozenset)):
            waiting += value
        waiting += getattr(value, "__dict__", {}).values()
