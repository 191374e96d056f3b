"""Gaussian density in d dimensions: its collapse is known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from collapse_bench.core.components import ACCUMULATE, REPLACE
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.laws.claims import Claim, fits, frozen, natural, pure, recursion
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.lib.moving import Moving, Path
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gaussian, worlds


@dataclass(frozen=True)
class Gaussian(Moving):
    """Normal distribution with covariance eigenvalues sigma^2 j^-beta, j = 1..d; answers (R, n, d).

    Questions have width 0.  For each seed the mean is drawn from N(0, sigma^2 I) and the axes are a
    random rotation, so that a method cannot know them in advance; ``truth_is=fixed`` puts the mean
    at 0 and uses the coordinate axes.

    With ``drift`` the mean moves: in every generation each coordinate takes a normal step of this
    variance, in units of y^2, independently of all others.  Rows, loss and verifier of generation t
    are those of its own mean.

    Loss ``w2``: squared 2-Wasserstein distance between the teacher's Gaussian and the true one, in
    units of y^2 (the task of Shumailov et al. 2024).  For any other teacher it is the Frechet
    distance, that of the Gaussian with its mean and covariance.

    Diagnostics: log-variance (mean log-eigenvalue); variance (mean eigenvalue); standard deviation
    along the true axes, averaged; squared drift of the mean; the mass beyond 2 and 3 true sigma
    along the true axes, averaged, for the Gaussian of the teacher's mean and covariance (0.0455 and
    0.0027 in truth).  For d = 1 and a teacher with a density also its integrated squared error
    ``ise``, in units of 1/y.  It is NaN if the kernels are 500 times narrower than the density, if
    the density is 200 times wider than the truth, or if both are too narrow for double precision at
    this mean.
    """

    d: int = param(1, "dimension", ge=1, le=4096)
    sigma: float = param(1.0, "standard deviation along the first axis", gt=0)
    beta: float = param(
        0.0, "exponent of the spectrum: eigenvalue j is sigma^2 j^-beta", ge=0, le=8
    )
    truth_is: Literal["drawn", "fixed"] = param(
        "drawn", "mean and axes random per seed, or at the origin"
    )
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "draw rows, or their mean and scatter from the exact distribution"
    )
    drift: float = param(
        0.0, "variance of the step of each coordinate of the mean per generation", ge=0, later=True
    )

    kind = "density"
    family = "gaussian"
    primary = "w2"
    diversity_metric = "sd"

    moving = {"drift": 0.1}

    @property
    def moves(self):
        return self.drift > 0

    @property
    def distribution(self):
        return None if self.moves else "gaussian"

    def sample_truth(self, rng, nature=None):
        scale = self.sigma * torch.arange(
            1, self.d + 1, dtype=torch.float64, device=rng.device
        ) ** (-self.beta / 2)
        mean = torch.zeros(*rng.chain_shape, self.d, dtype=torch.float64, device=rng.device)
        axes = torch.eye(self.d, dtype=torch.float64, device=rng.device).expand(
            *rng.chain_shape, self.d, self.d
        )
        if self.truth_is == "drawn":
            mean = self.sigma * rng.at("mean").normal(self.d).double()
            if self.d > 1:
                axes, r = torch.linalg.qr(rng.at("axes").normal(self.d, self.d).double())
                # QR by itself is not Haar distributed; fixing the signs of the diagonal makes it
                # uniform.
                axes = axes * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
        factor = axes * scale
        return self.with_truth(
            teacher=GaussianTeacher(mean, factor),
            scale=scale,
            axes=axes,
            verifier_rng=rng.at("aside"),
            drift_rng=rng.at("drift"),
            path=Path(),
        )

    def following(self, t):
        step = math.sqrt(self.drift) * self.truth.drift_rng.at(t).normal(self.d).double()
        teacher = self.truth.teacher
        return self.with_changed(teacher=replace(teacher, mean=teacher.mean + step))

    def ask(self, n, rng):
        return torch.empty(*rng.chain_shape, n, 0, device=rng.device)

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def sample_sufficient(self, n, rng) -> Corpus:
        return self.truth.teacher.sample_sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def mean_and_factor(self):
        return self.truth.teacher.mean_and_factor()

    def trivial(self):
        """N(0, s^2 I), the mean and covariance of a row over all seeds.

        s^2 = sigma^2 (1 + mean of j^-beta), where sigma^2 is the spread of the true means.  With
        ``truth_is=fixed`` it is the same law.
        """
        mean = torch.zeros_like(self.truth.teacher.mean)
        size = (self.sigma**2 + self.truth.scale.square().mean()).sqrt()
        eye = torch.eye(self.d, dtype=mean.dtype, device=mean.device)
        return GaussianTeacher(mean, (size * eye).expand(*mean.shape, self.d))

    def verifier_center(self, shift: float | torch.Tensor) -> torch.Tensor:
        """A mean (R, d) at distance ``shift`` from the true one, in a direction drawn per seed.

        shift is a number or (R, 1).
        """
        direction = self.truth.verifier_rng.at("direction").normal(self.d).double()
        return self.truth.teacher.mean + shift * direction / torch.linalg.vector_norm(
            direction, dim=-1, keepdim=True
        )

    def within(self, x, y, centre):
        """|y - c| <= sqrt(d) (radius + slack), with c the verifier's center.

        This is the rule for regression, with the constant 1 as the only covariate.
        """
        shift = centre.shift
        if centre.no_better_than is not None:
            away = centre.no_better_than.mean_and_factor()[0] - self.truth.teacher.mean
            shift = torch.linalg.vector_norm(away, dim=-1, keepdim=True).clamp_min(shift)
        gap = torch.linalg.vector_norm(y - self.verifier_center(shift)[..., None, :], dim=-1)
        return gap <= self.d**0.5 * (centre.radius + centre.slack)

    def losses(self, teacher, rng):
        mean, factor = teacher.mean_and_factor()
        true_mean, true_factor = self.mean_and_factor()
        drift = ((mean - true_mean) ** 2).sum(-1)
        if self.d == 1:
            return {"w2": drift + (factor[..., 0, 0].abs() - self.sigma) ** 2}
        # tr S + tr S0 - 2 tr (S0^1/2 S S0^1/2)^1/2, the last being the nuclear norm of factor0^T
        # factor
        traces = (factor**2).sum((-2, -1)) + (true_factor**2).sum((-2, -1))
        return {"w2": drift + (traces - 2 * _nuclear_norm(true_factor.mT @ factor)).clamp_min(0)}

    def diagnostics(self, teacher):
        mean, factor = teacher.mean_and_factor()
        true_mean, _ = self.mean_and_factor()
        along = self.truth.axes.mT @ factor
        spread = along.pow(2).sum(-1).sqrt().clamp_min(1e-300)
        offset = (self.truth.axes.mT @ (mean - true_mean)[..., None])[..., 0]
        log_det = 2 * (
            factor.abs().log()[..., 0, 0] if self.d == 1 else torch.linalg.slogdet(factor).logabsdet
        )
        # P(N(offset, spread^2) beyond -+ m true sigma), both ends of every axis at once
        ends = (torch.stack([offset, -offset]) / spread).unsqueeze(1)
        reach = torch.stack([2 * self.truth.scale / spread, 3 * self.truth.scale / spread])
        beyond = torch.special.erfc((reach - ends) / math.sqrt(2)).sum(0).mean(-1) / 2
        return self._ise(teacher) | {
            "log_variance": log_det / self.d,
            "variance": factor.pow(2).sum((-2, -1)) / self.d,
            "sd": spread.mean(-1),
            "mean_drift": offset.pow(2).sum(-1),
            "tail_mass_2": beyond[0],
            "tail_mass_3": beyond[1],
        }

    def _ise(self, teacher):
        """Integrated squared error of a teacher's density for d = 1; empty without a density.

        Also empty for a Gaussian, which its mean and variance describe completely.
        """
        if self.d > 1 or isinstance(teacher, GaussianTeacher):
            return {}
        mean, sd = (
            value.reshape(self.truth.teacher.mean.shape[:-1]) for value in teacher.mean_and_factor()
        )
        try:
            square, across = _overlaps(
                teacher, mean, sd.abs(), mean - self.truth.teacher.mean[..., 0], self.sigma
            )
        except Incompatible:
            return {}
        return {"ise": (square - 2 * across + _bump(0.0, 2**0.5 * self.sigma)).clamp_min(0)}


NODES = 1 << 13  # largest number of intervals of the rule below
# if two step sizes agree to this, the finer one has about the fourth power as error
RESOLVED = 1e-5


def _bump(gap, sd: float):
    """Density of N(0, sd^2) at ``gap``."""
    return torch.as_tensor(gap / sd, dtype=torch.float64).square().mul(-0.5).exp() / (
        sd * (2 * math.pi) ** 0.5
    )


def _overlaps(teacher, mean, sd, gap, sigma):
    """Integrals of q^2 and of q p, (R,) each, for the teacher's density q and the true density p.

    The trapezoidal rule on the scale of q (its mean and sd).  For a density made of Gaussians of
    width h the error falls like exp(-(pi h / step)^2), so halving the step raises the error to the
    fourth power.  For each chain the step is halved until two step sizes agree, and the range is
    doubled until it contains the whole mass of q; NaN if that takes too many intervals.
    """
    square, across = torch.full_like(mean, torch.nan), torch.full_like(mean, torch.nan)
    reach, intervals, own = 9 * sd, 256, _bump(0.0, 2**0.5 * sigma)
    while intervals <= NODES and square.isnan().any():
        z = reach[..., None] * torch.linspace(
            -1, 1, intervals + 1, dtype=torch.float64, device=mean.device
        )
        y, step = mean[..., None] + z, 2 * reach / intervals
        q = teacher.logp(z.new_empty(*z.shape, 0), y[..., None])[..., 0].exp()
        terms = torch.stack([q, q * q, q * _bump(gap[..., None] + z, sigma)])
        fine, rough = step * terms.sum(-1), 2 * step * terms[..., ::2].sum(-1)
        scale = torch.stack([fine[0], fine[1], own.expand_as(step)])
        sharp = ((fine - rough).abs() <= RESOLVED * scale).all(0) & (step < sigma / 2)
        whole = (fine[0] - 1).abs() < 1e-6
        done = square.isnan() & sharp & whole
        square, across = torch.where(done, fine[1], square), torch.where(done, fine[2], across)
        reach, intervals = torch.where(sharp & ~whole, 2 * reach, reach), 2 * intervals
    return square, across


def _nuclear_norm(matrix: torch.Tensor) -> torch.Tensor:
    """Sum of singular values, (R,).

    The roots of the eigenvalues of the square take two thirds of the time of a singular value
    decomposition.  They are used if the eigenvalues span less than six decades, where the lost
    digits do not change the distance.
    """
    squares = torch.linalg.eigvalsh(matrix.mT @ matrix)  # ascending
    thin = ~(squares[..., 0] > 1e-6 * squares[..., -1])
    norm = squares.clamp_min(0).sqrt().sum(-1)
    if thin.any():
        norm[thin] = torch.linalg.svdvals(matrix[thin]).sum(-1)
    return norm


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """W2^2 under replace: exact for d = 1, and to leading order for larger d if d k / M is small.

    With known variance only the mean moves, by sigma^2 d / M_i at every fit.  Under accumulate to
    leading order for d = 1, within 2 % from 20 rows on.  With new real rows in a growing pool, and
    where the truth drifts: exact for known variance.
    """
    if isinstance(cell.data, Gaussian) and cell.data.moves:
        return _drifting(cell)
    data, (model, made) = cell.data, recursion(cell) or (None, None)
    if not isinstance(data, Gaussian) or model != "gaussian-fit":
        return None
    if cell.nature and made is not None and made.earlier == "all":
        made = ACCUMULATE  # all rows are real, whoever was to write them
    if made is not None and made.earlier != "none" and made.real:
        return _known_variance(cell)
    if cell.generations == 0 and made is not None and not made.verified:
        made = REPLACE  # generation 0 reads real rows under every protocol
    if made not in (REPLACE, ACCUMULATE):
        return None
    ddof = cell.model.ddof
    if made == ACCUMULATE and not cell.nature:
        return (
            None
            if cell.model.sigma or data.d > 1 or cell.growth or cell.n < 20
            else _accumulated(cell)
        )
    if cell.model.sigma is not None:
        known = cell.model.sigma == data.sigma and (data.beta == 0 or data.d == 1)
        sizes = [[M] for M in natural(cell)] if cell.nature else fits(cell)
        return (
            [data.d * data.sigma**2 * sum(1 / M for M in some) for some in sizes] if known else None
        )
    if cell.nature:
        many, growth = [(M, 1) for M in natural(cell)], 0.0
    else:
        many, growth = [(cell.n, t + 1) for t in range(cell.generations + 1)], cell.growth
    if data.d == 1:
        return [
            gaussian.w2_mean(M, k, data.sigma, growth, ddof) if M >= 2 else math.nan
            for M, k in many
        ]
    if ddof == 0 or growth:
        return None
    small = [data.d < M and data.d * k / M < 0.05 for M, k in many]
    risk = [
        gaussian.nd_frechet_leading(data.d, M, k, data.beta) if fine else math.nan
        for (M, k), fine in zip(many, small, strict=True)
    ]
    return [data.sigma**2 * value for value in risk] if any(small) else None


def _drifting(cell):
    """The law of the mean that drifts.

    Without real rows after generation 0 nothing follows the truth, so that its steps add up: every
    law of a world that stands still gains d q t.
    """
    data, made = cell.data, cell.protocol.composition
    if not pure(cell) or made is None or made.verified:
        return None
    new = cell.nature or (made.real > 0 and made.fresh) or made.earlier == "sample"
    oracle = cell.nature and made.earlier == "none" and made.fresh  # one fit to the world it is in
    if new and not (frozen(cell) or oracle):
        return _known_variance(cell)
    first = {"mitigations": (), "generations": 0} if frozen(cell) else {}
    still = collapse_theory(replace(cell, data=replace(data, drift=0.0), **first))
    if still is None or cell.nature:
        return still
    steps = range(cell.generations + 1)
    return [(still[0] if frozen(cell) else still[t]) + data.d * data.drift * t for t in steps]


def _known_variance(cell):
    """The law of the mean with new real rows in every generation; None for unknown variance."""
    data, model, made = cell.data, cell.model, cell.protocol.composition
    equal = data.beta == 0 or data.d == 1
    if model.estimator != "gaussian-fit" or model.sigma != data.sigma or not equal:
        return None
    if cell.growth or not made.fresh:
        return None
    law = {"none": worlds.mix_e, "all": worlds.accumulate_e, "sample": worlds.subsample_e}
    real = 1.0 if cell.nature else made.real
    return [
        data.d * law[made.earlier](cell.n, real, t, data.drift, data.sigma)
        for t in range(cell.generations + 1)
    ]


def _accumulated(cell):
    first = gaussian.w2_mean(cell.n, 1, cell.data.sigma, ddof=cell.model.ddof)
    return [
        first,
        *(
            gaussian.acc_w2_leading(cell.n, t + 1, cell.data.sigma)
            for t in range(1, cell.generations + 1)
        ),
    ]


def _drawn(teacher, data):
    """Variance about the true mean of one draw from the model, averaged over axes."""
    values = data.diagnostics(teacher)
    return values["variance"] + values["mean_drift"] / data.d


def _square(teacher, data):
    """tr Sigma^2."""
    factor = teacher.mean_and_factor()[1]
    return (factor.mT @ factor).pow(2).sum((-2, -1))


@hookimpl
def collapse_claims():
    def one(
        law, k, chains, metric, sigma=1.0, M=20, ddof=1, growth=0.0, sampler="exact-law", **more
    ):
        given = {
            "M": M,
            "k": k,
            "sigma": sigma,
            "ddof": ddof,
            **({"growth": growth} if growth or "w2" in law else {}),
        }
        spec = (
            f"gaussian(sigma={sigma}, sampler={sampler}) | gaussian-fit(ddof={ddof}) | replace @ "
            f"n={M} growth={growth}"
        )
        return Claim(f"gaussian.{law}", given, f"{spec} T={k - 1}", metric, k - 1, chains, **more)

    def pool(law, t, chains, metric, protocol, M, ddof=0, sigma=1.0, pi=None, sampler="exact-law"):
        given = {"M": M, "sigma": sigma, **({} if pi is None else {"pi": pi})}
        if "limit" not in law:
            given["t"] = t
        if not any(word in law for word in ("fixed", "leading", "limit")):
            given["ddof"] = ddof
        spec = (
            f"gaussian(sigma={sigma}, sampler={sampler}) | gaussian-fit(ddof={ddof}) | {protocol} "
            f"@ n={M} T={t - 1}"
        )
        return Claim(f"gaussian.{law}", given, spec, metric, t - 1, chains)

    def many(law, d, M, k, chains, metric, beta, **more):
        spec = f"gaussian(d={d}, beta={beta}) | gaussian-fit | replace @ n={M} T={k - 1}"
        return Claim(
            f"gaussian.{law}",
            {"d": d, "M": M, "k": k, "beta": beta},
            spec,
            metric,
            k - 1,
            chains,
            **more,
        )

    def moving(law, how, n, t, q=0.0, s=1.0, chains=4000, sampler="exact-law", **given):
        """A mean of known variance; ``how`` is the protocol and the mitigation."""
        spec = (
            f"gaussian(sigma={s}, drift={q}, sampler={sampler}) | gaussian-fit(sigma={s}) "
            f"| {how} @ n={n} T={t}"
        )
        known = {"t": t, "q": q, "sigma": s, **given}
        return Claim(f"worlds.{law}", known, spec, "w2", t, chains)

    return [
        moving("mix_e", "mix(real=0.1)", 100, 60, 0.01, M=100, pi=0.1),
        moving("mix_e", "mix(real=0.25)", 12, 3, 0.2, 2.0, M=12, pi=0.25),
        moving("mix_e", "replace", 20, 10, 0.03, M=20, pi=0.0),
        moving("frozen_e", "replace | frozen", 100, 60, 0.01, M=100),
        moving("frozen_e", "mix(real=0.5) | frozen", 10, 4, 0.3, 2.0, M=10),
        moving("accumulate_e", "accumulate(real=0.2)", 100, 20, M=100, real=0.2),
        moving("accumulate_e", "accumulate(real=0.2)", 100, 20, 0.01, M=100, real=0.2),
        moving("accumulate_e", "accumulate | nature", 20, 10, 0.02, M=20, real=1.0),
        *(
            moving(
                "subsample_e",
                f"accumulate-subsample(real={real})",
                20,
                12,
                q,
                sampler="explicit",
                M=20,
                real=real,
            )
            for real, q in ((0.2, 0.0), (0.5, 0.02), (0.0, 0.01))
        ),
        one("w2_mean", 1, 20000, "w2", sigma=2.0, sampler="explicit"),
        one("w2_mean", 8, 20000, "w2", sigma=2.0, sampler="explicit"),
        one("w2_mean", 40, 20000, "w2"),
        one("w2_mean", 6, 20000, "w2", M=12, ddof=0),
        one("w2_mean", 12, 20000, "w2", M=6, growth=1.5),
        one("w2_mean_leading", 8, 20000, "w2", M=400),
        one("w2_var", 5, 80000, "w2", statistic="variance"),
        one("w2_var_as_published", 5, 80000, "w2", statistic="variance"),
        one("w2_var_leading", 5, 80000, "w2", M=400, statistic="variance"),
        one(
            "sample_var", 8, 20000, "variance of a draw", sigma=2.0, read=_drawn, sampler="explicit"
        ),
        one("sample_var", 6, 20000, "variance of a draw", M=12, ddof=0, read=_drawn),
        one("sigma_mean", 8, 20000, "sd", sigma=2.0, sampler="explicit"),
        one("sigma_mean", 40, 20000, "sd"),
        one("logsigma_mean", 40, 20000, "log_variance", times=2.0),
        one("logsigma_mean", 6, 20000, "log_variance", M=12, ddof=0, times=2.0),
        one("logsigma_var", 40, 20000, "log_variance", statistic="variance", times=4.0),
        many("nd_frechet_leading", 4, 400, 4, 4000, "w2", 1.0),
        many("nd_logdet", 3, 12, 5, 8000, "log_variance", 1.0, times=1 / 3),
        many("nd_trS2", 3, 12, 5, 20000, "tr Sigma^2", 1.0, read=_square),
        pool("acc_v", 12, 8000, "variance", "accumulate", 10, sampler="explicit"),
        pool("acc_e", 12, 8000, "mean_drift", "accumulate", 10, sampler="explicit"),
        pool("acc_v", 6, 8000, "variance", "accumulate", 8, ddof=1, sigma=3.0),
        pool("acc_e", 6, 8000, "mean_drift", "accumulate", 8, ddof=1, sigma=3.0),
        pool("acc_w2_leading", 10, 8000, "w2", "accumulate", 100),
        # After 200 batches the variance is within 5e-4 of its limit.
        pool("acc_limit_v", 200, 8000, "variance", "accumulate", 10),
        *(
            pool(law, 8, 8000, metric, "accumulate-subsample", 10, ddof=ddof, sampler="explicit")
            for ddof in (0, 1)
            for law, metric in (("accsub_v", "variance"), ("accsub_e", "mean_drift"))
        ),
        *(
            pool(law, 10, 8000, metric, "mix(real=0.25)", 20, ddof=ddof, sigma=2.0, pi=0.25)
            for ddof in (0, 1)
            for law, metric in (("mix_v", "variance"), ("mix_e", "mean_drift"))
        ),
        *(
            pool(law, 40, 8000, metric, "mix(real=0.25, fresh=false)", 20, sigma=2.0, pi=0.25)
            for law, metric in (("mixfixed_v", "variance"), ("mixfixed_e", "mean_drift"))
        ),
    ]


@hookimpl
def collapse_generators():
    return {"gaussian": Gaussian}
