"""A fixed feature extractor for generated images: a small classifier of real images."""

from __future__ import annotations

import torch
from torch import Tensor

from collapse_bench.lib.neural.layers import Conv, started
from collapse_bench.lib.neural.training import Schedule, train

WIDTH, CHANNELS, STEPS, SEED = 32, 16, 600, 20260
ROWS = 1 << 11  # images per forward pass


class FeatureExtractor:
    """A convolutional classifier of real images, trained with a fixed seed.

    The features are the units before the class scores.  It is always trained on the CPU, so that
    one machine has one extractor for all devices.  Other versions of the libraries can round
    differently and give slightly different features.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int, shape: tuple[int, int]):
        """images (n, pixels), labels (n,) int64 below ``classes``, shape (rows, columns)."""
        generator = torch.Generator().manual_seed(SEED)
        self.module = started(lambda: Conv(shape, CHANNELS, WIDTH, classes), generator)
        images, labels = images.cpu(), labels.cpu()

        def losses(rows: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(
                self.module(images[rows]), labels[rows], reduction="none"
            )

        schedule = Schedule(steps=STEPS, epochs=None, batch=128, lr=2e-3, cosine=True)
        train(self.module, losses, torch.ones(len(images)), None, schedule, generator)

    def to(self, device: torch.device | str) -> FeatureExtractor:
        self.module.to(device)
        return self

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features (n, WIDTH), class (n,) int64) of images (n, pixels)."""
        seen = [self.module.features(some) for some in images.float().split(ROWS)]
        return torch.cat(seen), torch.cat([self.module.head(some).argmax(-1) for some in seen])
