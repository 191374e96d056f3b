"""Generative networks against Gaussians, of which everything is known: the sampler of diffusion without any training,
then what vae and ddpm learn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.lib.neural.generative import Unit
from collapse_bench.plugins.models.ddpm import DDPM
from collapse_bench.plugins.models.ddpm._diffusion import DiffusionTeacher, Plan, signal
from collapse_bench.plugins.models.vae import VAE, elbo

MANY = 40_000
NOTHING = torch.empty(MANY, 0)


@dataclass(frozen=True, eq=False)
class KnownGaussian(DiffusionTeacher):
    """A diffusion whose guess is right: that of N(mean, cov) in the units of the data."""

    mean: Tensor
    cov: Tensor
    unit: Unit
    plan: Plan

    def guess(self, x, u, a):
        mean, cov = self.unit.inside(self.mean[None])[0].double(), self.cov / self.unit.scale**2
        noised = a * cov + (1 - a) * torch.eye(len(mean))
        return ((1 - a).sqrt() * torch.linalg.solve(noised, (u - a.sqrt() * mean).mT).mT).float()


PLAIN = Unit(torch.zeros(2).double(), torch.ones(()).double())
OTHER = Unit(torch.tensor([3.0, -1.0]).double(), torch.tensor(2.5).double())
MEAN, COV = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 0.6], [0.6, 0.5]]).double()


def known(
    kind="cosine", levels=20, variance="upper", unit=PLAIN, mean=MEAN, cov=COV, temperature=1.0
):
    return KnownGaussian(mean, cov, unit, Plan(signal(kind, levels), variance, temperature))


def what_is_drawn(teacher) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the answers of ``KnownGaussian``: its guess is affine, so each level is a linear map."""
    a, T = teacher.plan.a, teacher.plan.temperature
    d, eye = len(teacher.mean), torch.eye(len(teacher.mean)).double()
    true = (teacher.mean - teacher.unit.mean) / teacher.unit.scale
    cov = teacher.cov / teacher.unit.scale**2
    mean, spread = torch.zeros(d).double(), T * eye
    for t in range(len(a) - 1, 0, -1):
        kept = a[t] / a[t - 1]
        beta = 1 - kept
        drawn = beta if teacher.plan.variance == "upper" else beta * (1 - a[t - 1]) / (1 - a[t])
        inverse = torch.linalg.inv(a[t] * cov + (1 - a[t]) * eye)
        step = (eye - beta * inverse) / kept.sqrt()
        mean = step @ mean + beta / kept.sqrt() * a[t].sqrt() * inverse @ true
        spread = step @ spread @ step.mT + T * drawn * eye
    return teacher.unit.mean + teacher.unit.scale * mean, teacher.unit.scale**2 * spread


def has_law(y: Tensor, mean: Tensor, cov: Tensor):
    """Rows (n, d) are those of N(mean, cov), by the standard errors of their mean and covariance."""
    n, sd = len(y), cov.diagonal().sqrt()
    assert ((y.mean(0) - mean).abs() <= 4 * sd / n**0.5 + 1e-5).all()
    error = ((cov.square() + sd[:, None] ** 2 * sd**2) / n).sqrt()
    assert ((torch.cov(y.mT) - cov).abs() <= 4 * error + 1e-5).all()


# -- the sampler, told the truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("levels", [1, 4, 30])
def test_a_standard_normal_law_is_exact_at_any_number_of_levels(kind, levels):
    eye = torch.eye(2).double()
    teacher = known(kind, levels, mean=torch.zeros(2).double(), cov=eye)
    mean, cov = what_is_drawn(teacher)
    torch.testing.assert_close(cov, eye, atol=1e-9, rtol=0)
    has_law(teacher.answer(NOTHING, Stream(levels)), mean, eye)


@pytest.mark.parametrize("levels", [1, 4, 30])
def test_a_point_is_exact_under_the_lower_variance(levels):
    teacher = known(levels=levels, variance="lower", cov=torch.zeros(2, 2).double())
    gap = teacher.answer(NOTHING[:100], Stream(0)) - MEAN
    assert float(gap.abs().max()) < 1e-3


@pytest.mark.parametrize("variance", ["upper", "lower"])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_gaussian_comes_out_as_the_recursion_of_levels_says(kind, variance):
    for unit in (PLAIN, OTHER):
        teacher = known(kind, 6, variance, unit)
        has_law(teacher.answer(NOTHING, Stream(1)), *what_is_drawn(teacher))


@pytest.mark.parametrize("variance", ["upper", "lower"])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_with_more_levels_a_gaussian_comes_out_as_it_is(kind, variance):
    def off(levels):
        mean, cov = what_is_drawn(known(kind, levels, variance))
        return float((mean - MEAN).abs().max()), float((cov - COV).abs().max())

    (rough_mean, rough), (mean, fine) = off(100), off(2000)
    assert fine < 0.02
    assert fine < rough / 8
    assert mean < max(rough_mean, 0.01)


