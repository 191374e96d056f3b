"""A small convolutional network for square images, trained by a stochastic optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.neural.layers import Conv, square
from collapse_bench.lib.neural.networks import Network
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class CNN(Network):
    """Two convolutions (3 x 3, stride 2) of ``channels`` and 2 ``channels`` maps, a hidden layer.

    For square grey-scale images, whose pixels are the numbers of a question row by row; other
    questions are rejected.  Trained by cross-entropy; the largest score is the answer.  Float32
    (bfloat16 on GPUs that support it).
    """

    channels: int = param(16, "maps of the first convolution", ge=1, le=1024, vary=False)
    width: int = param(64, "units of the hidden layer", ge=1, le=100_000, vary=False)

    kinds = ("classification",)
    tiny = {"channels": 2, "width": 8, "steps": 4}

    def built(self, inputs, outputs):
        return Conv(square(inputs, self.title()), self.channels, self.width, outputs)


@hookimpl
def collapse_models():
    return {"cnn": CNN}
