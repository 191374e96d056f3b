"""Small networks as modules: fully connected, convolutional, and a U-Net conditioned on noise.

They are built without weights; ``started`` draws these from the generator of a run.  Inputs and
outputs are rows (n, d).  An image is a row of its pixels, line after line.
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

    Layers start as He et al. propose, for a ReLU or similar after them.  A layer marked ``last``
    has unit variance over its inputs, one marked ``silent`` starts at 0.  Offsets start at 0, gains
    at 1.  A module that holds parameters itself defines ``fill(generator)``.
    """
    with torch.device("meta"):  # on another device it would draw from the global generator
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
    """``depth`` hidden layers of ``width`` units and a linear layer; depth 0 is an affine map."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, _marked(nn.Linear(inputs, outputs), last=True))


def square(pixels: int, who: str) -> tuple[int, int]:
    """The sides of a square image with this many pixels, at least 4 x 4.

    Raises Incompatible, with ``who`` as the subject, where there is none.
    """
    side = math.isqrt(pixels)
    if side * side != pixels or side < 4:
        raise Incompatible(
            f"{who} reads square images of at least 4 x 4 pixels, and {pixels} numbers are not one"
        )
    return side, side


class Conv(nn.Module):
    """Two convolutions (3 x 3, stride 2) with ``channels`` and 2 ``channels`` outputs, a fully
    connected layer of ``width`` units, and a linear layer of scores.

    shape: (height, width) of an image in pixels.
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
        """The units (n, width) of the fully connected layer, for images x (n, pixels)."""
        return self.trunk(x.unflatten(-1, (1, *self.shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


# -- networks conditioned on a noise level ---------------------------------------------------------

WAVES = 16  # numbers that encode a level


def encoded(level: Tensor) -> Tensor:
    """cos(pi k level) for k = 0 .. WAVES - 1, (n, WAVES), of levels (n,) in [0, 1]."""
    return torch.cos(math.pi * level[:, None] * torch.arange(WAVES, device=level.device))


class Denoiser(nn.Module):
    """A residual network from rows (n, d) and a condition (n, t) to rows (n, d).

    The condition enters each of its ``depth`` hidden layers.
    """

    def __init__(self, d: int, t: int, width: int, depth: int):
        super().__init__()
        self.enter = nn.Linear(d, width)
        self.hear = nn.ModuleList(nn.Linear(t, width) for _ in range(depth))
        self.deep = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.leave = _marked(nn.Linear(width, d), silent=True)

    def forward(self, y: Tensor, condition: Tensor) -> Tensor:
        h = nn.functional.silu(self.enter(y) + self.hear[0](condition))
        for deep, hear in zip(self.deep, self.hear[1:], strict=True):
            h = h + nn.functional.silu(deep(h) + hear(condition))
        return self.leave(h)


class UNet(nn.Module):
    """A U-Net (Ronneberger et al., arXiv 1505.04597) from images (n, pixels) and a condition (n, t)
    to images (n, pixels).

    It has three sizes, each half of the one before, with skip connections.  There are ``width``
    channels at full size and 2 ``width`` below.
    """

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

    def forward(self, y: Tensor, condition: Tensor) -> Tensor:
        h, kept = self.enter(y.unflatten(-1, (1, *self.shape))), []
        for block, halve in zip(self.down, self.halve, strict=True):
            h = block(h, condition)
            kept.append(h)
            h = halve(h)
        h = self.middle(h, condition)
        for block in self.up:
            skip = kept.pop()
            h = block(
                torch.cat([nn.functional.interpolate(h, size=skip.shape[-2:]), skip], 1), condition
            )
        return self.leave(nn.functional.silu(self.norm(h))).flatten(1)


class _Block(nn.Module):
    """Two convolutions with a shortcut around them; the condition is added between the two."""

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

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        out = (
            self.convs[0](nn.functional.silu(self.norms[0](h)))
            + self.hear(condition)[..., None, None]
        )
        return self.short(h) + self.convs[1](nn.functional.silu(self.norms[1](out)))
