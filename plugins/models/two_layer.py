"""A small two-layer network, both layers trained by a stochastic optimiser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import Model, Teacher, param


@dataclass(frozen=True)
class TwoLayer(Model):
    """f(x) = V relu(W x + b) + c, by Adam with decoupled weight decay on batches, from a new random start in every fit.

    Labels are fitted by cross-entropy, and the largest score is the answer; numbers by squared error.  Each batch
    minimises the mean of its losses times the weights of its rows, which are scaled to a mean of one.  Float32.
    """

    width: int = param(200, "hidden units", ge=1, le=100_000)
    steps: int = param(500, "steps of the optimiser", ge=1)
    batch: int = param(64, "rows per step", ge=1)
    lr: float = param(1e-3, "learning rate", gt=0)
    decay: float = param(0.0, "weight decay", ge=0)

    kinds = ("regression", "classification")
    exact = False
    tiny = {"width": 8, "steps": 8}

    def fit(self, corpus, rng, before=None):
        there = corpus.multiplicity > 0
        x, y, weight = corpus.x[there].flatten(1).float(), corpus.y[there], corpus.multiplicity[there].float()
        weight = weight / weight.mean()
        labels = not y.is_floating_point()
        y = y if labels else y.float()
        outputs = (corpus.labels or int(y.max()) + 1) if labels else 1
        generator = rng.torch_generator()
        layers = _start(x.shape[1], self.width, outputs, generator)
        optimiser = torch.optim.AdamW(layers, lr=self.lr, weight_decay=self.decay, fused=True)
        for rows in _batches(len(x), self.batch, self.steps, generator):
            scores = _scores(layers, x[rows])
            loss = cross_entropy(scores, y[rows], reduction="none") if labels else (scores[:, 0] - y[rows]) ** 2
            optimiser.zero_grad()
            (weight[rows] * loss).mean().backward()
            optimiser.step()
        return NetworkTeacher(tuple(layer.detach() for layer in layers), labels)


@dataclass(frozen=True, eq=False)
class NetworkTeacher(Teacher):
    """layers: W^T (d, width), b (width,), V^T (width, K), c (K,)."""

    layers: tuple[Tensor, ...]
    labels: bool

    def expect(self, x):
        with torch.no_grad():
            scores = _scores(self.layers, x.flatten(1).float()).double()
        return scores if self.labels else scores[:, 0]

    def answer(self, x, rng):
        scores = self.expect(x)
        return scores.argmax(-1) if self.labels else scores


def _start(d: int, width: int, outputs: int, generator: torch.Generator) -> list[Tensor]:
    """He's start for the hidden layer, and one of unit variance over it for the other."""
    place = {"generator": generator, "device": generator.device}
    W = torch.randn(d, width, **place) * (2 / d) ** 0.5
    V = torch.randn(width, outputs, **place) * width**-0.5
    b, c = (torch.zeros(many, device=generator.device) for many in (width, outputs))
    return [layer.requires_grad_() for layer in (W, b, V, c)]


def _scores(layers, x: Tensor) -> Tensor:
    W, b, V, c = layers
    return torch.relu(x @ W + b) @ V + c


def _batches(n: int, size: int, steps: int, generator: torch.Generator):
    """``steps`` batches of at most ``size`` row numbers, in passes over all rows in a new order each."""
    done = 0
    while done < steps:
        for rows in torch.randperm(n, generator=generator, device=generator.device).split(size):
            if done < steps:
                yield rows
                done += 1


@hookimpl
def collapse_models():
    return {"two-layer": TwoLayer}
