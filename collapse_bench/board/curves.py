"""Pictures of loss against generation.

One panel per task and one line per entry: the mean over chains with a band of two standard errors,
or the median with its 95 % interval.  Where a few chains carry the mean, the two part.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy

from ..display import plain_math
from ..errors import NothingMatched, UsageError
from ..extras import require
from ..paths import unwritable
from .axes import plain_ticks
from .render import writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Statistic = Literal["mean", "median"]


def picture(path: str | Path) -> Path:
    """The path, if a picture can be drawn and written there.

    Raises UsageError if the ending is not .png, .svg or .pdf, if the folder does not exist, or if
    matplotlib is not installed.
    """
    require("plots", "a picture of curves")
    path = writable(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"{path} must end in .png, .svg or .pdf")
    return path


def draw_curves(
    frame: pd.DataFrame,
    primary: dict[str, str],
    path: str | Path,
    laws: dict[str, list[float]] | None = None,
    statistic: Statistic = "mean",
) -> Path:
    """Draw the frame of ``Results.frame()`` to a PNG, SVG or PDF file.

    ``primary`` names the loss of each task.  ``laws`` has the expected loss of `none` by
    generation, which is drawn dashed.  ``statistic`` is taken over the chains of a generation.
    Raises what ``picture`` raises, UsageError for another statistic, and NothingMatched if the
    frame has no row of a primary loss.
    """
    path = picture(path)
    if statistic not in get_args(Statistic):
        known = ", ".join(get_args(Statistic))
        raise UsageError(f"curves cannot show the {statistic!r} of chains; known: {known}")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    frame = frame[(frame.role != "curve") & (frame.metric == frame.task.map(primary))]
    if frame.empty:
        raise NothingMatched("there is nothing to draw, since no chain has been run")
    tasks = list(dict.fromkeys(frame.task))
    across = min(3, len(tasks))
    down = -(-len(tasks) // across)
    fig, axes = plt.subplots(
        down, across, figsize=(5.2 * across, 3.4 * down), squeeze=False, layout="constrained"
    )
    entries = list(dict.fromkeys(frame.entry))
    rest = [entry for entry in entries if entry not in ("none", "nature")]
    colours = {entry: plt.get_cmap("tab20")(i % 20) for i, entry in enumerate(rest)} | {
        "none": "black",
        "nature": "grey",
    }
    for axis, task in zip(axes.flat, tasks, strict=False):
        piece = frame[frame.task == task]
        for entry, rows in piece.groupby("entry", sort=False):
            stats = over_chains(rows, statistic)
            _draw_entry(axis, entry, stats, colours[entry])
            if entry == "none" and 0 in stats.index and "frozen" not in set(piece.entry):
                _draw_frozen(axis, stats["center"][0])
        if laws is not None and task in laws:
            _draw_law(axis, laws[task], statistic)
        if (piece.value > 0).all():
            axis.set_yscale("log")
            plain_ticks(axis.yaxis)
        axis.set_title(plain_math(task).replace(" | ", "\n| "), fontsize=8, loc="left")
        axis.set_xlabel("generation")
        loss = plain_math(primary[task].replace("_", " "))
        axis.set_ylabel(loss if statistic == "mean" else f"{loss}, median of chains")
    for axis in list(axes.flat)[len(tasks) :]:
        axis.remove()
    _draw_legend(fig)
    try:
        fig.savefig(path, dpi=130)
    except OSError as problem:
        raise unwritable(path, problem) from problem
    plt.close(fig)
    return path


def _draw_entry(axis: Axes, entry: str, stats: pd.DataFrame, colour: Any) -> None:
    """The curve and band of an entry."""
    # `none` is thin and on top, so that an entry that equals it shows as a rim around it
    width, above = (1.0, 8) if entry == "none" else (2.0, 2)
    axis.plot(
        stats.index,
        stats["center"],
        ":" if entry == "nature" else "-",
        color=colour,
        label=plain_math(entry),
        lw=width,
        zorder=above,
    )
    axis.fill_between(
        stats.index,
        stats["low"].clip(lower=stats["center"] / 10),
        stats["high"],
        color=colour,
        alpha=0.15,
        lw=0,
    )


def _draw_frozen(axis: Axes, level: float) -> None:
    """The control `frozen` where it has no records of its own: generation 0 of `none`."""
    axis.axhline(level, ls=(0, (6, 2, 1, 2)), color="black", label="frozen", lw=0.6, zorder=1)


def _draw_law(axis: Axes, law: list[float], statistic: Statistic) -> None:
    """The expected loss of `none`, by generation."""
    axis.plot(
        range(len(law)),
        law,
        "--",
        color="tab:red",
        label="none, by its law" if statistic == "mean" else "law of the mean of none",
        lw=1.4,
        zorder=9,
    )


def _draw_legend(fig: Figure) -> None:
    """One legend for all axes, below them."""
    handles = {str(line.get_label()): line for axis in fig.axes for line in axis.get_lines()}
    fig.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=min(5, len(handles)),
        fontsize=8,
    )


def over_chains(rows: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """generation -> center, low and high: the statistic over chains and its interval.

    The interval of the mean has two standard errors on each side.  That of the median is between
    order statistics, and covers the median of the distribution with at least 95 %, whatever the
    distribution is; below six chains it is the range of the values.
    """
    values = rows.groupby("generation").value
    if statistic == "mean":
        stats = values.agg(["mean", "sem"]).fillna({"sem": 0.0})
        low, high = stats["mean"] - 2 * stats["sem"], stats["mean"] + 2 * stats["sem"]
        return pd.DataFrame({"center": stats["mean"], "low": low, "high": high})
    found = {t: _median(group.dropna().to_numpy(float)) for t, group in values}
    return pd.DataFrame.from_dict(found, orient="index", columns=["center", "low", "high"])


def _median(values: np.ndarray) -> tuple[float, float, float]:
    """(median, low, high) of one generation."""
    if not len(values):
        return (np.nan, np.nan, np.nan)
    ordered = np.sort(values)
    # P(fewer than k values lie below the median) <= 2.5 %
    k = max(int(scipy.stats.binom.ppf(0.025, len(values), 0.5)), 1)
    return float(np.median(ordered)), float(ordered[k - 1]), float(ordered[-k])
