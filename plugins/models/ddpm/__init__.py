"""Denoising diffusion: a network predicts the noise on an answer; sampling removes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.lib.neural.generative import Generative, Unit
from collapse_bench.lib.neural.layers import WAVES, Denoiser, UNet, encoded, square, started
from collapse_bench.lib.neural.networks import ROWS
from collapse_bench.lib.neural.training import train
from collapse_bench.registry.hookspecs import hookimpl

from ._diffusion import DiffusionTeacher, Plan, signal


@dataclass(frozen=True)
class DDPM(Generative):
    """Denoising diffusion of vectors, or of images by a U-Net; random weights in every fit.

    Ho, Jain and Abbeel, arXiv 2006.11239.

    Rows are scaled to mean 0 and mean variance 1, noised at one of ``levels`` drawn for each, and
    the network is fitted by squared error.  It predicts v = sqrt(a) e - sqrt(1 - a) u, from which
    the noise e follows (Salimans and Ho, arXiv 2202.00512), so that before any step the teacher is
    a standard Gaussian in this scale.  The network reads the level and the question.  The teacher
    has ``eps`` and ``score`` at any level of noise, and ``blend`` averages, or with w < 0
    extrapolates, the predictions of two of them.  ``decoded(temperature=)`` scales the noise of
    sampling.
    """

    batch: int = param(128, "rows per step", ge=1, vary=False)
    lr: float = param(5e-3, "learning rate of AdamW", gt=0)
    cosine: bool = param(True, "decay the learning rate to zero along half a cosine", vary=False)
    width: int = param(
        256,
        "units of a hidden layer; for a U-Net, maps at full resolution",
        ge=1,
        le=4096,
        vary=False,
    )
    depth: int = param(3, "hidden layers (a U-Net has its own)", ge=1, le=100, vary=False)
    levels: int = param(50, "noise levels, T in the paper", ge=1, le=10_000)
    noise: Literal["linear", "cosine"] = param(
        "cosine", "how the noise grows with the level", vary=False
    )
    variance: Literal["upper", "lower"] = param(
        "upper", "variance of a sampling step: beta or its lower bound", vary=False
    )
    net: Literal["dense", "unet"] = param(
        "dense", "fully connected, or a U-Net, for square images", vary=False
    )

    weights_average = True  # ``blend`` averages predictions, whatever the weights
    predicts_noise = True
    usual = {"steps": 2000}
    tiny = {"width": 8, "depth": 1, "levels": 2, "steps": 4}

    def fit(self, corpus: Corpus, rng, before=None) -> DDPMTeacher:
        unit, generator = (
            Unit.of(corpus) if self.start is None else self.start.unit,
            rng.torch_generator(),
        )
        d, asked = unit.mean.shape[0], corpus.width
        module = self.begun(lambda: started(lambda: self._built(d, asked), generator))
        a = signal(self.noise, self.levels).to(unit.mean.device)
        losses = self._losses(module, unit, corpus, a, generator)
        account = train(
            module,
            losses,
            corpus.multiplicity,
            None,
            self.schedule,
            generator,
            self._validation(module, unit, a),
        )
        return DDPMTeacher(module, unit, Plan(a, self.variance), asked, account)

    def _built(self, d: int, asked: int) -> nn.Module:
        if self.net == "unet":
            return UNet(square(d, f"the U-Net of {self.title()}"), WAVES + asked, self.width)
        return Denoiser(d, WAVES + asked, self.width, self.depth)

    def _losses(
        self, module: nn.Module, unit: Unit, corpus: Corpus, a: Tensor, generator: torch.Generator
    ) -> Callable[[Tensor], Tensor]:
        """Loss of each of the rows (b,), at a level and under a noise drawn for it."""
        u, x = unit.inside(corpus.y), corpus.x.flatten(1).float()

        def losses(rows: Tensor) -> Tensor:
            # Stratified levels over the batch: their mean loss is less noisy than with independent
            # draws.
            spread = (
                torch.arange(len(rows), device=a.device)
                + torch.rand((), generator=generator, device=a.device)
            ) / len(rows)
            share = a[1 + (spread * self.levels).long().clamp_max(self.levels - 1)]
            clear, e = (
                u[rows],
                torch.randn(len(rows), u.shape[1], generator=generator, device=a.device),
            )
            seen, hidden = share.sqrt().float()[:, None], (1 - share).sqrt().float()[:, None]
            guess = module(seen * clear + hidden * e, _beside(share, x[rows]))
            return (guess - (seen * e - hidden * clear)).square().mean(-1)

        return losses

    def _validation(self, module: nn.Module, unit: Unit, a: Tensor) -> Callable[[], float] | None:
        """The loss on the validation rows, always under the same draws."""
        held = self.validation_rows
        if held is None:
            return None
        share, rows = held.multiplicity / held.mass, torch.arange(held.n, device=a.device)

        def loss() -> float:
            generator = torch.Generator(device=a.device).manual_seed(0)
            losses = self._losses(module, unit, held, a, generator)
            return float(sum((share[some] * losses(some)).sum() for some in rows.split(ROWS)))

        return loss


@dataclass(frozen=True, eq=False)
class DDPMTeacher(DiffusionTeacher):
    """``module`` predicts v in ``unit``, given a level and a question of ``asked`` numbers."""

    module: nn.Module
    unit: Unit
    plan: Plan
    asked: int = 0
    account: Mapping[str, float] = field(default_factory=dict)

    def guess(self, x: Tensor, u: Tensor, a: Tensor) -> Tensor:
        a = a.to(u.device)
        with torch.no_grad():
            v = self.module(u, _beside(a.expand(len(u)), x.flatten(1).float()))
        return a.sqrt().float() * v + (1 - a).sqrt().float() * u


def _beside(a: Tensor, x: Tensor) -> Tensor:
    """Further inputs: the level (n,), as an angle whose cosine is sqrt(a), and the question."""
    level = torch.arccos(a.sqrt().clamp(0, 1)) * (2 / torch.pi)
    return torch.cat([encoded(level.float()), x], 1)


@hookimpl
def collapse_models():
    return {"ddpm": DDPM}
