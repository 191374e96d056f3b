"""Plugins for tests of the board, offered in the process, so that no worker is started for them."""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, Model, Teacher
from collapse_bench.plugins.mitigations.weight_averaging import WeightAveraging


class Standard(Teacher):
    """A law that has read nothing, far from the data."""

    linear = True

    def __init__(self, chains, d, spread=9.0):
        self.mean = torch.zeros(*chains, d, dtype=torch.float64)
        self.factor = spread * torch.eye(d, dtype=torch.float64).expand(*chains, d, d)

    def answer(self, x, rng):
        return rng.normal(x.shape[-2], self.mean.shape[-1]) * 9.0

    def mean_and_factor(self):
        return self.mean, self.factor


@dataclass(frozen=True)
class Knows(Model):
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return Standard(corpus.chain_shape, corpus.y.shape[-1])


@dataclass(frozen=True)
class Trivial(Mitigation):
    kinds = ("density",)

    def adapt(self, model, access):
        return Knows()


@dataclass(frozen=True)
class Picky(Mitigation):
    """Declines everything, by a sentence of its own."""

    def incompatibility(self, cell):
        return "picky would rather not"


@dataclass(frozen=True)
class Tunable(WeightAveraging):
    """A method with three configurations."""

    tunings = ({"a": 0.1}, {"a": 0.9})


def offer(patch, registry):
    """Add those whose names are free to a registry, until ``patch`` is undone."""
    for name, cls in (("trivial", Trivial), ("picky", Picky), ("tunable", Tunable)):
        if name not in registry.classes["mitigation"]:
            patch.setattr(cls, "name", name)
            patch.setitem(registry.classes["mitigation"], name, cls)
