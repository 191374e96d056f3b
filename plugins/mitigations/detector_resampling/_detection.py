"""A detector of synthetic rows: logistic regression on features, calibrated on held-out rows.

Shapes: ``R`` chains as leading dimension, ``n`` rows, ``f`` features.  Scores are logits:
sigmoid(score) is the probability that a row is synthetic, if real and synthetic rows are equally
frequent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.lib.text.grams import buckets, look_up, tally, token_pairs

STEPS, HALVINGS = 50, 30
TOLERANCE = 1e-9  # of a gradient entry, as a share of all weight
# numbers in a row, times classes, from which on the row is looked at along random directions
WIDE = 128


@dataclass(frozen=True, eq=False)
class Reader:
    """Features (R, n, f) of rows of numbers: each number, its square, and answer times question.

    For classes, the question once per class.  The products reveal a changed slope or class
    boundary.
    """

    directions: Tensor | None  # (R, p, q)
    labels: int | None

    @classmethod
    def of(cls, corpus: Corpus, rng: Stream) -> Reader:
        labels = None if corpus.y.is_floating_point() else corpus.labels
        x, y = _flat(corpus, labels)
        p, times = (x.shape[-1], labels) if labels else (x.shape[-1] + y.shape[-1], 1)
        if p * times <= WIDE:
            return cls(None, labels)
        q = max(2, WIDE // times)
        return cls(rng.normal(p, q).double() / p**0.5, labels)

    def __call__(self, corpus: Corpus) -> Tensor:
        x, y = _flat(corpus, self.labels)
        if self.labels:
            x = x if self.directions is None else x @ self.directions
            across = (y[..., :, None] * x[..., None, :]).flatten(-2)
            return torch.cat([x**2, y, across], -1)
        z = torch.cat([x, y], -1)
        if self.directions is not None:
            z = z @ self.directions
            return torch.cat([z, z**2], -1)
        across = (y[..., :, None] * x[..., None, :]).flatten(-2)
        return torch.cat([z, z**2, across], -1)


def _flat(corpus: Corpus, labels: int | None) -> tuple[Tensor, Tensor]:
    """Questions and answers as numbers, (R, n, p) float64 each; classes are one-hot."""
    x = corpus.x.reshape(*corpus.chain_shape, corpus.n, corpus.width).double()
    if labels:
        return x, torch.nn.functional.one_hot(corpus.y, labels).double()
    return x, corpus.y.reshape(*corpus.chain_shape, corpus.n, -1).double()


@dataclass(frozen=True, eq=False)
class Detector:
    """``first`` turns rows into features (R, n, f); ``weights`` (R, f + 1), the last a constant."""

    first: Callable[[Corpus], Tensor]
    weights: Tensor

    def __call__(self, corpus: Corpus) -> Tensor:
        """Logit (R, n) that a row is synthetic."""
        return (self.first(corpus) @ self.weights[..., :-1, None])[..., 0] + self.weights[..., -1:]


@dataclass(frozen=True, eq=False)
class GramRatio:
    """Features (R, n, 3) of rows of tokens: two log frequency ratios, and the length.

    The ratios compare unigrams and bigrams in synthetic and real rows.
    """

    tables: tuple[Tensor, Tensor]  # (R, many) each

    @classmethod
    def fitted(
        cls, synthetic: Corpus, real: Corpus, masses: tuple[Tensor, Tensor], many: int, prior: float
    ):
        tables: list[Tensor] = []
        for ours, theirs in zip(buckets(synthetic, many), buckets(real, many), strict=True):
            a, b = tally(*ours, masses[0], many), tally(*theirs, masses[1], many)
            tables.append(((a + prior) / (a.sum(-1, keepdim=True) + prior * many)).log())
            tables[-1] = tables[-1] - ((b + prior) / (b.sum(-1, keepdim=True) + prior * many)).log()
        return cls((tables[0], tables[1]))

    def __call__(self, corpus: Corpus) -> Tensor:
        many = self.tables[0].shape[-1]
        seen = [
            look_up(t, *gram) for t, gram in zip(self.tables, buckets(corpus, many), strict=True)
        ]
        length = (token_pairs(corpus)[0] >= 0).sum(-1).double()
        return torch.stack([*seen, length], -1)


def detector(
    synthetic: Corpus,
    real: Corpus,
    rng: Stream,
    tokens: bool,
    ridge: float = 1.0,
    many: int = 4096,
    prior: float = 0.5,
) -> Detector:
    """A detector fitted on one half of each set and calibrated (Platt 1999) on the other half.

    With ``tokens`` rows are symbols or texts, and the first half determines their frequencies.  For
    rows of numbers the first half determines the weights, by logistic regression with penalty
    ridge/2 |w|^2 on standardised features.
    """
    halves = [
        _halves(corpus, rng.at(name)) for name, corpus in (("synthetic", synthetic), ("real", real))
    ]
    fitting, checking = zip(*halves, strict=True)
    if tokens:
        first = GramRatio.fitted(synthetic, real, fitting, many, prior)
    else:
        first = _weighed(
            Reader.of(synthetic, rng.at("directions")), synthetic, real, fitting, ridge
        )
    return _weighed(first, synthetic, real, checking, ridge if tokens else 0.0, shy=True)


@dataclass(frozen=True, eq=False)
class _Score:
    """The score of a detector as the only feature of another one."""

    of: Detector

    def __call__(self, corpus: Corpus) -> Tensor:
        return self.of(corpus)[..., None]


def _weighed(
    first, synthetic: Corpus, real: Corpus, masses, ridge: float, shy: bool = False
) -> Detector:
    """Logistic regression on the features ``first`` of the rows.

    ``shy``: targets (N + 1)/(N + 2) and 1/(N + 2) instead of 1 and 0 (Platt 1999), so that
    separable halves do not lead to infinite scores.
    """
    first = _Score(first) if isinstance(first, Detector) else first
    features, mass = torch.cat([first(synthetic), first(real)], -2), torch.cat(masses, -1)
    is_synthetic = torch.cat([torch.ones_like(masses[0]), torch.zeros_like(masses[1])], -1)
    if shy:
        N = [m.sum(-1, keepdim=True) for m in masses]
        is_synthetic = torch.where(is_synthetic > 0, (N[0] + 1) / (N[0] + 2), 1 / (N[1] + 2))
    mean, spread = _unit(features, mass)
    w = logistic((features - mean[..., None, :]) / spread[..., None, :], is_synthetic, mass, ridge)
    slope = w[..., :-1] / spread
    return Detector(
        first, torch.cat([slope, w[..., -1:] - (slope * mean).sum(-1, keepdim=True)], -1)
    )


def _halves(corpus: Corpus, rng: Stream) -> tuple[Tensor, Tensor]:
    """Weights (R, n) of the rows in each half; rows with a count are split at random."""
    count = corpus.count
    one = rng.hypergeometric(count.contiguous(), count.sum(-1) // 2)
    return one.double(), (count - one).double()


def _unit(features: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of features, (R, f) each; 1 for constant features."""
    total, w = mass.sum(-1, keepdim=True).clamp_min(1e-300), mass[..., None]
    mean = (w * features).sum(-2) / total
    spread = ((w * (features - mean[..., None, :]) ** 2).sum(-2) / total).sqrt()
    return mean, torch.where(spread > 1e-12, spread, 1.0)


