"""A variational autoencoder: answers are decoded from a few normal variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Lacking
from collapse_bench.lib.distributions.decoding import truncates
from collapse_bench.lib.distributions.gaussians import root_of
from collapse_bench.lib.neural.generative import DrawnTeacher, Generative, Unit
from collapse_bench.lib.neural.layers import dense, started
from collapse_bench.lib.neural.networks import ROWS, blended
from collapse_bench.lib.neural.training import train
from collapse_bench.registry.hookspecs import hookimpl

DRAWS = 64  # of hidden numbers, by which a likelihood is bounded
BUDGET = 1 << 22  # numbers of decoded rows in work at a time


@dataclass(frozen=True)
class VAE(Generative):
    """A variational autoencoder (Kingma and Welling, arXiv 1312.6114), random weights in every fit.

    y = decoder(z) + s e with z of ``latent`` standard normal numbers, e standard normal and one
    learnt s for all numbers of an answer; encoder and decoder have ``depth`` hidden layers of
    ``width`` units.  Without hidden layers it is probabilistic principal component analysis (Lucas
    et al., arXiv 1911.02469), whose covariance is known exactly.  Rows are scaled to mean 0 and
    mean variance 1.  Both networks read the question.

    ``said``: a draw, or only the decoder's mean, as pictures are usually shown, which has no
    density.  ``logp`` is a lower bound: the importance-weighted one of 64 draws (Burda et al.,
    arXiv 1509.00519), always the same ones.  ``decoded(temperature=)`` scales the variance of z and
    e.
    """

    lr: float = param(3e-3, "learning rate of AdamW", gt=0)
    latent: int = param(8, "latent variables", ge=1, le=10_000)
    width: int = param(128, "units of a hidden layer", ge=1, le=100_000, vary=False)
    depth: int = param(2, "hidden layers of each network; 0: linear", ge=0, le=100)
    said: Literal["draw", "mean"] = param(
        "draw", "answers are draws from the model, or means given z"
    )

    usual = {"steps": 2000}
    tiny = {"latent": 2, "width": 8, "depth": 1, "steps": 4}

    def fit(self, corpus: Corpus, rng, before=None) -> VAETeacher:
        unit, generator = (
            Unit.of(corpus) if self.start is None else self.start.unit,
            rng.torch_generator(),
        )
        d, asked = unit.mean.shape[0], corpus.width
        layers = (self.latent, self.width, self.depth)
        module = self.begun(lambda: started(lambda: Autoencoder(d, asked, *layers), generator))
        losses = _losses(module, unit, corpus, generator)
        validation = self._validation(module, unit, generator.device)
        account = train(
            module, losses, corpus.multiplicity, None, self.schedule, generator, validation
        )
        return VAETeacher(module, unit, asked, self.said == "draw", account=account)

    def _validation(
        self, module: Autoencoder, unit: Unit, device: torch.device
    ) -> Callable[[], float] | None:
        """The loss on the validation rows, always under the same draws."""
        held = self.validation_rows
        if held is None:
            return None
        share, rows = held.multiplicity / held.mass, torch.arange(held.n, device=device)

        def loss() -> float:
            losses = _losses(module, unit, held, torch.Generator(device=device).manual_seed(0))
            return float(sum((share[some] * losses(some)).sum() for some in rows.split(ROWS)))

        return loss


class Autoencoder(nn.Module):
    """Encoder of answers u (n, d) and questions x (n, q), decoder, and the log of s."""

    def __init__(self, d: int, asked: int, latent: int, width: int, depth: int):
        super().__init__()
        self.latent = latent
        self.encoder = dense(d + asked, width, depth, 2 * latent)
        self.decoder = dense(latent + asked, width, depth, d)
        self.log_s = nn.Parameter(torch.zeros(()))

    def fill(self, generator: torch.Generator) -> None:
        self.log_s.zero_()

    def encoded(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (n, latent) of z given an answer."""
        mean, log_sd = self.encoder(torch.cat([u, x], -1)).float().chunk(2, -1)
        return mean, log_sd.clamp(-12, 12)

    def decoded(self, z: Tensor, x: Tensor) -> Tensor:
        """Mean (..., d) of an answer given z."""
        return self.decoder(torch.cat([z, x], -1)).float()


def elbo(module: Autoencoder, u: Tensor, x: Tensor, e: Tensor) -> Tensor:
    """A draw of the bound on log p(u | x), nats, (n,), under the noise e (n, latent); the
    divergence from the prior is exact."""
    mean, log_sd = module.encoded(u, x)
    kept = (mean.square() + (2 * log_sd).exp() - 1 - 2 * log_sd).sum(-1) / 2
    return _normal(u, module.decoded(mean + log_sd.exp() * e, x), module.log_s) - kept


