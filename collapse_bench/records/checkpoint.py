"""Checkpoints: the state of an unfinished run as a signed pickle, network weights as safetensors.

A file is a line that names the format, a signature, the length of a header, the header as JSON, and
the pickle.  The signature covers all that follows it, and the header holds a digest of the weights.
Nothing is unpickled before both are checked.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import pickle
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor, nn

from ..core.identity import SCHEMA
from .files import read_file, replace_file
from .key import user_key

_FORMAT = b"collapse-bench checkpoint 3\n"
_SIGNATURE = hashlib.sha256().digest_size
_LENGTH = 8  # bytes of the length of the header
MOST_BYTES = 2**36  # of a checkpoint or its weights


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
    """The state that was packed.  It is a pickle: pass only what this user has signed."""
    return _Unpacker(io.BytesIO(content), weights).load()


def save(path: Path, cell_id: str, seeds: list[int], state: Any) -> None:
    """Write a checkpoint and its weights, then remove the weights of the earlier one.

    Nothing is written where this user has no key: the run continues without checkpoints.
    """
    key = user_key()
    if key is None:
        return
    content, weights = packed(state)
    header: dict[str, Any] = {"schema": SCHEMA, "id": cell_id, "seeds": seeds, "weights": None}
    weights_path = None
    if weights:
        from safetensors.torch import save as saved

        data = saved(weights)
        weights_path = path.with_suffix(f".{uuid4().hex[:8]}.safetensors")
        header |= {"weights": weights_path.name, "sha256": hashlib.sha256(data).hexdigest()}
        replace_file(weights_path, data)
    replace_file(path, signed(key, header, content))
    for older in path.parent.glob(f"{path.stem}.*.safetensors"):
        if older != weights_path:
            older.unlink(missing_ok=True)


def load(path: Path, cell_id: str, seeds: list[int]) -> Any:
    """The saved state, or None where there is none that this user wrote for these chains."""
    key = user_key()
    if key is None:
        return None
    try:
        content = read_file(path, MOST_BYTES, follow=False)
        signature, body = content[len(_FORMAT) :][:_SIGNATURE], content[len(_FORMAT) + _SIGNATURE :]
        if not content.startswith(_FORMAT) or not hmac.compare_digest(
            signature, _signature(key, body)
        ):
            return None
        start = _LENGTH + int.from_bytes(body[:_LENGTH], "big")
        header = json.loads(body[_LENGTH:start])
        if (header["schema"], header["id"], header["seeds"]) != (SCHEMA, cell_id, seeds):
            return None
        weights = {}
        if header["weights"] is not None:
            from safetensors.torch import load as loaded

            data = read_file(path.parent / header["weights"], MOST_BYTES, follow=False)
            if hashlib.sha256(data).hexdigest() != header["sha256"]:
                return None
            weights = loaded(data)
        return unpacked(body[start:], weights)
    except Exception:
        return None  # without a checkpoint the cell starts again


def signed(key: bytes, header: dict[str, Any], content: bytes) -> bytes:
    """The bytes of a checkpoint file."""
    text = json.dumps(header).encode()
    body = len(text).to_bytes(_LENGTH, "big") + text + content
    return _FORMAT + _signature(key, body) + body


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")
