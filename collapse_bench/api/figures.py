"""Figures of papers, drawn from runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..papers.figure import Scale
from ..papers.reproduce import reproduce as redrawn
from ..paths import named, named_folder
from ..registry.discovery import registry
from ..running.bar import OnOutcome, OnPlan
from .arguments import Paths, absolute_paths, plugin_paths
from .cells import device_of


def reproduce(
    name: str,
    *,
    scale: Scale = "quick",
    data: str | Path | None = None,
    output: str | Path = "figures",
    n_jobs: int = 1,
    plugins: Paths = (),
    device: str = "cpu",
    on_plan: OnPlan | None = None,
    on_outcome: OnOutcome | None = None,
) -> tuple[pd.DataFrame, list[Path]]:
    """Redraw a figure of a paper: (its numbers, the files written).  Earlier runs are reused.

    scale: ``quick`` or ``paper``.  data: a folder of real images, for figures that use them.
    """
    return redrawn(
        name,
        registry(plugin_paths(plugins)),
        scale=scale,
        data=None if data is None else named(data, "the images"),
        output=named_folder(output, "the figures"),
        n_jobs=n_jobs,
        plugins=absolute_paths(plugins),
        device=device_of(device),
        on_plan=on_plan,
        on_outcome=on_outcome,
    )
