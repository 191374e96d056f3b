"""Offers the suite files in this folder."""

from __future__ import annotations

from pathlib import Path

from collapse_bench.registry.hookspecs import hookimpl


@hookimpl
def collapse_suites():
    return sorted(Path(__file__).parent.glob("*.toml"))
