"""Pictures of loss against generation.

One panel per task: the focus row bold, or without one the best row of the task; the controls in
colours of their own; all other rows grey; what a law predicts dashed.  A curve is the mean over
chains with a band of two standard errors, or the median with its 95 % interval.  Where a few chains
carry the mean, the two part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from ..display import plain_math, shortened
from ..errors import NothingMatched, UsageError
from ..extras import require
from ..paths import unwritable
from .axes import plain_ticks
from .render import writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Statistic = Literal["mean", "median"]
Array = NDArray[np.float64]

MOST_PANELS = 12  # of one page
#: controls that have a line of their own, and its style
STYLES: dict[str, Any] = {"none": "-", "nature": ":", "frozen": (0, (6, 2, 1, 2)), "trivial": ":"}
#: what each kind of line is drawn in, on paper
PAPER = {
    "text": "#222222",
    "muted": "#6b6b6b",
    "grid": "#dddddd",
    "rest": "#c4c4c4",
    "bold": "#c0392b",
    "none": "#111111",
    "nature": "#1a7f5a",
    "frozen": "#2563a8",
    "trivial": "#8a5a00",
    "law": "#7b3fa0",
    "surface": "#ffffff",
}
_NAMES = 34  # characters of a name in the legend of a panel
_SPREAD = (5.0, 95.0)  # percentiles of the grey rows that an axis shows


@dataclass(frozen=True)
class Curve:
    """A statistic over chains by generation, and its interval; four arrays of one length."""

    generation: Array
    center: Array
    low: Array
    high: Array
    chains: int

    @property
    def end(self) -> float:
        """The statistic in the last generation."""
        return float(self.center[-1]) if len(self.center) else float("nan")


def picture(path: str | Path, further: Sequence[str] = ()) -> Path:
    """The path, if a picture can be drawn and written there.

    further: endings that it may have besides .png, .svg and .pdf.  Raises UsageError if it has
    another one, if the folder does not exist, or if matplotlib is not installed.
    """
    require("plots", "a picture")
    path = writable(path)
    *first, last = (".png", ".svg", ".pdf", *further)
    if path.suffix.lower() not in (*first, last):
        raise UsageError(f"{path} must end in {', '.join(first)} or {last}")
    return path


def draw_curves(
    frame: pd.DataFrame,
    primary: dict[str, str],
    path: str | Path,
    laws: dict[str, list[float]] | None = None,
    statistic: Statistic = "mean",
    focus: str | None = None,
) -> list[Path]:
    """Draw the frame of ``Results.frame()``: the files written, which are PNG, SVG or PDF.

    A page has at most 12 panels.  Further pages of a PDF are in the same file; those of another
    format are next to it, as ``curves-2.png``.

    ``primary`` names the loss of each task.  ``laws`` has the expected loss of `none` by
    generation, which is drawn dashed.  ``statistic`` is taken over the chains of a generation.
    ``focus``: the row that is bold; None: the best row of each task.
    Raises what ``picture`` raises, UsageError for another statistic, and NothingMatched if the
    frame has no row of a primary loss.
    """
    path = picture(path)
    if statistic not in get_args(Statistic):
        known = ", ".join(get_args(Statistic))
        raise UsageError(f"curves cannot show the {statistic!r} of chains; known: {known}")
    frame = frame[(frame.role != "curve") & (frame.metric == frame.task.map(primary))]
    if frame.empty:
        raise NothingMatched("there is nothing to draw, since no chain has been run")
    controls = set(frame.entry[frame.role == "control"]) | set(STYLES)
    tasks = list(dict.fromkeys(frame.task))
    pages = [tasks[i : i + MOST_PANELS] for i in range(0, len(tasks), MOST_PANELS)]
    figures = (
        _page(frame[frame.task.isin(page)], page, primary, laws or {}, statistic, focus, controls)
        for page in pages
    )
    try:
        return _saved(figures, path)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def _saved(figures: Iterable[Any], path: Path) -> list[Path]:
    """The files of these pages: one for a PDF, else one per page."""
    if path.suffix.lower() == ".pdf":
        from matplotlib.backends.backend_pdf import PdfPages

        with PdfPages(path) as book:
            for figure in figures:
                book.savefig(figure)
        return [path]
    files = []
    for number, figure in enumerate(figures, 1):
        file = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        figure.savefig(file, dpi=130)
        files.append(file)
    return files


def _page(
    frame: pd.DataFrame,
    tasks: Sequence[str],
    primary: Mapping[str, str],
    laws: Mapping[str, list[float]],
    statistic: Statistic,
    focus: str | None,
    controls: set[str],
) -> Any:
    """One figure with a panel for each task."""
    from matplotlib.figure import Figure

    across = min(3, len(tasks))
    down = -(-len(tasks) // across)
    fig = Figure(figsize=(5.2 * across, 3.6 * down + 0.4), layout="constrained")
    axes = fig.subplots(down, across, squeeze=False)
    chains: set[int] = set()
    for axis, task in zip(axes.flat, tasks, strict=False):
        piece = frame[frame.task == task]
        curves = {
            str(entry): curve_of(rows, statistic)
            for entry, rows in piece.groupby("entry", sort=False)
        }
        chains |= {curve.chains for curve in curves.values()}
        draw_panel(axis, curves, focus, controls, laws.get(task), statistic=statistic)
        axis.set_title(plain_math(task).replace(" | ", "\n| "), fontsize=8, loc="left")
        loss = plain_math(primary[task].replace("_", " "))
        axis.set_ylabel(loss if statistic == "mean" else f"{loss}, median of chains", fontsize=8)
    for axis in list(axes.flat)[len(tasks) :]:
        axis.remove()
    fig.supxlabel(f"generation      ({band(statistic, chains)})", fontsize=8)
    return fig


def band(statistic: Statistic, chains: Iterable[int]) -> str:
    """What the bands show, in words, with the number of chains."""
    some = sorted(set(chains))
    how_many = f"{some[0]}" if len(some) == 1 else f"{some[0]} to {some[-1]}" if some else "no"
    if statistic == "mean":
        return f"mean over {how_many} chains; bands: two standard errors"
    return f"median of {how_many} chains; bands: its 95 % interval"


def best_of(curves: Mapping[str, Curve], controls: Iterable[str]) -> str | None:
    """The row with the lowest loss in the last generation, controls left out; None without one."""
    left = set(curves) - set(controls)
    known = {name: curves[name].end for name in left if np.isfinite(curves[name].end)}
    return min(sorted(known), key=lambda name: known[name], default=None)


def draw_panel(
    axis: Axes,
    curves: Mapping[str, Curve],
    focus: str | None = None,
    controls: Iterable[str] = tuple(STYLES),
    law: Sequence[float] | None = None,
    colours: Mapping[str, str] = PAPER,
    statistic: Statistic = "mean",
) -> None:
    """Draw the curves of one task: all rows that have no line of their own are one grey line.

    focus: the bold row; where it is not there, the best one is bold.
    """
    from matplotlib.ticker import MaxNLocator

    bold = focus if focus in curves else best_of(curves, controls)
    named = [name for name in STYLES if name in curves]
    rest = [name for name in curves if name not in {bold, *named}]
    if rest:
        axis.plot(
            *_joined([curves[name] for name in rest]),
            color=colours["rest"],
            lw=0.7,
            zorder=1,
            label=f"{len(rest)} other row{'s' * (len(rest) != 1)}",
        )
    for name in named:
        # `none` is thin and on top, so that a row that equals it shows as a rim around it
        _draw(
            axis, curves[name], colours[name], name, 1.1, STYLES[name], 8 if name == "none" else 5
        )
    if "frozen" not in curves and "none" in curves and len(curves["none"].center):
        # the control `frozen` where it has no records of its own: generation 0 of `none`
        axis.axhline(
            curves["none"].center[0],
            ls=STYLES["frozen"],
            color=colours["frozen"],
            label="frozen",
            lw=0.9,
            zorder=4,
        )
    if bold is not None:
        _draw(axis, curves[bold], colours["bold"], bold, 2.4, "-", 7)
    if law is not None:
        axis.plot(
            range(len(law)),
            law,
            ls="--",
            color=colours["law"],
            label="none, by its law" if statistic == "mean" else "law of the mean of none",
            lw=1.3,
            zorder=9,
        )
    _limits(axis, curves, {*named, bold}, law)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6.5, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3, frameon=False)


def _draw(
    axis: Axes, curve: Curve, colour: str, name: str, width: float, style: Any, above: int
) -> None:
    """The curve of one row, and its band."""
    label = plain_math(shortened(name, _NAMES))
    if len(curve.generation) == 1:
        axis.plot(curve.generation, curve.center, "o", color=colour, label=label, ms=3)
        return
    axis.plot(
        curve.generation, curve.center, ls=style, color=colour, label=label, lw=width, zorder=above
    )
    # below a tenth of the curve a band would reach down to nothing on a logarithmic axis
    low = np.maximum(curve.low, np.where(curve.center > 0, curve.center / 10, curve.low))
    axis.fill_between(
        curve.generation, low, curve.high, color=colour, alpha=0.15, lw=0, zorder=above - 1
    )


def _joined(curves: Sequence[Curve]) -> tuple[Array, Array]:
    """All curves as one line with gaps between them."""
    gap = np.array([np.nan])
    x = [part for curve in curves for part in (curve.generation, gap)]
    y = [part for curve in curves for part in (curve.center, gap)]
    return np.concatenate(x), np.concatenate(y)


def _limits(
    axis: Axes, curves: Mapping[str, Curve], shown: set[str | None], law: Sequence[float] | None
) -> None:
    """An axis that shows the named rows whole, and of the grey ones all but the extremes.

    One diverging row would leave the others as one line at the bottom.
    """
    own = [curve.center for name, curve in curves.items() if name in shown]
    own += [np.asarray(law, float)] if law is not None else []
    grey = [curve.center for name, curve in curves.items() if name not in shown]
    main, rest = (
        np.concatenate([np.empty(0), *(part[np.isfinite(part)] for part in parts)])
        for parts in (own, grey)
    )
    ends = [*main, *(np.percentile(rest, _SPREAD) if len(rest) else ())]
    if not ends:
        return
    low, high = float(min(ends)), float(max(ends))
    everything = np.concatenate([main, rest])
    if (everything > 0).all():
        axis.set_yscale("log")
        low, high = (low / 1.15, high * 1.15) if high > low else (low / 2, high * 2)
        axis.set_ylim(low, high)
        plain_ticks(axis.yaxis)
        return
    margin = 0.06 * (high - low) or 1.0
    axis.set_ylim(low - margin, high + margin)


def curve_of(rows: pd.DataFrame, statistic: Statistic = "mean") -> Curve:
    """The curve of rows with columns generation and value, and seed where it is known."""
    stats = over_chains(rows, statistic)
    chains = rows.seed.nunique() if "seed" in rows else int(rows.groupby("generation").size().max())
    low, center, high = (stats[name].to_numpy(float) for name in ("low", "center", "high"))
    return Curve(stats.index.to_numpy(float), center, low, high, int(chains))


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
