"""Networks whose output is the answer: scores of classes, or one number."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...core.components import Kind, Teacher
from ...core.corpus import Corpus
from .layers import Module, started
from .neural import Neural, validation_loss
from .training import train

ROWS = 1 << 12  # rows per forward pass without a gradient


@dataclass(frozen=True)
class Network(Neural):
    """f(x) by a network that the subclass builds, with new random weights in every fit.

    Labels are fitted by cross-entropy, or the loss of ``with_loss``, and the largest score is the
    answer.  Numbers are fitted by squared error.
    """

    kinds: ClassVar[tuple[Kind, ...] | None] = ("regression", "classification")

    def built(self, inputs: int, outputs: int) -> nn.Module:
        """The network, from rows (n, inputs) to (n, outputs)."""
        raise NotImplementedError

    def fit(self, corpus: Corpus, rng, before=None) -> NetworkTeacher:
        labels, weight = not corpus.y.is_floating_point(), corpus.multiplicity
        outputs = (corpus.labels or int(corpus.y[weight > 0].max()) + 1) if labels else 1
        x, generator = corpus.x.flatten(1).float(), rng.torch_generator()
        module = self.begun(lambda: started(lambda: self.built(x.shape[1], outputs), generator))
        losses = self._losses(module, x, corpus.y, labels)
        account = train(
            module, losses, weight, None, self.schedule, generator, self._validation(module, labels)
        )
        return NetworkTeacher(module, labels, account)

    def _losses(
        self, module: nn.Module, x: Tensor, y: Tensor, labels: bool
    ) -> Callable[[Tensor], Tensor]:
        """A function of row numbers (b,) that gives their losses (b,)."""
        if labels:
            return lambda rows: self.answer_loss(module(x[rows]).log_softmax(-1), y[rows])
        y = y.float()
        return lambda rows: (module(x[rows])[:, 0] - y[rows]).square()

    def _validation(self, module: nn.Module, labels: bool) -> Callable[[], float] | None:
        corpus = self.validation_rows
        if corpus is None:
            return None
        x, y, share = corpus.x.flatten(1).float(), corpus.y, corpus.multiplicity / corpus.mass
        if labels:
            return lambda: float(
                validation_loss(passed(module, x).double().log_softmax(-1), y, share)
            )
        return lambda: float((share * (passed(module, x)[:, 0] - y).square()).sum())


@dataclass(frozen=True, eq=False)
class NetworkTeacher(Teacher):
    """A teacher whose ``module`` maps rows (n, inputs) to scores (n, K) of labels, or to (n, 1)."""

    module: nn.Module
    labels: bool
    account: Mapping[str, float] = field(default_factory=dict)

    def mean_answer(self, x: Tensor) -> Tensor:
        scores = passed(self.module, x.flatten(1).float()).double()
        return scores if self.labels else scores[:, 0]

    def answer(self, x: Tensor, rng) -> Tensor:
        scores = self.mean_answer(x)
        return scores.argmax(-1) if self.labels else scores

    def blend(self, other: NetworkTeacher, w: float) -> NetworkTeacher:
        """The teacher with every weight averaged."""
        return NetworkTeacher(blended(self.module, other.module, w), self.labels)


def passed(module: nn.Module, x: Tensor) -> Tensor:
    """Apply the module to rows x (n, ...), ``ROWS`` at a time, without a gradient, in float32."""
    with torch.no_grad():
        return torch.cat([module(part) for part in x.split(ROWS)]) if len(x) else module(x)


def blended(one: Module, other: Module, w: float) -> Module:
    """A module with (1 - w) times the parameters of ``one`` plus w times those of ``other``."""
    module = copy.deepcopy(one)
    with torch.no_grad():
        for own, theirs in zip(module.parameters(), other.parameters(), strict=True):
            own.lerp_(theirs, w)
    return module
