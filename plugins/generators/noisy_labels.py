"""A flawed annotator: the true label, but another label with probability p."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import DataGenerator
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NoisyLabels(DataGenerator):
    """A first teacher for data with classes: ``first=noisy-labels(p=0.3)``; it is not data itself.

    It gives the true label and, with probability p for every question, another label chosen
    uniformly.
    """

    p: float = param(0.1, "probability that a label is wrong", ge=0, le=1)

    kind = "classification"
    distribution = "noisy-labels"

    def incompatibility(self, cell):
        if cell.data is self:
            return (
                "noisy-labels has no questions of its own; "
                "give it as the first teacher, first=noisy-labels(p=0.3)"
            )
        return super().incompatibility(cell)

    def sample_truth(self, rng, nature=None):
        if nature is None:
            raise Incompatible(
                "noisy-labels needs data with labels; give it as first=noisy-labels(p=0.3)"
            )
        return self.with_truth(nature=nature)

    def trivial(self):
        return self.truth.nature.trivial()

    def answer(self, x, rng):
        right, n = self.truth.nature.answer(x, rng.at("right")), x.shape[len(rng.chain_shape)]
        labels = self.truth.nature.labels
        other = (right + 1 + rng.at("other").integers(labels - 1, n)) % labels
        return torch.where(rng.at("luck").uniform(n) < self.p, other, right)


@hookimpl
def collapse_generators():
    return {"noisy-labels": NoisyLabels}
