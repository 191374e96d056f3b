"""Models over all chains: the requests of mitigations, applied to every chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import Incompatible, Unsupported
from .components import FACTS, Model, Teacher, has_method
from .corpus import Corpus
from .recipe import Change, PostFit, Recipe, Training
from .rng import Stream

Out = TypeVar("Out")


def lift(model: Model) -> Configured:
    """The model over chain dimensions, with an empty recipe; a lifted model is returned
    unchanged."""
    return model if isinstance(model, Configured) else Configured(model)


@dataclass(frozen=True, eq=False)
class Configured(Model):
    """A model as its author wrote it, and the recipe for its fit.

    ``fit`` takes any chain dimensions.  A model that is written for one chain is fitted to one
    chain after another, with the rows, random numbers and recipe of that chain.
    """

    model: Model
    recipe: Recipe = field(default_factory=Recipe)

    vectorized = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("title", "incompatibility", *FACTS):
            object.__setattr__(self, name, getattr(self.model, name))

    def __getattr__(self, name: str) -> Any:
        """The model's own parameters.  Called only for names that this class does not have."""
        if name == "model" or name.startswith("__"):  # a copy is being built and has no model
            raise AttributeError(name)
        return getattr(self.model, name)

    def fit(self, corpus: Corpus, rng: Stream, before: Teacher | None = None) -> Teacher:
        if self.recipe.around:
            *inner, outer = self.recipe.around
            recipe = replace(self.recipe, around=tuple(inner))
            return outer(Configured(self.model, recipe), corpus, rng, before)
        if self.model.vectorized:
            return self.recipe.applied_to(self.model).fit(corpus, rng, before)
        fitted = []
        for i, r in enumerate(product(*map(range, corpus.chain_shape))):
            model = self.recipe.of_chain(i, r).applied_to(self.model)
            past = before.teachers[i] if isinstance(before, LoopedTeacher) else None
            fitted.append(model.fit(corpus[r], rng[r], past))
        return LoopedTeacher(fitted, corpus.chain_shape)

    # -- requests of mitigations -------------------------------------------------------------------

    def with_parameters(self, **values: Any) -> Configured:
        return replace(self, model=self.model.with_parameters(**values))

    def _asking(self, **more: Any) -> Configured:
        return replace(self, recipe=self.recipe.asking(**more))

    def with_loss(self, loss: Any) -> Configured:
        self.model.with_loss(loss)  # raises Incompatible before anything is fitted
        return self._asking(loss=loss)

    def with_validation(self, corpus: Corpus) -> Configured:
        if not has_method(self.model, "with_validation"):
            self.model.with_validation(corpus)  # the base class raises Incompatible
        return self._asking(validation=corpus)

    def with_start(self, teacher: Teacher, share: float = 1.0) -> Configured:
        if has_method(self.model, "with_start"):
            return self._asking(start=teacher, share=share)
        if any(isinstance(value, Configured) for value in vars(self.model).values()):
            raise Unsupported(
                f"{self.title()} wraps another model and has no with_start, so the start would be "
                "lost; return model.with_training(...) from adapt in place of such a class"
            )
        return self

    def with_training(self, training: Training) -> Configured:
        return self._asking(around=(training,))

    def with_after(self, change: Change) -> Configured:
        return self.with_training(PostFit(change))


class LoopedTeacher(Teacher):
    """One teacher per chain, in the order of the flattened ``chain_shape``."""

    def __init__(self, teachers: Iterable[Teacher], chain_shape: tuple[int, ...]):
        self.teachers, self.chain_shape = tuple(teachers), chain_shape

    @property
    def linear(self) -> bool:
        return all(teacher.linear for teacher in self.teachers)

    @property
    def account(self) -> Mapping[str, float]:
        return merged(teacher.account for teacher in self.teachers)

    def _each(self, of: Callable[[Teacher, tuple[int, ...]], Out]) -> list[Out]:
        """``of`` each teacher and its index in the chain dimensions."""
        places = product(*map(range, self.chain_shape))
        try:
            return [of(teacher, r) for teacher, r in zip(self.teachers, places, strict=True)]
        except Unsupported as problem:
            if len(set(map(type, self.teachers))) == 1:
                raise
            raise Incompatible(str(problem)) from problem  # the other chains' teachers may be able

    def _stacked(self, outs: Sequence[Tensor]) -> Tensor:
        """Stack one tensor per chain into one with chain dimensions."""
        return torch.stack(list(outs)).reshape(*self.chain_shape, *outs[0].shape)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self._stacked(self._each(lambda teacher, r: teacher.answer(x[r], rng[r])))

    def mean_answer(self, x: Tensor) -> Tensor:
        return self._stacked(self._each(lambda teacher, r: teacher.mean_answer(x[r])))

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self._stacked(self._each(lambda teacher, r: teacher.logp(x[r], y[r])))

    def decoded(
        self,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        processor: Callable[[Tensor, Tensor | None], Tensor] | None = None,
    ) -> LoopedTeacher:
        decoded = self._each(
            lambda teacher, _: teacher.decoded(
                temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, processor=processor
            )
        )
        return LoopedTeacher(decoded, self.chain_shape)

    def blend(self, other: Teacher, w: float) -> LoopedTeacher:
        others = iter(self._teachers_of(other))
        blended = self._each(lambda teacher, _: teacher.blend(next(others), w))
        return LoopedTeacher(blended, self.chain_shape)

    def _teachers_of(self, other: Teacher) -> tuple[Teacher, ...]:
        if isinstance(other, LoopedTeacher) and other.chain_shape == self.chain_shape:
            return other.teachers
        raise Unsupported(
            f"a {type(other).__name__} cannot be averaged with teachers that were fitted "
            "chain by chain"
        )

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return self._stacked(
            self._each(lambda teacher, r: teacher.redraw(x[r], y[r], mask[r], rng[r]))
        )

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        pairs = self._each(lambda teacher, _: teacher.mean_and_factor())
        means, factors = zip(*pairs, strict=True)
        return self._stacked(means), self._stacked(factors)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


#: account key -> how several values become one; other keys are summed
_MERGE: dict[str, Callable[[Sequence[float]], float]] = {
    "loss": _mean,
    "validation_loss": _mean,
    "stopped_at": _mean,
    "micro_batch": min,
    "peak_device_memory_mib": max,
    "units_per_second": max,
}


def merged(accounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Several accounts as one: work is summed, peaks are maxima, losses are means, and rates are
    computed from the sums."""
    accounts = [account for account in accounts if account]
    if not accounts:
        return {}
    names = dict.fromkeys(name for account in accounts for name in account)
    out = {name: _MERGE.get(name, sum)([a[name] for a in accounts if name in a]) for name in names}
    if "units" in out and out.get("seconds"):
        out["units_per_second"] = out["units"] / out["seconds"]
    return out
