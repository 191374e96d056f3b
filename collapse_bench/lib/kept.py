"""The last value of a computation, kept while what it was computed from is the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor, equal

from ..core.rng import Stream

Value = TypeVar("Value")


class LastOf(Generic[Value]):
    """One-entry weak cache, keyed by identity.  It is not part of a pickle."""

    def __init__(self) -> None:
        self._thing: Callable[[], object] = lambda: None
        self._value: Any = None

    def of(self, thing: object, work: Callable[[], Value]) -> Value:
        """The cached value for ``thing``, or the result of ``work()``."""
        if self._thing() is not thing:
            self._value, self._thing = work(), weakref.ref(thing)
        value: Value = self._value
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class LastDraw(Generic[Value]):
    """One-entry cache of what was drawn from a stream.  It is not part of a pickle.

    Two streams are the same where a fork of them draws the same numbers: two uniform numbers per
    chain, with 104 random bits.
    """

    def __init__(self) -> None:
        self._mark: Tensor | None = None
        self._value: Any = None

    def of(self, rng: Stream, work: Callable[[], Value]) -> Value:
        """What ``work()`` draws from ``rng``."""
        mark = rng.at("mark").uniform(2)
        if self._mark is None or self._mark.shape != mark.shape or not equal(self._mark, mark):
            self._value, self._mark = work(), mark
        value: Value = self._value
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
