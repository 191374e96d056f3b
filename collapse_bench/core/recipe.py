"""How one model is fitted, as a value.  Mitigations add to it; ``Configured`` applies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ContractError, Unsupported
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


#: (fitted teacher, the model that fitted it, its corpus) -> the teacher used in its place
Change = Callable[[Teacher, Model, Corpus], Teacher]


@dataclass(frozen=True, eq=False)
class Recipe:
    """What mitigations request for a fit.  No request is dropped: see ``asking``."""

    loss: Any = None  # replaces the model's own; see ``Model.with_loss``
    validation: Corpus | None = None  # rows (R, n) on which regularisation is chosen
    start: Teacher | None = None  # the fit continues from its weights
    share: float = 1.0  # for this share of the steps of a training from scratch
    around: tuple[Training, ...] = ()  # trainings around the fit, innermost first

    def asking(self, **more: Any) -> Recipe:
        """The recipe with further requests.

        Validation rows are added to the earlier ones.  A training goes around the earlier ones.  A
        start replaces an earlier start.  Raises Incompatible for a second loss.
        """
        if "loss" in more and self.loss is not None:
            raise Unsupported("two mitigations replace the loss; a model has one loss")
        if "validation" in more and self.validation is not None:
            more["validation"] = self.validation + more["validation"]
        if "around" in more:
            more["around"] = self.around + more["around"]
        return replace(self, **more)

    def of_chain(self, i: int, r: tuple[int, ...]) -> Recipe:
        """The recipe of the i-th chain, which has index r in the chain dimensions.

        Raises ContractError for a start that was not fitted chain by chain.
        """
        start = self.start
        if start is not None:
            teachers = getattr(start, "teachers", None)
            if teachers is None:
                raise ContractError(
                    f"with_start got a {type(start).__name__}; a model that is fitted chain by "
                    "chain can only continue from a teacher that it fitted itself"
                )
            start = teachers[i]
        rows = None if self.validation is None else self.validation[r]
        return replace(self, validation=rows, start=start)

    def applied_to(self, model: Model) -> Model:
        """The author's model with the loss, the validation rows and the start of this recipe.

        Raises ContractError where with_loss or with_validation returned an object without
        with_start.
        """
        out = model
        if self.loss is not None:
            out = out.with_loss(self.loss)
        if self.validation is not None:
            out = out.with_validation(self.validation)
        if self.start is not None:
            if not has_method(out, "with_start"):
                raise ContractError(
                    f"{model.title()} has with_start, but its with_loss or with_validation "
                    f"returned a {type(out).__name__}, which has none; return a changed copy"
                )
            out = out.with_start(self.start, self.share)
        return out


@dataclass(frozen=True, eq=False)
class PostFit:
    """The training that replaces the fitted teacher by ``change(teacher, model, corpus)``."""

    change: Change

    def __call__(
        self, model: Configured, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher:
        return self.change(model.fit(corpus, rng, before), model, corpus)
