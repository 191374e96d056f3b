"""What neural models share: the schedule of a training, its loss, and early stopping."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.components import Model, Teacher
from ...core.corpus import Corpus
from ...core.params import fact, param
from ...errors import Incompatible, UsageError
from .layers import Module
from .training import Schedule

#: (log-probabilities (N, K), answers (N,) int64) -> one loss per answer (N,)
AnswerLoss = Callable[[Tensor, Tensor], Tensor]


def log_loss(logp: Tensor, y: Tensor) -> Tensor:
    """-log p(y), nats, (N,)."""
    return torch.nn.functional.nll_loss(logp, y, reduction="none")


def validation_loss(logp: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """Share of wrong labels (R,), for logp (R, n, K), labels y and shares of the weight (R, n).

    Few rows give many ties, which the log loss decides: it adds less than the smallest share.
    """
    wrong = (share * (logp.argmax(-1) != y)).sum(-1)
    nats = -(share * logp.gather(-1, y[..., None])[..., 0]).sum(-1)
    least = share.where(share > 0, torch.inf).amin(-1)
    return wrong + least * (1 - 1 / (1 + nats))


@dataclass(frozen=True)
class Neural(Model):
    """A model fitted by AdamW, from new random weights in every generation unless the subclass
    decides otherwise.

    Give at most one of ``steps`` and ``epochs``: steps fix the work of a generation, epochs fix how
    often each row is read.  With neither, the subclass's ``usual`` applies.  A subclass defines
    ``fit``, which calls ``training.train`` with ``self.schedule``, and trains under
    ``self.answer_loss``, which ``with_loss`` replaces.  Raises UsageError where both are given.
    """

    steps: int | None = param(
        None, "steps of the optimiser in a generation; or give epochs", ge=1, vary=False
    )
    epochs: float | None = param(
        None, "times every row is read in a generation; or give steps", gt=0, vary=False
    )
    batch: int = param(64, "rows per step", ge=1, vary=False)
    lr: float = param(1e-3, "learning rate of AdamW", gt=0, vary=False)
    warmup: float = param(
        0.0, "share of the steps in which the rate rises from zero", ge=0, le=1, vary=False
    )
    cosine: bool = param(False, "whether the rate falls to zero along half a cosine", vary=False)
    decay: float = param(0.0, "weight decay, of matrices only", ge=0, vary=False)
    clip: float | None = param(
        None, "largest norm of a gradient; none: it is not clipped", gt=0, vary=False
    )

    exact = False
    trained_by_steps = True
    one_chain_per_job = True
    usual: ClassVar[dict[str, float]] = {"steps": 500}  # or {"epochs": 1}

    # rows per micro-batch; None: the whole batch.  A field of models that offer it
    @fact
    def micro(self) -> int | None:
        return None

    @fact
    def weights_average(self) -> bool:
        return False

    @fact
    def answer_loss(self) -> AnswerLoss:
        return staticmethod(log_loss)

    validation_rows: ClassVar[Corpus | None] = None  # where training stops early
    start: ClassVar[Any] = None  # training continues from the weights of this teacher
    share: ClassVar[float] = 1.0  # of the number of steps of a training from scratch

    def __post_init__(self):
        super().__post_init__()
        if self.steps is not None and self.epochs is not None:
            raise UsageError(
                f"{self.title()}: give either steps or epochs, got steps={self.steps} and "
                f"epochs={self.epochs:g}"
            )

    def _with(self, **values) -> Neural:
        twin = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(twin, name, value)
        return twin

    def with_loss(self, loss: AnswerLoss) -> Neural:
        """The same model trained under ``loss(logp (N, K), y (N,)) -> (N,)``.

        An item is a label, or one token of a sequence.
        """
        return self._with(answer_loss=loss)

    def with_validation(self, corpus: Corpus) -> Neural:
        """The same model, keeping the parameters with the lowest loss on these rows (n) of one
        chain: the share of wrong labels, or the loss of numbers, tokens or densities."""
        return self._with(validation_rows=corpus)

    def with_start(self, teacher: Teacher, share: float = 1.0) -> Neural:
        """The same model, continuing from the weights of this teacher of one chain.

        share: of the steps of a training from scratch.  Raises Incompatible for a teacher that is
        not a single network, such as a blend of predictions.
        """
        if not isinstance(getattr(teacher, "module", None), nn.Module):
            raise Incompatible(
                f"{self.title()} continues from the weights of one network, and "
                f"{type(teacher).__name__} has none"
            )
        return self._with(start=teacher, share=share)

    def begun(self, build: Callable[[], Module]) -> Module:
        """The network to train: a copy of that of ``start``, or ``build()`` where there is none."""
        if self.start is None:
            return build()
        module: Module = copy.deepcopy(self.start.module).requires_grad_(True)
        return module

    @property
    def schedule(self) -> Schedule:
        """The schedule of one fit."""
        steps: float | None = self.steps
        epochs = self.epochs
        if steps is None and epochs is None:
            steps, epochs = self.usual.get("steps"), self.usual.get("epochs")
        return Schedule(
            steps=None if steps is None else max(1, round(self.share * steps)),
            epochs=None if epochs is None else self.share * epochs,
            batch=self.batch,
            lr=self.lr,
            warmup=self.warmup,
            cosine=self.cosine,
            decay=self.decay,
            clip=self.clip,
            micro=self.micro,
        )
