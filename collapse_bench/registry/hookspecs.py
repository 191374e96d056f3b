"""The hooks of a plugin.  Each returns what the plugin offers; importing it registers nothing."""

from __future__ import annotations

from typing import Any

import pluggy

PROJECT = "collapse_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def collapse_generators() -> dict[str, type]:
    """Data generators by name: subclasses of ``DataGenerator``."""
    return {}


@hookspec
def collapse_models() -> dict[str, type]:
    """Models by name: subclasses of ``Model``."""
    return {}


@hookspec
def collapse_protocols() -> dict[str, type]:
    """Protocols by name: subclasses of ``Protocol``."""
    return {}


@hookspec
def collapse_mitigations() -> dict[str, type]:
    """Mitigations and controls by name: subclasses of ``Mitigation``."""
    return {}


@hookspec
def collapse_theory(cell: Any) -> Any:
    """Expected primary loss of a Cell for t = 0 .. generations, NaN where it is not known.

    Return None where no law is known.
    """


@hookspec
def collapse_ceilings(cell: Any) -> Any:
    """track -> the least expected primary loss that its methods can reach, for t = 0 .. T.

    ``cell`` is a task, without mitigations.  Return None where no law is known.
    """


@hookspec
def collapse_claims() -> list[Any]:
    """Laws that the engine must obey, one ``Claim`` each; ``verify-laws`` checks them."""
    return []


@hookspec
def collapse_figures() -> dict[str, Any]:
    """Figures of papers by name: functions ``(scale, data) -> Figure``.

    ``data`` is a folder of real images, or None.
    """
    return {}


@hookspec
def collapse_suites() -> list[Any]:
    """Paths of suite files (TOML)."""
    return []
