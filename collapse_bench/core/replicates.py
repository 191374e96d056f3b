"""Models over chains: what mitigations ask of a fit, applied to every chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ..errors import Incompatible
from .components import FACTS, Model, Teacher, has_method
from .corpus import Corpus
from .recipe import Change, PostFit, Recipe, Training
from .rng import Stream


def lift(model: Model) -> Configured:
    """The model over chain dimensions, with an empty recipe; itself where that was done before."""
    return model if isinstance(model, Configured) else Configured(model)


@dataclass(frozen=True, eq=False)
class Configured(Model):
    """A model as its author wrote it, and the recipe by which it is fitted.

    ``fit`` takes any chain dimensions.  A model that is written for one chain is fitted to each
    chain in turn, with that chain's rows, random numbers and part of the recipe.
    """

    model: Model
    recipe: Recipe = field(default_factory=Recipe)

    vectorized = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("title", "incompatibility", *FACTS):
            object.__setattr__(self, name, getattr(self.model, name))

    def __getattr__(self, name: str) -> Any:
        """The model's own parameters, which a mitigation may read; not called for anything above."""
        if name == "model" or name.startswith("__"):  # asked for while a copy is being built
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

    # -- what mitigations ask for -----------------------------------------------------------------

    def with_parameters(self, **values: Any) -> Configured:
        return replace(self, model=self.model.with_parameters(**values))

    def _asking(self, **more: Any) -> Configured:
        return replace(self, recipe=self.recipe.asking(**more))

    def with_loss(self, loss: Any) -> Configured:
        self.model.with_loss(loss)  # a model that cannot says so now, before anything is fitted
        return self._asking(loss=loss)

    def with_validation(self, corpus: Corpus) -> Configured:
        if not has_method(self.model, "with_validation"):
            self.model.with_validation(corpus)  # raises the sentence of the base class
        return self._asking(validation=corpus)

    def with_start(self, teacher: Teacher, share: float = 1.0) -> Configured:
        if has_method(self.model, "with_start"):
            return self._asking(start=teacher, share=share)
        if any(isinstance(value, Configured) for value in vars(self.model).values()):
            raise Incompatible(
                f"{self.title()} is built around another model and has no with_start to pass the "
                "start on; return model.with_training(...) from adapt in place of such a class"
            )
        return self

    def with_training(self, training: Training) -> Configured:
        return self._asking(around=(training,))

    def with_after(self, change: Change) -> Configured:
        return self.with_training(PostFit(change))


class LoopedTeacher(Teacher):
    """One teacher per chain, in the order of the flattened ``chain_shape``."""

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


def merged(accounts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Several accounts as one: work is summed, peaks are maxima, losses are means, rates are computed
    from the sums."""
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
