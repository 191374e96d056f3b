"""A control `trivial` for points, for tests where no plugin of this name is installed."""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, Model, Teacher, hookimpl


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


@hookimpl
def collapse_mitigations():
    return {"trivial": Trivial}