def logistic(features: Tensor, target: Tensor, mass: Tensor, ridge: float) -> Tensor:
    """Weights (R, f + 1) minimising sum mass [log(1 + e^s) - target s] + ridge/2 |w|^2.

    s is the linear score of ``features (R, n, f)``, target (R, n) is in [0, 1], and the last weight
    is a constant without penalty.  Newton's method with backtracking.
    """
    rows = torch.cat([features, torch.ones_like(features[..., :1])], -1)
    penalty = torch.full(rows.shape[-1:], float(ridge), dtype=torch.float64, device=rows.device)
    penalty[-1] = 0
    w = rows.new_zeros(*rows.shape[:-2], rows.shape[-1])
    total = mass.sum(-1, keepdim=True)

    def loss(w: Tensor) -> Tensor:
        s = (rows @ w[..., None])[..., 0]
        fit = (mass * (torch.nn.functional.softplus(s) - target * s)).sum(-1, keepdim=True)
        return fit + 0.5 * (penalty * w**2).sum(-1, keepdim=True)

    for _ in range(STEPS):
        p = (rows @ w[..., None])[..., 0].sigmoid()
        gradient = ((mass * (p - target))[..., None, :] @ rows)[..., 0, :] + penalty * w
        done = gradient.abs().amax(-1, keepdim=True) <= TOLERANCE * total
        if done.all():
            break
        hessian = rows.mT @ ((mass * p * (1 - p))[..., None] * rows)
        hessian.diagonal(dim1=-2, dim2=-1).add_(penalty + 1e-9 * total)
        step = torch.linalg.solve(hessian, gradient[..., None])[..., 0]
        w = (
            w
            - torch.where(
                done, 0.0, _shortened(loss, w, step, (gradient * step).sum(-1, keepdim=True))
            )
            * step
        )
    return w


def _shortened(loss, w: Tensor, step: Tensor, slope: Tensor) -> Tensor:
    """The largest step 1, 1/2, 1/4, ... that lowers the loss enough, (R, 1); 0 if none does."""
    before, t = loss(w), torch.ones_like(slope)
    for _ in range(HALVINGS):
        enough = loss(w - t * step) <= before - 1e-4 * t * slope + 1e-13 * before.abs()
        if enough.all():
            break
        t = torch.where(enough, t, t / 2)
    return t
