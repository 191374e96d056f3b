"""A mixture of Gaussians fitted by expectation-maximisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import REPLACE, Model
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim, fits, recursion
from collapse_bench.lib.distributions.gaussians import GaussianTeacher, fitted, root_of
from collapse_bench.lib.distributions.mixtures import MixtureTeacher
from collapse_bench.lib.rows.neighbours import closest, comparable
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian

BUDGET = 1 << 22  # numbers of one kind in work at a time
STEPS = 50  # most rounds of k-means, which usually converges long before


@dataclass(frozen=True)
class MixtureFit(Model):
    """Maximum likelihood of ``components`` Gaussians, by EM (Dempster, Laird and Rubin 1977) from a
    fixed start.

    Centres are chosen one by one, each the row that is farthest from the earlier ones (the first:
    from the mean), and refined by k-means.  Nothing is random, so that one training set gives one
    teacher.  The variance of a component in any direction is at least ``floor`` times the mean
    variance of the rows:  otherwise a component on one row has an infinite likelihood.  The clipped
    covariance is the best one under this bound, so that no step lowers the likelihood.  A component
    without rows keeps weight 0.

    With one component it equals gaussian-fit(ddof=0).
    """

    components: int = param(2, "number of components", ge=1, le=1000)
    iterations: int = param(
        100, "largest number of EM steps; 0 keeps the clusters of k-means", ge=0, le=100_000
    )
    tolerance: float = param(
        1e-6, "EM stops when a step gains less log-likelihood per row than this, in nats", ge=0
    )
    floor: float = param(
        1e-4, "smallest variance in any direction, as a share of the mean variance", gt=0, lt=1
    )

    kinds = ("density",)
    vectorized = True
    version = 2
    estimator = "mixture-fit"

    def fit(self, corpus: Corpus, rng, before=None) -> MixtureTeacher | GaussianTeacher:
        overall = fitted(corpus)
        if self.components == 1:
            return overall
        chain_shape, d = corpus.chain_shape, overall.mean.shape[-1]
        rows = corpus.y.reshape(math.prod(chain_shape), corpus.n, d).double()
        mass = corpus.multiplicity.reshape(len(rows), corpus.n)
        least = self.floor * overall.factor.pow(2).sum((-2, -1)).reshape(-1) / d
        pieces = zip(
            *(value.split(self._side_by_side(rows)) for value in (rows, mass, least)), strict=True
        )
        found = [self._learnt(*piece) for piece in pieces]
        flat = (
            torch.cat(values)
            for values in zip(*((t.weight, t.mean, t.factor) for t in found), strict=True)
        )
        return MixtureTeacher(*(value.reshape(*chain_shape, *value.shape[1:]) for value in flat))

    def _side_by_side(self, rows: Tensor) -> int:
        """How many chains fit the budget."""
        return max(1, BUDGET // (self.components * rows.shape[-2:].numel()))

    def _learnt(self, rows: Tensor, mass: Tensor, least: Tensor) -> MixtureTeacher:
        """rows (B, n, d), mass (B, n), least variance (B,).  Each chain ends at its own step."""
        now = _maximised(rows, _k_means(rows, mass, self.components), mass, least)
        todo, last = torch.arange(len(rows), device=rows.device), torch.full_like(least, -torch.inf)
        for _ in range(self.iterations):
            some, weighed = rows[todo], mass[todo]
            parts = _some(now, todo).parts(some)
            total = parts.logsumexp(-2, keepdim=True)
            likelihood = (weighed * total[..., 0, :]).sum(-1) / weighed.sum(-1)
            go = likelihood - last > self.tolerance
            todo, last = todo[go], likelihood[go]
            if not len(todo):
                break
            share = (parts - total).exp()[go]
            better = _maximised(some[go], share, weighed[go], least[todo], _some(now, todo).mean)
            for value, new in zip(
                (now.weight, now.mean, now.factor), _tensors(better), strict=True
            ):
                value[todo] = new
        return now


def _tensors(teacher: MixtureTeacher) -> tuple[Tensor, Tensor, Tensor]:
    return teacher.weight, teacher.mean, teacher.factor


def _some(teacher: MixtureTeacher, which: Tensor) -> MixtureTeacher:
    """The teachers of some chains."""
    return MixtureTeacher(*(value[which] for value in _tensors(teacher)))


def _k_means(rows: Tensor, mass: Tensor, K: int) -> Tensor:
    """Assignment of rows to K centers as 0 and 1, (B, K, n): farthest-first, then Lloyd's steps."""
    there, weight = mass > 0, mass[..., None]
    centre = (weight * rows).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True)
    gap, chosen = torch.linalg.vector_norm(rows - centre, dim=-1), []
    for k in range(K):
        far = torch.where(there, comparable(gap, rows), -1.0).argmax(-1)[:, None, None]
        chosen.append(rows.gather(-2, far.expand(-1, 1, rows.shape[-1])))
        new = torch.linalg.vector_norm(rows - chosen[-1], dim=-1)
        gap = torch.minimum(gap, new) if k else new
    centres, belongs = torch.cat(chosen, -2), None
    for _ in range(STEPS):
        nearest = closest(rows, centres)
        if belongs is not None and torch.equal(nearest, belongs):
            break
        belongs = nearest
        share = torch.nn.functional.one_hot(belongs, K).mT.double()
        centres = _means(rows, share * mass[:, None, :], centres)
    return share


