"""Linear classification in closed form: a teacher with linear scores, and sums by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.components import Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...core.sums import gram


@dataclass(frozen=True, eq=False)
class LinearClassifier(Teacher):
    """w (R, C, d) float64.  The answer is the class with the largest score x.w_c (no intercept)."""

    w: Tensor

    linear = True

    def mean_answer(self, x: Tensor) -> Tensor:
        return x.double() @ self.w.mT

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.mean_answer(x).argmax(-1)

    def blend(self, other: LinearClassifier, w: float) -> LinearClassifier:
        return LinearClassifier(torch.lerp(self.w, other.w, w))


def class_sums(corpus: Corpus) -> Tensor:
    """Weighted sum of the questions of each class, (R, C, d) float64."""
    classes = corpus.labels or int(corpus.y.max()) + 1
    labels = (
        torch.nn.functional.one_hot(corpus.y, classes).double() * corpus.multiplicity[..., None]
    )
    return labels.mT @ corpus.x.double()


def second_moments(corpus: Corpus) -> Tensor:
    """Weighted sum of x x^T, (R, d, d) float64."""
    return gram(
        corpus.x.double()
        if corpus.unit
        else corpus.x.double() * corpus.multiplicity.sqrt()[..., None]
    )
