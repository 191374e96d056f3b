"""Messages between the two processes of an audited run: plain values and tensors, no code.

A message is a tree of None, booleans, numbers, text, lists and dicts with text keys, written as
JSON, and the tensors in it as raw bytes.  Nothing that arrives is executed or unpickled, whoever
sent it.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from typing import Any

import torch
from torch import Tensor

from ..errors import ContractError

MOST_TEXT = 2**26  # bytes of the JSON of one message
MOST_BYTES = 2**32  # bytes of the tensors of one message
MOST_TENSORS = 100_000  # of one message
_HEAD = struct.Struct("<QQ")
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}


class Broken(ContractError):
    """The other process ended, was silent for too long, or sent what is no message."""


class Frames:
    """Messages over a socket.

    ``seconds``: the time limit of one outermost call, None: none.  ``deadline``: when it ends.
    """

    def __init__(
        self, end: socket.socket, most_bytes: int = MOST_BYTES, other: str = "the other process"
    ):
        self.end, self.most_bytes, self.other = end, most_bytes, other
        self.seconds: float | None = None
        self.deadline: float | None = None

    def begin(self) -> None:
        """The time limit begins now."""
        self.deadline = None if self.seconds is None else time.monotonic() + self.seconds

    def send(self, message: Any) -> None:
        """Raises Broken where nobody receives it, TypeError for a value that is not plain."""
        tensors: list[Tensor] = []
        text = json.dumps(_flat(message, tensors)).encode("utf-8", "surrogatepass")
        body = [_bytes_of(tensor) for tensor in tensors]
        try:
            self.end.settimeout(self._left())
            self.end.sendall(_HEAD.pack(len(text), sum(map(len, body))) + text)
            for piece in body:
                self.end.sendall(piece)
        except OSError as problem:
            raise Broken(
                f"{self.other} does not receive messages ({problem.strerror or problem})"
            ) from None

    def receive(self) -> Any:
        """The next message.  Raises Broken."""
        size, rest = _HEAD.unpack(self._exactly(_HEAD.size))
        if size > MOST_TEXT or rest > self.most_bytes:
            raise Broken(f"{self.other} sent {size + rest} bytes at once, which is too much")
        text, body = self._exactly(size), self._exactly(rest)
        try:
            message = json.loads(bytes(text).decode("utf-8", "surrogatepass"))
            return _full(message, _Body(body))
        except (ValueError, TypeError, KeyError, RuntimeError, RecursionError) as problem:
            raise Broken(
                f"{self.other} sent what is no message ({type(problem).__name__})"
            ) from None

    def _left(self) -> float | None:
        return None if self.deadline is None else max(0.001, self.deadline - time.monotonic())

    def _exactly(self, size: int) -> bytearray:
        whole = bytearray(size)
        view, done = memoryview(whole), 0
        while done < size:
            try:
                self.end.settimeout(self._left())
                got = self.end.recv_into(view[done:])
            except TimeoutError:
                raise Broken(f"{self.other} gave no answer within its time limit") from None
            except OSError as problem:
                raise Broken(
                    f"{self.other} cannot be reached ({problem.strerror or problem})"
                ) from None
            if got == 0:
                raise Broken(f"{self.other} ended")
            done += got
        return whole


def _flat(value: Any, tensors: list[Tensor]) -> Any:
    """The value with a placeholder in place of each tensor.  TypeError for other objects."""
    if isinstance(value, Tensor):
        tensors.append(value)
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in _DTYPES:
            raise TypeError(f"tensors of type {dtype} are not sent")
        return {"$": [dtype, *value.shape]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_flat(item, tensors) for item in value]
    if isinstance(value, dict):
        return {key: _flat(item, tensors) for key, item in value.items()}
    raise TypeError(f"a {type(value).__name__} is not sent")


def _bytes_of(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


class _Body:
    """The bytes of the tensors of a message, taken one after another."""

    def __init__(self, content: bytearray):
        self.content, self.place, self.count = content, 0, 0

    def take(self, name: str, shape: list[int]) -> Tensor:
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("a shape is not whole numbers")
        dtype, count = _DTYPES[name], math.prod(shape)
        size, self.count = count * dtype.itemsize, self.count + 1
        if self.place + size > len(self.content) or self.count > MOST_TENSORS:
            raise ValueError("tensors are missing")
        if not count:
            return torch.empty(shape, dtype=dtype)
        piece = torch.frombuffer(self.content, dtype=torch.uint8, count=size, offset=self.place)
        self.place += size
        if dtype is torch.bool:  # another byte than 0 and 1 is no truth value
            return (piece != 0).reshape(shape)
        return piece.clone().view(dtype).reshape(shape)  # memory of its own, aligned


def _full(value: Any, body: _Body) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$"}:
            name, *shape = value["$"]
            return body.take(name, shape)
        return {key: _full(item, body) for key, item in value.items()}
    if isinstance(value, list):
        return [_full(item, body) for item in value]
    return value
