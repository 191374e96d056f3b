"""Ridge regression on random features: a two-layer network with a random, untrained first layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, Lacking
from collapse_bench.lib.rounding import settled
from collapse_bench.registry.hookspecs import hookimpl

from ._nested import RANK, shortest

BUDGET = 1 << 23  # bytes of features per chunk
THIN = 1e7  # largest trace over penalty for the normal equations, which square the condition number
GRID = tuple(10.0**k for k in range(-4, 4))  # candidate factors on lam for validation

ACTIVATIONS = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "erf": lambda z: z.erf_(),
    "cos": lambda z: z.cos_().mul_(math.sqrt(2)),
    "linear": lambda z: z,
}


@dataclass(frozen=True)
class RandomFeatures(Model):
    """Ridge regression on features phi(x) = act(x F / sqrt(d) + b), F and b standard normal:

        min over v of  (1/N) sum_i w_i |phi(x_i) v - y_i|^2 + lam |v|^2,    N = sum_i w_i.

    With ``cos``, b is uniform on [0, 2 pi) and phi is scaled by sqrt 2, so that phi.phi / width
    tends to the Gaussian kernel exp(-|x - x'|^2 / 2d) (Rahimi and Recht 2007); ``linear`` has no b,
    and is the random projection of Dohmatob et al. (arXiv 2410.04840).  lam = 0 gives the shortest
    v of least error.  Labels are fitted as one-hot rows, and the largest score is the answer; a
    label that was not read is never answered.

    New features are drawn in every fit; ``kept=true`` keeps those of the first generation, so that
    teachers of several generations can be blended.
    """

    width: int = param(200, "number of features", ge=1, le=100_000)
    lam: float = param(1e-3, "ridge penalty, added to a mean over rows", ge=0)
    activation: Literal["relu", "tanh", "erf", "cos", "linear"] = param("relu", "act")
    kept: bool = param(
        False, "keep the features of the first generation; false: new ones in every fit"
    )

    kinds = ("regression", "classification")
    vectorized = True

    @property
    def estimator(self):
        return "random-projection" if self.activation == "linear" else None

    def fit(self, corpus: Corpus, rng, before=None) -> FeatureTeacher:
        training_set = _Lesson.of(corpus)
        features = self._features(training_set.x.shape[-1], rng, before)
        lam = self._penalty(training_set, features)
        return training_set.taught(features, _ridge(training_set, features, lam))

    def with_validation(self, corpus: Corpus) -> Validated:
        own = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(RandomFeatures)
        }
        return Validated(**own, rows=corpus)

    def _features(self, d: int, rng: Stream, before: Teacher | None) -> Features:
        if self.kept and isinstance(before, FeatureTeacher) and before.features.like(d, self):
            return before.features
        F, b = rng.at("F").normal(d, self.width), None
        if self.activation == "cos":
            b = 2 * math.pi * rng.at("b").uniform(self.width)
        elif self.activation != "linear":
            b = rng.at("b").normal(self.width).double()
        return Features(F, b, self.activation, self.kept)

    def _penalty(self, training_set: _Lesson, features: Features) -> Tensor:
        """lam of each chain, flattened."""
        return torch.full_like(training_set.mass, self.lam)


@dataclass(frozen=True)
class Validated(RandomFeatures):
    """Random features whose lam is tuned per chain, over GRID times lam, on given rows."""

    rows: Corpus | None = None

    def _penalty(self, training_set, features):
        grid = (self.lam or 1e-3) * torch.tensor(
            GRID, dtype=torch.float64, device=training_set.mass.device
        )
        held = _Lesson.of(self.rows, training_set.outputs)
        return grid[settled(_losses(training_set, held, features, grid)).argmin(-1)]


# -- features and teacher --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Features:
    """phi: F (R, d, width) float32 as drawn, b (R, width) float64 or None; computed in float64."""

    F: Tensor
    b: Tensor | None
    activation: str
    kept: bool = False  # whether later generations have them too

    @property
    def chain_shape(self) -> tuple[int, ...]:
        return tuple(self.F.shape[:-2])

    @property
    def width(self) -> int:
        return self.F.shape[-1]

    def like(self, d: int, model: RandomFeatures) -> bool:
        """Whether the model would draw features of this shape."""
        return (*self.F.shape[-2:], self.activation) == (d, model.width, model.activation)

    def of(self, x: Tensor, r: slice, i: slice = slice(None)) -> Tensor:
        """phi of the rows i of the chains r of x (B, n, d), chains flattened."""
        F = self.F.reshape(-1, *self.F.shape[-2:])[r].double() / math.sqrt(self.F.shape[-2])
        z = x[r, i].double() @ F
        if self.b is not None:
            z += self.b.reshape(-1, 1, self.width)[r]
        return ACTIVATIONS[self.activation](z)


@dataclass(frozen=True, eq=False)
class FeatureTeacher(Teacher):
    """phi(x) v, with v (R, width, K) float64; ``seen`` (R, K) says which labels were read, None for
    numbers."""

    features: Features
    v: Tensor
    seen: Tensor | None
    scalar: bool  # True where an answer is one number

    @property
    def linear(self) -> bool:
        return self.features.activation == "linear" and self.seen is None

    def mean_answer(self, x):
        chain_shape, K = self.features.chain_shape, self.v.shape[-1]
        flat, v = _flat(x, chain_shape), self.v.reshape(-1, *self.v.shape[-2:])
        out = v.new_empty(*flat.shape[:2], K)
        for r, i in _blocks(*flat.shape[:2], flat.shape[-1] + self.features.width):
            torch.bmm(self.features.of(flat, r, i), v[r], out=out[r, i])
        out = out.reshape(*chain_shape, -1, K)
        if self.seen is None:
            return out[..., 0] if self.scalar else out
        return out if self.seen.all() else _below(out, self.seen)

    def answer(self, x, rng):
        scores = self.mean_answer(x)
        return scores if self.seen is None else scores.argmax(-1)

    def blend(self, other, w):
        """v averaged.  Raises Incompatible unless both share kept features."""
        if not self.features.kept:
            raise Lacking(
                "random features that were drawn again cannot be averaged; keep those of the first "
                "generation with random-features(kept=true)",
                type(self),
            )
        alike = isinstance(other, FeatureTeacher) and (self.seen is None) is (other.seen is None)
        if not alike or not _same(self.features, other.features):
            raise Incompatible("teachers of different random features cannot be averaged")
        K = max(self.v.shape[-1], other.v.shape[-1])
        v = torch.lerp(_widened(self.v, K), _widened(other.v, K), w)
        seen = None if self.seen is None else _widened(self.seen, K) | _widened(other.seen, K)
        return FeatureTeacher(self.features, v, seen, self.scalar)


def _below(scores: Tensor, seen: Tensor) -> Tensor:
    """Scores (R, n, K) with those of labels never seen just below the least of the others, and
    below 0."""
    seen = seen[..., None, :]
    least = torch.where(seen, scores, torch.inf).amin(-1, keepdim=True).clamp_max(0)
    return torch.where(seen, scores, least - 1e-6 * (1 + least.abs()))


def _same(one: Features, other: Features) -> bool:
    return one is other or (
        one.activation == other.activation
        and torch.equal(one.F, other.F)
        and (
            one.b is other.b
            or (one.b is not None and other.b is not None and torch.equal(one.b, other.b))
        )
    )


def _widened(value: Tensor, K: int) -> Tensor:
    return torch.cat([value, value.new_zeros(*value.shape[:-1], K - value.shape[-1])], -1)


# -- the training set ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Lesson:
    """Rows as the solver takes them, chains flattened to B."""

    x: Tensor  # (B, n, d)
    y: Tensor  # (B, n, K) float64; labels as one-hot rows
    root: Tensor | None  # (B, n, 1) root of the multiplicity, None where it is one throughout
    mass: Tensor  # (B,)
    seen: Tensor | None  # (B, K) labels of positive weight, None off labels
    scalar: bool
    chain_shape: tuple[int, ...]

    @classmethod
    def of(cls, corpus: Corpus, outputs: int = 0) -> _Lesson:
        """``outputs``: least number of columns for labels, where their number is not known."""
        chain_shape = corpus.chain_shape
        x, y = _flat(corpus.x, chain_shape), corpus.y
        scalar, labels = y.ndim == len(chain_shape) + 1, not y.is_floating_point()
        y = y.reshape(*x.shape[:2], -1)
        w = None if corpus.unit else corpus.multiplicity.reshape(*x.shape[:2])
        mass = (
            torch.full(x.shape[:1], x.shape[1], dtype=torch.float64, device=x.device)
            if w is None
            else w.sum(-1)
        )
        seen = None
        if labels:
            # rows of weight 0 are absent, whatever their label
            y = y[..., 0] if w is None else torch.where(w > 0, y[..., 0], 0)
            K = corpus.labels or max(outputs, int(y.max()) + 1)
            y = torch.nn.functional.one_hot(y, K)
            seen = (y if w is None else y * (w > 0)[..., None]).any(-2)
        return cls(
            x,
            y.double(),
            None if w is None else w.sqrt()[..., None],
            mass,
            seen,
            scalar,
            chain_shape,
        )

    @property
    def outputs(self) -> int:
        return self.y.shape[-1]

    def weighed(self, value: Tensor, r: slice, i: slice = slice(None)) -> Tensor:
        return value if self.root is None else value * self.root[r, i]

    def taught(self, features: Features, v: Tensor) -> FeatureTeacher:
        seen = self.seen if self.seen is None else self.seen.reshape(*self.chain_shape, -1)
        return FeatureTeacher(
            features, v.reshape(*self.chain_shape, *v.shape[1:]), seen, self.scalar
        )


def _flat(x: Tensor, chain_shape: tuple[int, ...]) -> Tensor:
    """x (R, n, ...) as (B, n, d)."""
    x = x.flatten(len(chain_shape) + 1)
    return x if len(chain_shape) == 1 else x.reshape(math.prod(chain_shape), *x.shape[-2:])


def _blocks(replicates: int, rows: int, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Slices of chains, and of rows within, whose ``numbers`` float64 per row fit the budget."""
    high = min(rows, max(1, BUDGET // (8 * numbers)))
    wide = max(1, BUDGET // (8 * numbers * max(high, 1)))
    for r in range(0, replicates, wide):
        for i in range(0, rows, max(high, 1)):
            yield slice(r, r + wide), slice(i, i + high)


# -- least squares ---------------------------------------------------------------------------------


def _ridge(training_set: _Lesson, features: Features, lam: Tensor) -> Tensor:
    """v (B, width, K) for penalties lam (B,); by orthogonal factors where badly conditioned."""
    penalty = lam * training_set.mass
    v = training_set.y.new_empty(len(penalty), features.width, training_set.outputs)
    for r, gram, right, phi in _normal(training_set, features):
        trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
        gram.diagonal(dim1=-2, dim2=-1).add_(penalty[r, None])
        u = torch.cholesky_solve(right, torch.linalg.cholesky_ex(gram).L)
        v[r] = u if phi is None else phi.mT @ u
        for k in (trace >= THIN * penalty[r]).nonzero()[:, 0].tolist():
            one = slice(r.start + k, r.start + k + 1)
            rows, y = (
                training_set.weighed(value, one)[0]
                for value in (features.of(training_set.x, one), training_set.y[one])
            )
            v[one] = _orthogonal(rows, y, penalty[one])
    return v


def _normal(
    training_set: _Lesson, features: Features
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """(chains, A^T A, A^T y, None) with A the weighed features; where rows are fewer (.., A A^T, y,
    A)."""
    B, n, d = training_set.x.shape
    m = features.width
    if n < m:
        for r, _ in _blocks(B, 1, n * (d + 3 * m)):
            phi = training_set.weighed(features.of(training_set.x, r), r)
            yield r, phi @ phi.mT, training_set.weighed(training_set.y[r], r), phi
        return
    for r, _ in _blocks(B, 1, m * m + min(n, m) * (d + 3 * m)):
        gram, right = torch.zeros(()), torch.zeros(())
        for _, i in _blocks(1, n, (r.stop - r.start) * (d + 3 * m)):
            phi, y = (
                training_set.weighed(features.of(training_set.x, r, i), r, i),
                training_set.weighed(training_set.y[r, i], r, i),
            )
            gram, right = gram + phi.mT @ phi, right + (y.mT @ phi).mT
        yield r, gram, right, None


def _orthogonal(A: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
    """argmin |A v - y|^2 + penalty |v|^2 for one chain: A (n, m), y (n, K); the shortest where
    several are least."""
    n, m = A.shape
    if not penalty and A.device.type == "cpu":
        return torch.from_numpy(shortest(A.numpy(), y.numpy(), [m])[0])
    s = penalty.sqrt()
    if n >= m:
        # a feature that is always 0 may have any penalty: its entry of the shortest v is 0
        slack = torch.where((A == 0).all(-2), 1.0, s).diag()
        stacked = torch.cat(
            [torch.cat([A, y], -1), torch.nn.functional.pad(slack, (0, y.shape[-1]))]
        )
        R = torch.linalg.qr(stacked, mode="r").R[:m]
        R, right = R[:, :m], R[:, m:]
        if _sound(R):
            return torch.linalg.solve_triangular(R, right, upper=True)
    else:
        # The least-norm (v, u) with A v + s u = y.  A row of weight 0 gets a slack variable that
        # becomes 0.
        slack = torch.where((A == 0).all(-1), 1.0, s).diag()
        Q, R = torch.linalg.qr(torch.cat([A.mT, slack]))
        if _sound(R):
            return (Q @ torch.linalg.solve_triangular(R.mT, y, upper=False))[:m]
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    inverse = torch.where(RANK * S[0] < S, S / (S**2 + penalty), 0.0)
    return Vh.mT @ (inverse[:, None] * (U.mT @ y))


def _sound(R: Tensor) -> bool:
    diagonal = R.diagonal().abs()
    return bool(diagonal.min() > RANK * diagonal.max())


def _losses(training_set: _Lesson, held: _Lesson, features: Features, grid: Tensor) -> Tensor:
    """Weighted squared error (B, len(grid)) on held-out rows, by one eigendecomposition."""
    losses = training_set.y.new_zeros(len(training_set.mass), len(grid))
    for r, gram, right, phi in _normal(training_set, features):
        values, vectors = torch.linalg.eigh(gram)
        u = vectors.mT @ right  # (b, k, K)
        basis = vectors if phi is None else phi.mT @ vectors
        for _, i in _blocks(
            1, held.x.shape[1], (r.stop - r.start) * (held.x.shape[-1] + 3 * features.width)
        ):
            seen = features.of(held.x, r, i) @ basis
            for k, lam in enumerate(grid):
                shrunk = u / (values.clamp_min(0) + lam * training_set.mass[r, None])[..., None]
                gap = _widened(seen @ shrunk, held.outputs) - held.y[r, i]
                losses[r, k] += (held.weighed(gap, r, i) ** 2).sum((-2, -1))
    return losses


@hookimpl
def collapse_models():
    return {"random-features": RandomFeatures}
