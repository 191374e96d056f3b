"""What the plugins of a row say about themselves, as plain data for a page."""

from __future__ import annotations

import inspect
from typing import Any

from ..core.components import Mitigation
from ..errors import UserError
from .building import parameters
from .digests import OWN
from .discovery import Registry

STAGES = ("steer", "curate", "adapt", "size")


def about_row(text: str, registry: Registry) -> list[dict[str, Any]]:
    """One item for each mitigation of a row; empty where one of them is not installed.

    Keys: name, version, doc, stages, parameters (of this row), code, configurations.
    """
    try:
        acts = registry.mitigations(text)
    except UserError:
        return []
    return [_about(act) for act in acts]


def _about(act: Mitigation) -> dict[str, Any]:
    cls = type(act)
    return {
        "name": str(cls.name),
        "version": cls.version,
        "doc": inspect.getdoc(cls) or "",
        "stages": [
            stage for stage in STAGES if getattr(cls, stage) is not getattr(Mitigation, stage)
        ],
        "parameters": [
            {
                "name": p["name"],
                "value": _shown(getattr(act, p["name"])),
                "allowed": p["allowed"],
                "doc": p["doc"],
            }
            for p in parameters(cls)
        ],
        "code": _code(cls),
        "configurations": [
            ", ".join(f"{name}={value}" for name, value in one.items()) for one in cls.tunings
        ],
    }


def _shown(value: Any) -> str:
    """A value as a spec writes it; a plugin by its title."""
    title = getattr(value, "title", None)
    return str(title()) if callable(title) and not isinstance(value, str) else str(value)


def _code(cls: type[Mitigation]) -> str:
    """The file in the repository, or the digests of a plugin from elsewhere."""
    parts = cls.__module__.split(".")
    if parts[0] == OWN:
        inner = parts[1:] if parts[1:2] == ["plugins"] else parts
        return f"{'/'.join(inner)}.py of the repository"
    digests = getattr(cls, "file_digests", None) or {}
    return ", ".join(f"{name} {digest[:16]}" for name, digest in sorted(digests.items()))
