"""Plain tensors: what a plugin returns is data, without code of its own.

A subclass of ``torch.Tensor`` can answer a check of its values with what it likes
(``__torch_function__``), so that negative weights pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ContractError

_PYTHON = torch._C.DispatchKey.Python


def plain(value: Tensor) -> Tensor:
    """The tensor as ``torch.Tensor`` itself, on the same memory.

    Raises ContractError for a tensor whose values are computed by Python code
    (``__torch_dispatch__``), and for anything that is no tensor.
    """
    if type(value) is Tensor:
        return value
    if not issubclass(type(value), Tensor):
        raise ContractError(f"expected a torch.Tensor, got {type(value).__name__}")
    with torch._C.DisableTorchFunctionSubclass():
        if torch._C._dispatch_keys(value).has(_PYTHON):
            raise ContractError(
                f"a {type(value).__name__} computes its values by __torch_dispatch__; return plain "
                "tensors"
            )
        return torch.Tensor.as_subclass(value, Tensor)


def make_plain(holder: Any) -> None:
    """Replace the tensors among the attributes of a frozen dataclass by plain ones."""
    for name, value in vars(holder).items():
        if type(value) is not Tensor and isinstance(value, Tensor):
            object.__setattr__(holder, name, plain(value))
