"""A teacher as the data generator meets it when it measures losses.

Its methods receive copies of their arguments and return plain tensors.  Without this, a teacher
could change the questions of the test data, from which the right answers are computed next, or
return tensors that compare as equal to everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .components import Teacher
from .corpus import Corpus
from .plain import plain
from .rng import Stream


def examined(teacher: Teacher) -> Teacher:
    """The teacher behind copies and plain tensors; the same object while one teacher is judged,
    so that caches keyed by identity work."""
    if not _LAST or _LAST[0]._teacher is not teacher:
        _LAST[:] = [Examined(teacher)]
    return _LAST[0]


def forget() -> None:
    """Let go of the teacher that was judged last, and of its memory."""
    _LAST.clear()


class Examined(Teacher):
    """See the module.  ``isinstance`` and attributes that are not methods of a Teacher are those of
    the teacher behind it."""

    def __init__(self, teacher: Teacher):
        self._teacher = teacher

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._teacher)

    def __getattr__(self, name: str) -> Any:
        if name == "_teacher":  # of an object that is just being copied
            raise AttributeError(name)
        return getattr(self._teacher, name)

    def _plain(self, method: str, value: Any) -> Tensor:
        return plain(value, f"what {type(self._teacher).__name__}.{method} returned")

    @property
    def linear(self) -> bool:
        return bool(self._teacher.linear)

    @property
    def account(self) -> Mapping[str, float]:
        return self._teacher.account

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self._plain("answer", self._teacher.answer(x.clone(), rng))

    def mean_answer(self, x: Tensor) -> Tensor:
        return self._plain("mean_answer", self._teacher.mean_answer(x.clone()))

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self._plain("logp", self._teacher.logp(x.clone(), y.clone()))

    def decoded(self, *args: Any, **settings: Any) -> Teacher:
        return Examined(self._teacher.decoded(*args, **settings))

    def blend(self, other: Teacher, w: float) -> Teacher:
        other = other._teacher if type(other) is Examined else other
        return Examined(self._teacher.blend(other, w))

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        drawn = self._teacher.redraw(x.clone(), y.clone(), mask.clone(), rng)
        return self._plain("redraw", drawn)

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        mean, factor = self._teacher.mean_and_factor()
        # copies, since the caller may change them in place
        return (
            self._plain("mean_and_factor", mean).clone(),
            self._plain("mean_and_factor", factor).clone(),
        )

    def sample_sufficient(self, n: Any, rng: Stream) -> Corpus:
        return self._teacher.sample_sufficient(n, rng)


_LAST: list[Examined] = []
