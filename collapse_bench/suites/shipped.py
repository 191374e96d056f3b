"""The suite files beside this module."""

from __future__ import annotations

from pathlib import Path

from collapse_bench.registry.hookspecs import hookimpl


@hookimpl
def collapse_suites():
    return sorted(Path(__file__).parent.glob("*.toml"))
