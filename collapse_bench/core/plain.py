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


def plain(value: Any, what: str) -> Tensor:
    """The tensor as ``torch.Tensor`` itself, on the same memory; ``what`` it is, for messages.

    Raises ContractError for a tensor whose values are computed by Python code
    (``__torch_dispatch__``), and for anything that is no tensor.
    """
    if type(value) is Tensor:
        return value
    if not issubclass(type(value), Tensor):
        raise ContractError(f"{what} is a {type(value).__name__}; it must be a torch.Tensor")
    with torch._C.DisableTorchFunctionSubclass():
        if torch._C._dispatch_keys(value).has(_PYTHON):
            raise ContractError(
                f"{what} is a {type(value).__name__}, which computes its values by "
                "__torch_dispatch__; it must be a plain torch.Tensor"
            )
        return Tensor.as_subclass(value, Tensor)


def make_plain(holder: Any, *names: str) -> None:
    """Make these attributes of a frozen dataclass plain tensors; None stays None."""
    for name in names:
        value = getattr(holder, name)
        if type(value) is not Tensor and value is not None:
            object.__setattr__(holder, name, plain(value, name))
