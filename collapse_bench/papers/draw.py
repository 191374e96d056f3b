"""Draw a figure of a paper: measured points with a band over chains, and laws as dashed lines."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..board.axes import plain_ticks
from .figure import Figure, Gallery, Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

COLUMN = 3.4  # inches: width of a column of a paper, at which all text must be legible
FONT = 8  # points
LINE = 0.15  # inches: height of a line of a legend
BELOW = 34  # points from the axes to the legend: the numbers and the name of the x axis are between


def draw(
    figure: Figure, numbers: pd.DataFrame, stem: Path, pictures: dict[str, np.ndarray] | None = None
) -> list[Path]:
    """Write ``stem``.png and .svg.

    numbers: the table of ``reproduce``.  pictures: title of a gallery -> its pictures (rows, many,
    numbers).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": FONT, "svg.fonttype": "none", "svg.hashsalt": figure.title}):
        fig = drawn(figure, numbers, pictures)
        files = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
        for file in files:
            fig.savefig(file, dpi=200, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(fig)
    return files


def drawn(
    figure: Figure, numbers: pd.DataFrame, pictures: dict[str, np.ndarray] | None = None
) -> MplFigure:
    """The figure, not yet saved.  The caller closes it.

    numbers: the table of ``reproduce``.  pictures: see ``draw``.
    """
    from matplotlib import pyplot as plt

    panels = list(figure.panels)
    across = 2 if len(panels) == 4 else min(3, len(panels))
    down = -(-len(panels) // across)
    # legends are below the axes, so each row of panels is higher by its longest legend
    entries = [0 if isinstance(p, Gallery) else len(p.curves) for p in panels]
    longest = [max(entries[i : i + across]) for i in range(0, len(panels), across)]
    fig, axes = plt.subplots(
        down,
        across,
        figsize=(COLUMN * across, 2.9 * down + LINE * sum(longest) + 0.3),
        squeeze=False,
        layout="constrained",
        height_ratios=[2.9 + LINE * lines for lines in longest],
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        if isinstance(panel, Gallery):
            _gallery(axis, panel, (pictures or {})[panel.title])
        else:
            _panel(axis, panel, numbers[numbers.panel == panel.title])
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    dashed = "; dashed: law" if numbers.predicted.notna().any() else ""
    legend = f"{figure.source}; bands: 95 % over {figure.chains} chains{dashed}"
    lines = [fill(text, 56 * across) for text in (figure.title, legend)]
    fig.suptitle("\n".join(lines), fontsize=FONT)
    return fig


def _panel(axis, panel: Panel, numbers: pd.DataFrame) -> None:
    from matplotlib import pyplot as plt

    colours = plt.get_cmap("viridis")
    curves = [curve.label for curve in panel.curves]
    for i, label in enumerate(curves):
        rows = numbers[numbers.curve == label].sort_values("x")
        colour = colours(0.9 * i / max(1, len(curves) - 1)) if len(curves) > 1 else "black"
        seen = rows[rows.measured.notna()]
        if len(seen):
            few = "o" if len(seen) <= 25 else None
            axis.plot(seen.x, seen.measured, marker=few, ms=3, lw=1.1, color=colour, label=label)
            low = seen.low.where(seen.low > 0, seen.measured / 10) if "y" in panel.log else seen.low
            axis.fill_between(seen.x, low, seen.high, color=colour, alpha=0.2, lw=0)
        law = rows[rows.predicted.notna()]
        if len(law):
            axis.plot(
                law.x,
                law.predicted,
                "--",
                lw=1.1,
                color=colour,
                label=None if len(seen) else label,
            )
    if "x" in panel.log:
        axis.set_xscale("log")
    if "y" in panel.log:
        axis.set_yscale("log")
    for name in panel.log:
        plain_ticks(getattr(axis, f"{name}axis"))
    axis.set_title(panel.title, fontsize=FONT, loc="left")
    axis.set_xlabel(panel.x)
    axis.set_ylabel(panel.y)
    axis.grid(alpha=0.25, lw=0.5)
    _legend(axis)


def _legend(axis) -> None:
    """Put the legend below the axes, where it covers no data."""
    from matplotlib.transforms import ScaledTranslation

    shift = ScaledTranslation(0, -BELOW / 72, axis.figure.dpi_scale_trans)
    axis.legend(
        fontsize=7,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axis.transAxes + shift,
        borderaxespad=0,
        labelspacing=0.3,
    )


def _gallery(axis, gallery: Gallery, pictures: np.ndarray) -> None:
    """Draw square pictures row by row, dark on light, on the grey scale of the first row."""
    rows, many, numbers = pictures.shape
    side = round(numbers**0.5)
    # NaN leaves an empty line between pictures
    framed = np.full((rows, side + 1, many, side + 1), np.nan)
    framed[:, :side, :, :side] = pictures.reshape(rows, many, side, side).transpose(0, 2, 1, 3)
    grid = framed.reshape(rows * (side + 1), many * (side + 1))[:-1, :-1]
    axis.imshow(
        grid, cmap="gray_r", vmin=pictures[0].min(), vmax=pictures[0].max(), interpolation="nearest"
    )
    axis.set_xticks([])
    names = ["real", *(f"t = {t}" for t in gallery.generations)]
    axis.set_yticks([(side + 1) * i + side / 2 for i in range(rows)], names)
    axis.tick_params(length=0)
    axis.set_title(gallery.title, fontsize=FONT, loc="left")
    for spine in axis.spines.values():
        spine.set_visible(False)
