"""Eyes to look at generated images with: a small classifier of real ones, always the same."""

from __future__ import annotations

import torch
from torch import Tensor

from collapse_bench.lib.neural.layers import Conv, started
from collapse_bench.lib.neural.training import Schedule, train

WIDTH, CHANNELS, STEPS, SEED = 32, 16, 600, 20260
ROWS = 1 << 11  # that go through it at a time


class FeatureExtractor:
    """A convolutional classifier, trained on real images with a fixed seed; its features are the units before the scores.

    It is trained on the CPU wherever it is used afterwards, so that a machine has one pair of eyes; another version of the
    libraries may round otherwise, and see a little otherwise.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int, shape: tuple[int, int]):
        """images (n, pixels), labels (n,) int64 below ``classes``, shape: rows and columns of an image."""
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
