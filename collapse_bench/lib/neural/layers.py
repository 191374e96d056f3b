"""Small networks as modules: fully connected, convolutional, and a U-Net that is told a level of noise.

They are built without a number and filled by ``started`` from the generator of a run.  Rows (n, inputs) go in and come
out; what is an image within has its rows of pixels one behind the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...errors import Incompatible

Module = TypeVar("Module", bound=nn.Module)


def started(build: Callable[[], Module], generator: torch.Generator) -> Module:
    """The module that ``build`` returns, on the generator's device, with weights drawn from it.

    He's start where a ReLU or a relative of it follows; unit variance over the inputs for a layer marked ``last``;
    offsets 0, gains 1.  A layer marked ``silent`` starts at 0; a module with parameters of its own has ``fill(generator)``.
    """
    with torch.device("meta"):  # a module built elsewhere would draw from the global generator
        module = build()
    module.to_empty(device=generator.device)
    with torch.no_grad():
        for part in module.modules():
            _fill(part, generator)
    return module


def _fill(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        inputs = (
            part.in_channels * math.prod(part.kernel_size)
            if not isinstance(part, nn.Linear)
            else part.in_features
        )
        gain = (
            0.0
            if getattr(part, "silent", False)
            else 1.0
            if getattr(part, "last", False)
            else math.sqrt(2)
        )
        part.weight.normal_(0, gain / math.sqrt(max(1, inputs)), generator=generator)
        if part.bias is not None:
            part.bias.zero_()
    elif isinstance(part, nn.GroupNorm):
        part.weight.fill_(1)
        part.bias.zero_()
    elif callable(fill := getattr(part, "fill", None)):
        fill(generator)


def _marked(layer: nn.Module, **marks: bool) -> nn.Module:
    for name, value in marks.items():
        setattr(layer, name, value)
    return layer


def dense(
    inputs: int, width: int, depth: int, outputs: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` units, and a linear one; depth 0 is an affine map."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, _marked(nn.Linear(inputs, outputs), last=True))


def square(pixels: int, who: str) -> tuple[int, int]:
    """The sides of a square image of so many pixels, 4 x 4 or more; refused where there is none."""
    side = math.isqrt(pixels)
    if side * side != pixels or side < 4:
        raise Incompatible(
            f"{who} reads square images of 4 x 4 pixels or more, and {pixels} numbers are none"
        )
    return side, side


class Conv(nn.Module):
    """Two convolutions (3 x 3, stride 2) of ``channels`` and twice as many, one fully connected layer, scores.

    ``features`` are the units of that layer; shape: rows and columns of an image.
    """

    def __init__(self, shape: tuple[int, int], channels: int, width: int, outputs: int):
        super().__init__()
        self.shape = tuple(shape)
        rest = [(side + 3) // 4 for side in shape]  # halved twice, rounded up
        self.trunk = nn.Sequential(
            nn.Conv2d(1, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * math.prod(rest), width),
            nn.ReLU(),
        )
        self.head = _marked(nn.Linear(width, outputs), last=True)

    def features(self, x: Tensor) -> Tensor:
        """(n, width) of images x (n, pixels)."""
        return self.trunk(x.unflatten(-1, (1, *self.shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


# -- networks that are told a level of noise ------------------------------------------------------------------------

WAVES = 16  # numbers in which a level is told


def told(level: Tensor) -> Tensor:
    """cos(pi k level), k = 0 .. WAVES - 1, of levels (n,) in [0, 1], (n, WAVES)."""
    return torch.cos(math.pi * level[:, None] * torch.arange(WAVES, device=level.device))


class Denoiser(nn.Module):
    """Rows (n, d) and what is told beside them (n, t) to rows (n, d): ``depth`` hidden layers, which hear it each."""

    def __init__(self, d: int, t: int, width: int, depth: int):
        super().__init__()
        self.enter = nn.Linear(d, width)
        self.hear = nn.ModuleList(nn.Linear(t, width) for _ in range(depth))
        self.deep = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.leave = _marked(nn.Linear(width, d), silent=True)

    def forward(self, y: Tensor, beside: Tensor) -> Tensor:
        h = nn.functional.silu(self.enter(y) + self.hear[0](beside))
        for deep, hear in zip(self.deep, self.hear[1:], strict=True):
            h = h + nn.functional.silu(deep(h) + hear(beside))
        return self.leave(h)


class UNet(nn.Module):
    """The same for images: three sizes, each half of the one before, with shortcuts between them (Ronneberger et al.,
    arXiv 1505.04597); ``width`` maps at full size and twice as many below."""

    def __init__(self, shape: tuple[int, int], t: int, width: int):
        super().__init__()
        self.shape = tuple(shape)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList([_Block(width, width, t), _Block(width, 2 * width, t)])
        self.halve = nn.ModuleList(
            nn.Conv2d(m, m, 3, stride=2, padding=1) for m in (width, 2 * width)
        )
        self.middle = _Block(2 * width, 2 * width, t)
        self.up = nn.ModuleList([_Block(4 * width, width, t), _Block(2 * width, width, t)])
        self.norm = nn.GroupNorm(math.gcd(8, width), width)
        self.leave = _marked(nn.Conv2d(width, 1, 3, padding=1), silent=True)

    def forward(self, y: Tensor, beside: Tensor) -> Tensor:
        h, kept = self.enter(y.unflatten(-1, (1, *self.shape))), []
        for block, halve in zip(self.down, self.halve, strict=True):
            h = block(h, beside)
            kept.append(h)
            h = halve(h)
        h = self.middle(h, beside)
        for block in self.up:
            skip = kept.pop()
            h = block(
                torch.cat([nn.functional.interpolate(h, size=skip.shape[-2:]), skip], 1), beside
            )
        return self.leave(nn.functional.silu(self.norm(h))).flatten(1)


class _Block(nn.Module):
    """Two convolutions around a shortcut, told something in between."""

    def __init__(self, inputs: int, outputs: int, t: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(math.gcd(8, m), m) for m in (inputs, outputs))
        self.convs = nn.ModuleList(nn.Conv2d(m, outputs, 3, padding=1) for m in (inputs, outputs))
        self.hear = nn.Linear(t, outputs)
        self.short = (
            nn.Identity()
            if inputs == outputs
            else _marked(nn.Conv2d(inputs, outputs, 1), last=True)
        )

    def forward(self, h: Tensor, beside: Tensor) -> Tensor:
        out = (
            self.convs[0](nn.functional.silu(self.norms[0](h))) + self.hear(beside)[..., None, None]
        )
        return self.short(h) + self.convs[1](nn.functional.silu(self.norms[1](out)))