def _means(rows: Tensor, mass: Tensor, empty: Tensor) -> Tensor:
    """Mean of the rows under each of K masses (B, K, n); ``empty`` (B, K, d) without rows."""
    total = mass.sum(-1, keepdim=True)
    return torch.where(total > 0, (mass @ rows) / total.clamp_min(1e-300), empty)


def _maximised(
    rows: Tensor, share: Tensor, mass: Tensor, least: Tensor, empty: Tensor | None = None
) -> MixtureTeacher:
    """The likeliest components, row i belonging to component k by share (B, K, n)."""
    mass = share * mass[:, None, :]
    total = mass.sum(-1)
    mean = _means(rows, mass, rows[:, :1] if empty is None else empty)
    gap = rows[:, None] - mean[..., None, :]  # (B, K, n, d)
    scatter = (mass[..., None] * gap).mT @ gap / total.clamp_min(1e-300)[..., None, None]
    return MixtureTeacher(total / total.sum(-1, keepdim=True), mean, _clipped(scatter, least))


def _clipped(covariance: Tensor, least: Tensor) -> Tensor:
    """Factor of covariances (B, K, d, d), eigenvalues raised to at least ``least`` (B,)."""
    least = least.clamp_min(1e-250)[:, None, None, None]
    if covariance.shape[-1] == 1:
        return covariance.maximum(least).sqrt()
    factor, flaw = torch.linalg.cholesky_ex(covariance)
    thick = torch.linalg.cholesky_ex(
        covariance - least * torch.eye(covariance.shape[-1], device=least.device)
    ).info
    thin = (flaw > 0) | (thick > 0)
    if thin.any():
        values, vectors = torch.linalg.eigh(covariance[thin])
        values = values.maximum(least[..., 0, 0].expand_as(thin)[thin][:, None])
        factor[thin] = root_of((vectors * values.sqrt()[..., None, :]).mT)
    return factor


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """One component with d = 1: the exact risk of the maximum-likelihood Gaussian under replace."""
    data = cell.data
    if recursion(cell) != ("mixture-fit", REPLACE) or data.distribution != "gaussian":
        return None
    if cell.model.components > 1 or data.d > 1:
        return None
    growth = 0.0 if cell.nature else cell.growth
    return [
        gaussian.w2_mean(sizes[0], len(sizes), data.sigma, growth, ddof=0)
        if sizes[0] > 1
        else math.nan
        for sizes in fits(cell)
    ]


@hookimpl
def collapse_claims():
    def one(law, metric, M, k, **more):
        """One component is the Gaussian of maximum likelihood."""
        spec = f"gaussian | mixture-fit(components=1) | replace @ n={M} T={k - 1}"
        return Claim(
            f"gaussian.{law}", {"M": M, "k": k, "ddof": 0}, spec, metric, k - 1, 8000, **more
        )

    return [one("w2_mean", "w2", 12, 6), one("logsigma_mean", "log_variance", 12, 6, times=2.0)]


@hookimpl
def collapse_models():
    return {"mixture-fit": MixtureFit}
