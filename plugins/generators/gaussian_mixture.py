"""A Gaussian mixture with a minority component, the first to be lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.core.components import DataGenerator
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.lib.distributions.mixtures import MixtureTeacher
from collapse_bench.lib.rows.neighbours import closest
from collapse_bench.registry.hookspecs import hookimpl

EXAM = 256  # test rows per component for the losses of a density
ANSWERS = 1000  # answers for estimating a teacher's component shares


@dataclass(frozen=True)
class GaussianMixture(DataGenerator):
    """Normal components N(c_j, sigma^2 I) on a line, ``separation`` sigma apart; answers (R, n, d).

    The last component is the minority with weight ``minority``; the others share the rest equally.
    For each seed the line has a random direction and a random middle from N(0, sigma^2 I);
    ``truth_is=fixed`` uses the first axis, centred at 0.

    With q the teacher's density and p the true one, E_j max(0, 1 - q/p) is the share of component j
    that the teacher misses, in [0, 1]; its mean over component weights is the total variation.
    Losses, from 256 fixed rows per component: ``balanced_error`` (primary), where all components
    have equal weight, so that a lost minority costs as much as a lost majority;
    ``total_variation``; ``minority_error``; ``majority_error`` (of the other components).  From
    1000 answers, each assigned to the nearest center:  ``minority_lost``, the lost share of the
    minority's mass.

    Diagnostics, from the same answers: ``minority_share``; ``components_left``; ``heterozygosity``,
    1 - sum of squared shares; ``missing_mass``, the true weight of lost components.  If components
    are far apart, these follow the Wright-Fisher laws of symbols.  The answers are one more draw,
    so the heterozygosity is 1 - 1/1000 times that of the teacher.
    """

    components: int = param(2, "number of components", ge=2, le=1000)
    minority: float = param(0.1, "weight of the last component", gt=0, le=0.5)
    separation: float = param(6.0, "distance between neighbouring centers, in sigma", ge=0)
    d: int = param(2, "dimension", ge=1, le=4096)
    sigma: float = param(1.0, "standard deviation of each component along every axis", gt=0)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "line random per seed, or the first axis")

    kind = "density"
    family = "gaussian"
    primary = "balanced_error"
    tail_metric = "minority_lost"

    def sample_truth(self, rng, nature=None):
        along = torch.eye(self.d, dtype=torch.float64, device=rng.device)[0].expand(
            *rng.chain_shape, self.d
        )
        middle = torch.zeros_like(along)
        if self.truth_is == "drawn":
            along = rng.at("direction").normal(self.d).double()
            along = along / torch.linalg.vector_norm(along, dim=-1, keepdim=True)
            middle = self.sigma * rng.at("place").normal(self.d).double()
        places = (
            torch.arange(self.components, dtype=torch.float64, device=rng.device)
            - (self.components - 1) / 2
        )
        centres = (
            middle[..., None, :]
            + self.separation * self.sigma * places[:, None] * along[..., None, :]
        )
        weight = torch.full_like(places, (1 - self.minority) / (self.components - 1))
        weight[-1] = self.minority
        axes = self.sigma * torch.eye(self.d, dtype=torch.float64, device=rng.device)
        factor = axes.expand(*centres.shape, self.d)
        teacher = MixtureTeacher(weight.expand(centres.shape[:-1]), centres, factor)
        return self.with_truth(teacher=teacher, test_rng=rng.at("exam"))

    def ask(self, n, rng):
        return torch.empty(*rng.chain_shape, n, 0, device=rng.device)

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def mean_answer(self, x):
        return self.truth.teacher.mean_answer(x)

    def mean_and_factor(self):
        return self.truth.teacher.mean_and_factor()

    def trivial(self):
        """One Gaussian N(0, s^2 I), with the mean and covariance of a row over all seeds.

        s^2 = sigma^2 (2 + E place^2 / d): the spread of a component, that of the middle of the
        line, and that of the centers along a line of random direction, whose ``place`` is in sigma.
        """
        truth = self.truth.teacher
        place = self.separation * (torch.arange(self.components) - (self.components - 1) / 2)
        weight = truth.weight.reshape(-1, self.components)[0]
        along = (weight * place.to(weight).square()).sum() / self.d
        size = self.sigma * (2 + along).sqrt()
        mean = torch.zeros_like(truth.mean[..., 0, :])
        eye = torch.eye(self.d, dtype=mean.dtype, device=mean.device)
        return GaussianTeacher(mean, (size * eye).expand(*mean.shape, self.d))

    def losses(self, teacher, rng):
        weight, error = self.truth.teacher.weight, self._error(teacher, rng.at("rows"))
        return {
            "balanced_error": error.mean(-1),
            "total_variation": (weight * error).sum(-1),
            "minority_error": error[..., -1],
            "majority_error": (weight * error)[..., :-1].sum(-1) / (1 - self.minority),
            "minority_lost": (1 - self._shares(teacher)[..., -1] / self.minority).clamp_min(0),
        }

    def diagnostics(self, teacher):
        shares = self._shares(teacher)
        return {
            "minority_share": shares[..., -1],
            "components_left": (shares > 0).double().sum(-1),
            "heterozygosity": 1 - shares.pow(2).sum(-1),
            "missing_mass": (self.truth.teacher.weight * (shares == 0)).sum(-1),
        }

    def _error(self, teacher, rng):
        """E max(0, 1 - q/p) over each component, (R, K)."""
        centres = self.truth.teacher.mean
        z = (
            rng.normal(self.components * EXAM, self.d)
            .double()
            .reshape(*centres.shape[:-1], EXAM, self.d)
        )
        y = (centres[..., None, :] + self.sigma * z).flatten(-3, -2)
        x = y.new_empty(*y.shape[:-1], 0)
        ratio = (teacher.logp(x, y) - self.logp(x, y))[..., 0].exp()
        return (1 - ratio).clamp_min(0).reshape(*centres.shape[:-1], EXAM).mean(-1)

    def _shares(self, teacher):
        """Share of the teacher's answers whose nearest center is that of each component, (R, K)."""
        centres, rng = self.truth.teacher.mean, self.truth.test_rng.at("answers")
        answers = teacher.answer(self.ask(ANSWERS, rng), rng)
        nearest = closest(answers, centres)
        counts = torch.zeros(centres.shape[:-1], dtype=torch.float64, device=centres.device)
        return (
            counts.scatter_add_(-1, nearest, torch.ones_like(nearest, dtype=torch.float64))
            / ANSWERS
        )


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def split(
        law,
        metric,
        model,
        M=10,
        k=5,
        protocol="replace",
        components=2,
        minority=0.2,
        chains=2000,
        **more,
    ):
        """Components far apart act as symbols; a minority of 0.2 is a Zipf law of exponent 2."""
        beta = {(2, 0.2): 2.0, (4, 0.25): 0.0}[components, minority]
        spec = (
            f"gaussian-mixture(components={components}, minority={minority}, separation=20) | "
            f"{model} | {protocol} @ n={M} T={k - 1}"
        )
        given = {"K": components, "beta": beta, "M": M, "k": k}
        return Claim(f"discrete.{law}", given, spec, metric, k - 1, chains, **more)

    seen = 1 - 1 / ANSWERS  # the answers are one more draw, which loses this factor
    return [
        split(law, metric, model, times=times)
        for model in ("kde(rule=fixed, h=0.2)", "mixture-fit")
        for law, metric, times in (
            ("heterozygosity", "heterozygosity", seen),
            ("support", "components_left", 1.0),
            ("missing_mass", "missing_mass", 1.0),
        )
    ] + [
        split(
            "heterozygosity",
            "heterozygosity",
            "mixture-fit(components=4)",
            15,
            4,
            "replace",
            4,
            0.25,
            times=seen,
        ),
        split("support", "components_left", "mixture-fit(components=4)", 15, 4, "replace", 4, 0.25),
        split("H_accumulate", "heterozygosity", "mixture-fit", 5, 6, "accumulate", times=seen),
    ]


@hookimpl
def collapse_generators():
    return {"gaussian-mixture": GaussianMixture}
