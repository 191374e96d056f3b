"""A cell, a device and a mitigation of one's own, for code that runs the loop itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from ..core.cell import Cell
from ..core.components import Mitigation
from ..errors import UsageError
from ..registry.discovery import registry
from ..registry.misspelt import misspelt_stages
from ..suggest import nearest
from ..suite.model import parse_seeds


def cell_of(
    spec: str, *, seeds: str | int | Sequence[int] = "0:32", device: str = "cpu", **changes: Any
) -> Cell:
    """A cell from its spec, for your own loop: ``for generation in generations(cell_of(...))``.

    seeds: a range as text, one seed or several.  changes: n, generations, growth, n0 or
    first_teacher.
    Raises UsageError for a spec, seed or change that is not valid.
    """
    settings = ("n", "generations", "growth", "n0", "first_teacher")
    if not isinstance(spec, str):
        raise UsageError(f"a cell is written as text, 'data | model | protocol', got {spec!r}")
    for name in changes:
        if name not in settings:
            raise UsageError(f"cell_of has no setting {name!r}{nearest(name, settings)}")
    return registry(()).cell(spec, seeds=_seeds(seeds), device=device_of(device), **changes)


def _seeds(seeds: str | int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return tuple(parse_seeds(seeds))
    try:
        picked = tuple(map(index, seeds if isinstance(seeds, Iterable) else [seeds]))
    except TypeError:
        picked = ()
    if not picked or min(picked) < 0 or max(picked) >= 2**63:
        raise UsageError(
            "seeds must be whole numbers >= 0 and < 2^63, at least one, or a range '0:32'; "
            f"got {seeds!r}"
        )
    return picked


def device_of(name: str) -> str:
    """The name of an available device: cpu, cuda, cuda:0; auto gives the GPU where torch sees one.

    Raises UsageError for an unknown or unavailable device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as problem:
        raise UsageError(f"unknown device {name!r}; write cpu, cuda, cuda:0 or auto") from problem
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; write cpu, cuda, cuda:0 or auto")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} is not available: torch sees no GPU; use --device cpu")
    return name


def offer(name: str, cls: type[Mitigation]) -> None:
    """Offer a mitigation that is written in a notebook or script under a name.

    Raises PluginError where the name or the class cannot be offered.
    """
    registry().offer("mitigation", name, cls)
    for sentence in misspelt_stages(cls):
        warnings.warn(sentence, UserWarning, stacklevel=2)