def test_temperature_scales_the_covariance():
    for T in (0.25, 2.0):
        hot = known(levels=8).decoded(temperature=T)
        mean, cov = what_is_drawn(known(levels=8))
        torch.testing.assert_close(what_is_drawn(hot), (mean, T * cov))
        has_law(hot.answer(NOTHING, Stream(2)), mean, T * cov)


def test_the_score_is_the_gradient_of_the_noisy_log_density():
    noise, y = torch.tensor(0.7).double(), 3 * Stream(4).normal(50, 2).double()
    due = -torch.linalg.solve(COV + noise**2 * torch.eye(2), (y - MEAN).mT).mT
    for unit in (PLAIN, OTHER):  # whatever the unit, it is asked in that of the data
        torch.testing.assert_close(
            known(unit=unit).score(y[:, :0], y, noise).double(), due, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("w", [0.3, -0.5])
def test_a_blend_of_two_means_lies_between_or_beyond(w):
    """Scores of Gaussians with one covariance blend into that of the blended mean; with w < 0 it is driven off."""
    far = torch.tensor([4.0, 0.0]).double()
    one, other = known(levels=15), known(levels=40, unit=OTHER, mean=far)
    blend = one.blend(other, w)
    due = what_is_drawn(known(levels=15, mean=(1 - w) * MEAN + w * far))
    has_law(blend.answer(NOTHING, Stream(5)), *due)
    assert torch.equal(
        blend.decoded(temperature=1.0).answer(NOTHING[:9], Stream(5)),
        blend.answer(NOTHING[:9], Stream(5)),
    )


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("levels", [1, 7, 1000])
def test_signal_falls_from_all_to_almost_nothing(kind, levels):
    a = signal(kind, levels)
    assert len(a) == levels + 1
    assert a[0] == 1
    assert (a.diff() < 0).all()
    assert 0 < a[-1] < 2e-3


# -- what is learnt -------------------------------------------------------------------------------------------------


def sample(n=4000, d=3, path="rows"):
    """Rows of N(mean, factor factor^T)."""
    factor = torch.tensor([[1.5, 0, 0], [0.8, 0.7, 0], [-0.3, 0.2, 0.25]]).double()[:d, :d]
    mean = torch.tensor([5.0, -1.0, 0.5]).double()[:d]
    return GaussianTeacher(mean, factor), mean + Stream(8, path).normal(n, d).double() @ factor.mT


def fitted(model, y, x=None):
    return model.fit(Corpus.of(x, y, ()), Stream(9))


def test_ddpm_without_a_step_is_the_gaussian_of_its_unit():
    _, y = sample()
    teacher = fitted(DDPM(steps=1, lr=1e-12, levels=5, width=16), y)
    scale = ((y - y.mean(0)) ** 2).mean().sqrt()
    has_law(teacher.answer(NOTHING, Stream(1)), y.mean(0), scale**2 * torch.eye(3).double())


def test_ddpm_reproduces_a_gaussian():
    """Up to the levels, whose effect on the law of the rows is known, and a learning error of a few per cent."""
    _, y = sample()
    teacher = fitted(DDPM(width=48, depth=2, steps=1200, levels=30), y)
    mean, cov = what_is_drawn(KnownGaussian(y.mean(0), torch.cov(y.mT), teacher.unit, teacher.plan))
    drawn = teacher.answer(torch.empty(20_000, 0), Stream(3))
    axes = torch.linalg.eigh(cov)
    sd = axes.eigenvalues.sqrt()
    assert (((drawn.mean(0) - mean) @ axes.eigenvectors).abs() < 0.06 * sd).all()
    ratio = ((drawn - mean) @ axes.eigenvectors).std(0) / sd
    assert ((ratio - 1).abs() < 0.06).all(), ratio


def test_the_linear_vae_is_principal_component_analysis():
    """Its covariance is that of maximum likelihood: the leading axes as they are, the others as their mean variance
    (Tipping and Bishop 1999)."""
    _, y = sample(2000)
    values, vectors = torch.linalg.eigh(torch.cov(y.mT, correction=0))
    for latent in (1, 2):
        teacher = fitted(
            VAE(latent=latent, depth=0, steps=1500, lr=0.03, batch=500, cosine=True), y
        )
        best = torch.cat([values[: 3 - latent].mean().expand(3 - latent), values[3 - latent :]])
        mean, factor = teacher.mean_and_factor()
        along = vectors.mT @ factor
        torch.testing.assert_close(mean, y.mean(0), rtol=0, atol=0.03)
        torch.testing.assert_close(along @ along.mT, best.diag(), rtol=0.05, atol=0.01)


def test_the_exact_spread_of_the_linear_vae_is_that_of_its_draws():
    _, y = sample(500)
    teacher = fitted(VAE(latent=2, depth=0, steps=100, lr=0.02), y).decoded(temperature=1.7)
    mean, factor = teacher.mean_and_factor()
    has_law(teacher.answer(NOTHING, Stream(2)), mean, factor @ factor.mT)
    _, plain = fitted(VAE(latent=2, depth=0, steps=100, lr=0.02), y).mean_and_factor()
    torch.testing.assert_close(factor @ factor.mT, 1.7 * plain @ plain.mT)


@pytest.mark.parametrize("steps", [1, 600])
def test_bounds_lie_below_the_likelihood_of_the_linear_vae(steps):
    """Row by row: in the mean over draws, the bound of one draw is below that of 64, and that below the likelihood, which
    is a Gaussian's."""
    _, y = sample(100)
    teacher = fitted(VAE(latent=2, depth=0, steps=steps, lr=0.02), y)
    exact = (
        GaussianTeacher(*teacher.mean_and_factor()).logp(y[:, :0], y)[:, 0]
        + 3 * teacher.unit.scale.log()
    )
    u, x, draws = teacher.unit.inside(y), y[:, :0].float(), Stream(4).normal(300, 64, 1, 2)
    with torch.no_grad():
        one = torch.stack([elbo(teacher.module, u, x, e[0]) for e in draws]).double()
        many = torch.stack([teacher._bound(u, x, e) for e in draws]).double()
    for bound, above in ((one, many.mean(0)), (many, exact)):
        error = bound.std(0) / len(draws) ** 0.5
        assert (bound.mean(0) < above + 4 * error + 1e-4).all()
    assert (exact - many.mean(0)).mean() < 0.5 * (exact - one.mean(0)).mean()
    at_once = teacher.logp(y[:, :0], y)[:, 0] + 3 * teacher.unit.scale.log()
    assert float((at_once - many.mean(0)).abs().max()) < 5 * float(many.std(0).max()) + 1e-4


@pytest.mark.parametrize(
    ("model", "near"),
    [
        (VAE(latent=3, depth=0, steps=1000, lr=0.02, batch=200, cosine=True), 0.02),
        (VAE(latent=3, width=32, depth=1, steps=300), 3.0),
    ],
)
def test_no_bound_is_above_the_true_likelihood(model, near):
    """In the mean over held-out rows no model beats the truth, and one that can express it comes near to it."""
    truth, y = sample(3000)
    _, held = sample(3000, path="held")
    gap = (truth.logp(held[:, :0], held) - fitted(model, y).logp(held[:, :0], held))[:, 0]
    error = float(gap.std()) / len(gap) ** 0.5
    assert -4 * error < float(gap.mean()) < near


def test_the_bound_is_of_a_density():
    """On the line it integrates to less than one, and to almost that."""
    y = torch.cat(
        [Stream(1).normal(500, 1).double() - 3, 0.5 * Stream(2).normal(500, 1).double() + 3]
    )
    teacher = fitted(VAE(latent=2, width=32, depth=2, steps=800), y)
    grid = torch.linspace(-12, 12, 4001).double()[:, None]
    mass = float(teacher.logp(grid[:, :0], grid).exp().sum()) * 24 / 4000
    assert 0.97 < mass < 1.01


@pytest.mark.parametrize(
    "model",
    [
        VAE(latent=2, width=16, steps=30),
        VAE(latent=2, width=16, steps=30, said="mean"),
        DDPM(width=16, levels=5, steps=30),
    ],
)
def test_a_law_is_learnt_alike_wherever_it_lies_and_however_large_it_is(model):
    _, y = sample(300)
    here = fitted(model, y).answer(NOTHING[:50], Stream(3))
    there = fitted(model, 7 + 1000 * y).answer(NOTHING[:50], Stream(3))
    torch.testing.assert_close(there, 7 + 1000 * here, rtol=1e-3, atol=1.0)


@pytest.mark.parametrize(
    "model",
    [VAE(latent=1, width=32, steps=800), DDPM(width=32, levels=20, steps=600, variance="lower")],
)
def test_what_is_asked_is_answered(model):
    """Two classes at -3 and 3, of standard deviation 0.5."""
    asked = torch.arange(2000) % 2
    x = torch.nn.functional.one_hot(asked).float()
    y = (6.0 * asked - 3 + 0.5 * Stream(1).normal(2000)).double()[:, None]
    said = fitted(model, y, x).answer(x, Stream(3))[:, 0]
    for c in (0, 1):
        assert float(said[asked == c].mean()) == pytest.approx(6 * c - 3, abs=0.3)
        assert float(said[asked == c].std()) == pytest.approx(0.5, rel=0.3)


def test_rows_that_are_all_alike_are_said_again():
    y = torch.tensor([[2.0, -1.0]]).double().expand(50, 2)
    for model in (VAE(latent=1, width=8, steps=5), DDPM(width=8, levels=3, steps=5)):
        torch.testing.assert_close(
            fitted(model, y).answer(NOTHING[:20], Stream(1)), y[:20], rtol=1e-12, atol=0
        )


@pytest.mark.parametrize(
    "model", [VAE(latent=2, width=100, steps=400, lr=0.01), DDPM(width=100, levels=10, steps=400)]
)
def test_rows_held_back_stop_what_would_learn_its_rows_by_heart(model):
    _, few = sample(12)
    _, held = sample(400, path="held")
    stopped = model.with_validation(Corpus.of(None, held, ()))
    account = fitted(stopped, few).account
    assert account["stopped_at"] < 400
    assert (
        fitted(stopped, few).account["validation_loss"] == account["validation_loss"]
    )  # looked at under the same draws
