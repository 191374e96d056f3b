"""The state of an unfinished run as bytes, with network weights apart, to save as safetensors."""

from __future__ import annotations

import io
import pickle
from typing import Any

from torch import Tensor, nn


class _Packer(pickle.Pickler):
    """Pickles everything except network parameters, which are collected under names.

    A parameter that is tied is collected once.
    """

    def __init__(self, sink: io.BytesIO):
        super().__init__(sink, protocol=pickle.HIGHEST_PROTOCOL)
        self.names: dict[int, str] = {}
        self.weights: dict[str, Tensor] = {}
        self.held: list[nn.Parameter] = []  # keeps the objects alive, so that ids stay unique

    def persistent_id(self, thing: Any) -> tuple[str, str, bool] | None:
        if not isinstance(thing, nn.Parameter):
            return None
        if id(thing) not in self.names:
            name = self.names[id(thing)] = f"w{len(self.names)}"
            self.held.append(thing)
            self.weights[name] = thing.detach().cpu().contiguous().clone()
        return self.names[id(thing)], str(thing.device), thing.requires_grad


class _Unpacker(pickle.Unpickler):
    """Puts the parameters back in their places."""

    def __init__(self, source: io.BytesIO, weights: dict[str, Tensor]):
        super().__init__(source)
        self.weights = weights
        self.known: dict[str, nn.Parameter] = {}

    def persistent_load(self, place: tuple[str, str, bool]) -> nn.Parameter:
        name, device, wants_gradient = place
        if name not in self.known:
            self.known[name] = nn.Parameter(self.weights[name].to(device), wants_gradient)
        return self.known[name]


def packed(state: Any) -> tuple[bytes, dict[str, Tensor]]:
    """(everything except network weights as bytes, weights by name)."""
    sink = io.BytesIO()
    packer = _Packer(sink)
    packer.dump(state)
    return sink.getvalue(), packer.weights


def unpacked(content: bytes, weights: dict[str, Tensor]) -> Any:
    """The state that was packed.  It is a pickle: load only what your own runs have written."""
    return _Unpacker(io.BytesIO(content), weights).load()
