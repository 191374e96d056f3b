"""Models written for one run, seen as models over replicates: slice, call, stack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from .components import Model, Teacher, has_method
from .corpus import Corpus
from .rng import Stream


def lift(model: Model) -> Model:
    """The model itself where it is native over replicates, else a loop around it."""
    return model if model.vectorized else Looped(model)


class LoopedTeacher(Teacher):
    """One teacher per replicate, in the order of the flattened replicate shape ``chain_shape``."""

    def __init__(self, teachers: Sequence[Teacher], chain_shape: tuple[int, ...]):
        self.teachers, self.chain_shape = tuple(teachers), chain_shape

    @property
    def linear(self) -> bool:
        return all(teacher.linear for teacher in self.teachers)

    @property
    def account(self) -> dict[str, float]:
        return merged(teacher.account for teacher in self.teachers)

    def _indices(self):
        return product(*map(range, self.chain_shape))

    def _stacked(self, call) -> Tensor:
        outs = [call(teacher, r) for teacher, r in zip(self.teachers, self._indices(), strict=True)]
        return torch.stack(outs).reshape(*self.chain_shape, *outs[0].shape)

    def answer(self, x, rng):
        return self._stacked(lambda teacher, r: teacher.answer(x[r], rng[r]))

    def mean_answer(self, x):
        return self._stacked(lambda teacher, r: teacher.mean_answer(x[r]))

    def logp(self, x, y):
        return self._stacked(lambda teacher, r: teacher.logp(x[r], y[r]))

    def decoded(self, **settings):
        return LoopedTeacher(
            [teacher.decoded(**settings) for teacher in self.teachers], self.chain_shape
        )

    def blend(self, other, w):
        pairs = zip(self.teachers, other.teachers, strict=True)
        return LoopedTeacher([mine.blend(theirs, w) for mine, theirs in pairs], self.chain_shape)

    def redraw(self, x, y, mask, rng):
        return self._stacked(lambda teacher, r: teacher.redraw(x[r], y[r], mask[r], rng[r]))

    def mean_and_factor(self):
        pairs = [teacher.mean_and_factor() for teacher in self.teachers]
        return tuple(
            torch.stack(side).reshape(*self.chain_shape, *side[0].shape)
            for side in zip(*pairs, strict=True)
        )


@dataclass(frozen=True)
class Looped(Model):
    """A model for one run, fitted to each replicate in turn; what one replicate learns depends on it alone."""

    model: Model | None = None
    vectorized = True

    def fit(self, corpus: Corpus, rng: Stream, before: Teacher | None = None) -> LoopedTeacher:
        def previous(i: int):
            return before.teachers[i] if isinstance(before, LoopedTeacher) else None

        indices = product(*map(range, corpus.chain_shape))
        fitted = [self.one(r).fit(corpus[r], rng[r], previous(i)) for i, r in enumerate(indices)]
        return LoopedTeacher(fitted, corpus.chain_shape)

    def one(self, r: tuple[int, ...]) -> Model:
        """The model of one run."""
        return self.model

    @property
    def weights_average(self) -> bool:
        return self.model.weights_average

    def with_loss(self, loss):
        return Looped(self.model.with_loss(loss))

    def with_validation(self, corpus: Corpus):
        return Validated(self.model, corpus)

    def with_start(self, teacher: Teacher, share: float = 1.0):
        return Started(self, teacher, share) if has_method(self.model, "with_start") else self


@dataclass(frozen=True)
class Validated(Looped):
    """A looped model whose every run is tuned on its own validation rows."""

    rows: Corpus | None = None

    def __init__(self, model: Model, rows: Corpus):
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "rows", rows)

    def one(self, r):
        return self.model.with_validation(self.rows[r])

    def with_loss(self, loss):
        return Validated(self.model.with_loss(loss), self.rows)


@dataclass(frozen=True, eq=False)
class Started(Model):
    """A looped model whose every run goes on from the weights of its own teacher."""

    looped: Looped
    teacher: LoopedTeacher
    share: float

    vectorized = True

    def fit(self, corpus, rng, before=None):
        begun, fitted = iter(self.teacher.teachers), []
        for r in product(*map(range, corpus.chain_shape)):
            one = self.looped.one(r).with_start(next(begun), self.share)
            fitted.append(one.fit(corpus[r], rng[r]))
        return LoopedTeacher(fitted, corpus.chain_shape)

    def with_loss(self, loss):
        return Started(self.looped.with_loss(loss), self.teacher, self.share)

    def with_validation(self, corpus):
        return Started(self.looped.with_validation(corpus), self.teacher, self.share)


def merged(accounts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Several accounts as one: what was done is added up, what was needed at a time is the most, rates are anew."""
    accounts = [account for account in accounts if account]
    if not accounts:
        return {}
    how = {
        "loss": lambda v: sum(v) / len(v),
        "validation_loss": lambda v: sum(v) / len(v),
        "micro_batch": min,
    }
    how |= {
        "peak_device_memory_mib": max,
        "stopped_at": lambda v: sum(v) / len(v),
        "units_per_second": max,
    }
    names = dict.fromkeys(name for account in accounts for name in account)
    out = {name: how.get(name, sum)([a[name] for a in accounts if name in a]) for name in names}
    if "units" in out and out.get("seconds"):
        out["units_per_second"] = out["units"] / out["seconds"]
    return out
