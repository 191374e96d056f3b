"""How one model is to be fitted, as a value: mitigations fill it in, and one class applies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ContractError, Incompatible
from .components import Model, Teacher, has_method
from .corpus import Corpus
from .rng import Stream

if TYPE_CHECKING:
    from .replicates import Configured


class Training(Protocol):
    """What a mitigation does around the fit of a model; see ``Model.with_training``."""

    def __call__(
        self, model: Configured, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher: ...


#: (teacher as fitted, the model that fitted it, the corpus it read) -> the teacher that is handed on
Change = Callable[[Teacher, Model, Corpus], Teacher]


@dataclass(frozen=True, eq=False)
class Recipe:
    """What mitigations ask of a fit.  Nothing that was asked for is dropped: see ``asking``."""

    loss: Any = None  # takes the place of the model's own; see ``Model.with_loss``
    validation: Corpus | None = None  # rows (R, n) on which the regularisation is chosen
    start: Teacher | None = None  # the fit continues from its weights,
    share: float = 1.0  # for this share of the steps of a fresh training
    around: tuple[Training, ...] = ()  # innermost first

    def asking(self, **more: Any) -> Recipe:
        """The recipe with more in it.

        Validation rows are added to those that are there, and a training goes around the others.  A
        later start replaces an earlier one, since a fit has one start.  Raises Incompatible for a
        second loss.
        """
        if "loss" in more and self.loss is not None:
            raise Incompatible("two mitigations exchange the loss; a model learns under one loss")
        if "validation" in more and self.validation is not None:
            more["validation"] = self.validation + more["validation"]
        if "around" in more:
            more["around"] = self.around + more["around"]
        return replace(self, **more)

    def of_chain(self, i: int, r: tuple[int, ...]) -> Recipe:
        """The recipe of the i-th chain, which has the index r in the chain dimensions."""
        start = self.start
        if start is not None:
            teachers = getattr(start, "teachers", None)
            if teachers is None:
                raise ContractError(
                    f"with_start got a {type(start).__name__}; a model that is fitted chain by "
                    "chain continues from a teacher that it fitted itself"
                )
            start = teachers[i]
        rows = None if self.validation is None else self.validation[r]
        return replace(self, validation=rows, start=start)

    def applied_to(self, model: Model) -> Model:
        """The author's model with the loss, the validation rows and the start of this recipe."""
        out = model
        if self.loss is not None:
            out = out.with_loss(self.loss)
        if self.validation is not None:
            out = out.with_validation(self.validation)
        if self.start is not None:
            if not has_method(out, "with_start"):
                raise ContractError(
                    f"{model.title()} has with_start, and {type(out).__name__}, which its with_loss "
                    "or with_validation returned, has none; return a copy of the model instead"
                )
            out = out.with_start(self.start, self.share)
        return out


@dataclass(frozen=True, eq=False)
class PostFit:
    """The training that hands on ``change(teacher, model, corpus)`` in place of the teacher."""

    change: Change

    def __call__(
        self, model: Configured, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher:
        return self.change(model.fit(corpus, rng, before), model, corpus)
