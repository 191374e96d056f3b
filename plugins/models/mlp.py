"""A fully connected network, trained by a stochastic optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.params import param
from collapse_bench.lib.neural.layers import dense
from collapse_bench.lib.neural.networks import Network
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class MLP(Network):
    """``depth`` hidden layers of ``width`` ReLU units and a linear layer, started at random.

    Labels are trained by cross-entropy, and the largest score is the answer; numbers by squared
    error.  Float32 (bfloat16 on GPUs that support it).  depth=1 is the two-layer network f(x) = V
    relu(W x + b) + c, depth=0 an affine map.
    """

    width: int = param(200, "units of a hidden layer", ge=1, le=100_000, vary=False)
    depth: int = param(1, "hidden layers", ge=0, le=100)

    tiny = {"width": 8, "steps": 4}

    @property
    def weights_average(self) -> bool:
        return self.depth == 0  # an affine map has one minimum, wherever it starts

    def built(self, inputs, outputs):
        return dense(inputs, self.width, self.depth, outputs)


@hookimpl
def collapse_models():
    return {"mlp": MLP}