def _normal(u: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
    """Log-density (...) of u (..., d) under N(mean, s^2 I)."""
    gap = (u - mean).square().sum(-1) * (-2 * log_s).exp()
    return -0.5 * gap - u.shape[-1] * (log_s + 0.5 * math.log(2 * math.pi))


def _losses(
    module: Autoencoder, unit: Unit, corpus: Corpus, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Minus the bound, nats per number, of each of the rows (b,)."""
    u, x = unit.inside(corpus.y), corpus.x.flatten(1).float()
    latent = module.latent

    def losses(rows: Tensor) -> Tensor:
        e = torch.randn(len(rows), latent, generator=generator, device=generator.device)
        return -elbo(module, u[rows], x[rows], e) / u.shape[1]

    return losses


@dataclass(frozen=True, eq=False)
class VAETeacher(DrawnTeacher):
    """``module`` in ``unit``, for questions of ``asked`` numbers; ``noisy``: add s e."""

    module: Autoencoder
    unit: Unit
    asked: int = 0
    noisy: bool = True
    temperature: float = 1.0
    account: Mapping[str, float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.unit.mean.device

    @property
    def latent(self) -> int:
        return self.module.latent

    def answer(self, x: Tensor, rng) -> Tensor:
        generator, d, wide = rng.torch_generator(), self.unit.mean.shape[0], self.temperature**0.5
        place = {"generator": generator, "device": self.device}
        drawn = []
        with torch.no_grad():
            for asked in x.flatten(1).float().split(ROWS):
                u = self.module.decoded(wide * torch.randn(len(asked), self.latent, **place), asked)
                if self.noisy:
                    u = u + wide * self.module.log_s.exp() * torch.randn(len(asked), d, **place)
                drawn.append(self.unit.outside(u))
        return torch.cat(drawn)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """A lower bound on the log-density of each answer, nats, (n, 1)."""
        if not self.noisy:
            raise Lacking(
                "a decoder's means without noise have no density; choose said=draw", type(self)
            )
        u, x = self.unit.inside(y), x.flatten(1).float()
        e = Stream(0, "likelihood", self.device).normal(DRAWS, 1, self.latent)
        rows = max(1, BUDGET // (DRAWS * max(u.shape[1], self.latent)))
        with torch.no_grad():
            found = [
                self._bound(some, asked, e)
                for some, asked in zip(u.split(rows), x.split(rows), strict=True)
            ]
        return (torch.cat(found).double() - u.shape[1] * self.unit.scale.log())[:, None]

    def _bound(self, u: Tensor, x: Tensor, e: Tensor) -> Tensor:
        """log mean_k p(u, z_k) / q(z_k), (n,), over draws z_k from the encoder."""
        mean, log_sd = self.module.encoded(u, x)
        z = mean + log_sd.exp() * e  # (DRAWS, n, latent)
        log_wide = 0.5 * math.log(self.temperature)
        prior = -0.5 * (z / self.temperature**0.5).square().sum(-1) - self.latent * log_wide
        own = -0.5 * e.square().sum(-1) - log_sd.sum(-1)
        seen = _normal(
            u, self.module.decoded(z, x.expand(*z.shape[:-1], -1)), self.module.log_s + log_wide
        )
        return (seen + prior - own).logsumexp(0) - math.log(len(e))

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance factor (d, d): exact without hidden layers, else of draws."""
        if len(self.module.decoder) > 1 or self.asked:
            return super().mean_and_factor()
        last = self.module.decoder[0]
        assert isinstance(last, nn.Linear)
        s = self.module.log_s.exp().double() * self.noisy
        W = last.weight.detach().double()
        noise = s.detach() * torch.eye(len(W), dtype=torch.float64, device=self.device)
        factor = root_of(torch.cat([W.mT, noise])) * self.unit.scale * self.temperature**0.5
        return self.unit.outside(last.bias.detach()), factor

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        if truncates(top_p, top_k, min_p, processor):
            raise self._lacks(
                "decoded",
                "be truncated: of the decoder's settings an autoencoder knows only temperature",
            )
        return self if temperature is None else replace(self, temperature=temperature)

    def blend(self, other: VAETeacher, w: float) -> VAETeacher:
        """Every weight averaged, and the unit."""
        unit = Unit(
            torch.lerp(self.unit.mean, other.unit.mean, w),
            torch.lerp(self.unit.scale, other.unit.scale, w),
        )
        return replace(self, module=blended(self.module, other.module, w), unit=unit, account={})


@hookimpl
def collapse_models():
    return {"vae": VAE}
