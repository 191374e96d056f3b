"""Gaussian density in d dimensions: the task whose collapse is known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.corpus import Corpus
from collapse_bench.gaussians import GaussianTeacher
from collapse_bench.hookspecs import hookimpl
from collapse_bench.nouns import DataGenerator, param


@dataclass(frozen=True)
class Gaussian(DataGenerator):
    """Normal law with covariance eigenvalues sigma^2 j^-beta, j = 1..d; answers (R, n, d), questions of width 0.

    Per seed the mean is drawn from N(0, sigma^2 I) and the axes are a random rotation, so that neither can be known
    beforehand; ``truth=fixed`` puts the mean at 0 and the axes at the coordinate axes.

    Loss ``w2``: squared 2-Wasserstein distance between the teacher's Gaussian and the true one, in units of y^2
    (THEORY of the task: Shumailov et al. 2024; for any teacher the distance of Gaussians with its mean and
    covariance, i.e. the Frechet distance).  Described: log-variance (mean log-eigenvalue), and the mass that the
    teacher puts beyond 2 and 3 true sigma along the true axes, on average over axes (0.0455 and 0.0027 in truth).
    """

    d: int = param(1, "dimension", ge=1, le=4096)
    sigma: float = param(1.0, "standard deviation along the first axis", gt=0)
    beta: float = param(0.0, "exponent of the spectrum: eigenvalue j is sigma^2 j^-beta", ge=0, le=8)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "mean and axes per seed, or at the origin")
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "draw rows, or their mean and scatter by their exact law"
    )

    kind = "density"
    family = "gaussian"
    primary = "w2"

    def drawn(self, rng, nature=None):
        scale = self.sigma * torch.arange(1, self.d + 1, dtype=torch.float64, device=rng.device) ** (-self.beta / 2)
        mean = torch.zeros(*rng.batch, self.d, dtype=torch.float64, device=rng.device)
        axes = torch.eye(self.d, dtype=torch.float64, device=rng.device).expand(*rng.batch, self.d, self.d)
        if self.truth_is == "drawn":
            mean = self.sigma * rng.at("mean").normal(self.d).double()
            if self.d > 1:
                axes, r = torch.linalg.qr(rng.at("axes").normal(self.d, self.d).double())
                axes = axes * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]  # makes the rotation uniform (Haar)
        factor = axes * scale
        return self.holding(teacher=GaussianTeacher(mean, factor), scale=scale, axes=axes)

    def ask(self, n, rng):
        return torch.empty(*rng.batch, n, 0, device=rng.device)

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def sufficient(self, n, rng) -> Corpus:
        return self.truth.teacher.sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def spread(self):
        return self.truth.teacher.spread()

    def judge(self, teacher, rng):
        mean, factor = teacher.spread()
        true_mean, true_factor = self.spread()
        drift = ((mean - true_mean) ** 2).sum(-1)
        if self.d == 1:
            return {"w2": drift + (factor[..., 0, 0].abs() - self.sigma) ** 2}
        # tr S + tr S0 - 2 tr (S0^1/2 S S0^1/2)^1/2, the last being the nuclear norm of factor0^T factor
        traces = (factor**2).sum((-2, -1)) + (true_factor**2).sum((-2, -1))
        return {"w2": drift + (traces - 2 * _nuclear_norm(true_factor.mT @ factor)).clamp_min(0)}

    def describe(self, teacher):
        mean, factor = teacher.spread()
        true_mean, _ = self.spread()
        along = self.truth.axes.mT @ factor
        spread = along.pow(2).sum(-1).sqrt().clamp_min(1e-300)
        offset = (self.truth.axes.mT @ (mean - true_mean)[..., None])[..., 0]
        log_det = 2 * (factor.abs().log()[..., 0, 0] if self.d == 1 else torch.linalg.slogdet(factor).logabsdet)
        # P(N(offset, spread^2) beyond -+ m true sigma), both ends of every axis at once
        ends = (torch.stack([offset, -offset]) / spread).unsqueeze(1)
        reach = torch.stack([2 * self.truth.scale / spread, 3 * self.truth.scale / spread])
        beyond = torch.special.erfc((reach - ends) / math.sqrt(2)).sum(0).mean(-1) / 2
        return {
            "log_variance": log_det / self.d,
            "mean_drift": offset.pow(2).sum(-1),
            "tail_mass_2": beyond[0],
            "tail_mass_3": beyond[1],
        }


def _nuclear_norm(matrix: torch.Tensor) -> torch.Tensor:
    """Sum of singular values, (R,).  As roots of the eigenvalues of the square, which takes two thirds of the time of
    a decomposition, where these span less than six decades and thus lose nothing that a distance could show."""
    squares = torch.linalg.eigvalsh(matrix.mT @ matrix)  # ascending
    thin = ~(squares[..., 0] > 1e-6 * squares[..., -1])
    norm = squares.clamp_min(0).sqrt().sum(-1)
    if thin.any():
        norm[thin] = torch.linalg.svdvals(matrix[thin]).sum(-1)
    return norm


@hookimpl
def collapse_generators():
    return {"gaussian": Gaussian}
