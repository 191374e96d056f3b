"""The pictures of the page, drawn from its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...display import plain_math, shortened
from ..curves import PAPER, draw_panel
from .model import Point, Row, TaskPage
from .svg import SCREEN, inline, new_figure, plain_axes

_ROW = 13.0  # pixels of one row of the picture of tiers
_NAME = 30  # characters of a name in it
_MARGINS = {"left": 0.12, "right": 0.99, "top": 0.97, "bottom": 0.27}  # of a picture of curves
_LABELLED = 6  # names next to points of the picture of costs


def tiers(rows: Sequence[Row], controls: Mapping[str, float], narrow: bool = False) -> str:
    """The ranked rows with their 95 % intervals on one axis, track by track; controls as lines.

    controls: name -> score.  narrow: for a page as wide as a phone.
    """
    figure = tiers_figure(rows, controls, narrow, SCREEN)
    key = "tiers-narrow" if narrow else "tiers"
    return inline(figure, key, "scores of the ranked rows with their 95 % intervals, by track")


def tiers_figure(
    rows: Sequence[Row],
    controls: Mapping[str, float],
    narrow: bool = False,
    colours: Mapping[str, str] = PAPER,
) -> Any:
    """The picture of ``tiers`` as a figure of matplotlib."""
    tracks = list(dict.fromkeys(row.track for row in rows))
    columns = [tracks] if narrow else _halves(tracks, rows)
    deepest = max(sum(1 for row in rows if row.track in column) + len(column) for column in columns)
    figure = new_figure(270 if narrow else 780, _ROW * deepest + 62)
    axes = figure.subplots(1, len(columns), squeeze=False, sharex=True)[0]
    ends = [end for row in rows for end in (row.low, row.high, row.score) if end is not None]
    lines = {name: score for name, score in controls.items() if score >= -0.4}
    low = min([*ends, *lines.values(), 0.0])
    high = max([*ends, *lines.values(), 0.0])
    for axis, column in zip(axes, columns, strict=True):
        axis.set_xlim(low - 0.05, high + 0.05)
        _tier_column(axis, [row for row in rows if row.track in column], lines, deepest, colours)
        axis.set_xlabel("collapse averted (0: no mitigation, 1: oracle teacher)", fontsize=7.5)
        plain_axes(axis, colours)
        axis.grid(visible=False)
        for text in axis.get_yticklabels():
            text.set_color(colours["text"])
    return figure


def _halves(tracks: Sequence[str], rows: Sequence[Row]) -> list[list[str]]:
    """The tracks in two columns of about the same height."""
    height = {track: 1 + sum(row.track == track for row in rows) for track in tracks}
    total = sum(height.values())
    cut = min(
        range(len(tracks) + 1),
        key=lambda i: abs(2 * sum(height[t] for t in tracks[:i]) - total),
        default=0,
    )
    return [part for part in (list(tracks[:cut]), list(tracks[cut:])) if part]


def _tier_column(
    axis: Any,
    rows: Sequence[Row],
    controls: Mapping[str, float],
    deepest: int,
    colours: Mapping[str, str],
) -> None:
    """Rows from top to bottom, each track under its name."""
    at, last = 0, None
    ticks: list[tuple[float, str, str]] = []
    for row in rows:
        if row.track != last:
            last = row.track
            axis.text(
                0.0,
                at,
                f"track {plain_math(row.track)}",
                transform=axis.get_yaxis_transform(),
                fontsize=7.5,
                color=colours["muted"],
                weight="bold",
                va="center",
            )
            at += 1
        colour = colours["bold"] if row.tier == 1 else colours["none"]
        if row.low is not None and row.high is not None:
            axis.plot([row.low, row.high], [at, at], color=colour, lw=1.6, solid_capstyle="butt")
        if row.score is not None:
            axis.plot([row.score], [at], "o" if row.tier == 1 else "s", color=colour, ms=3.6)
        tier = f"{row.tier}  " if row.tier is not None else "\N{EN DASH}  "
        ticks.append((at, tier + plain_math(shortened(row.name, _NAME)), f"#{row.anchor}"))
        at += 1
    axis.set_yticks([place for place, _, _ in ticks], [text for _, text, _ in ticks])
    for text, (_, _, url) in zip(axis.get_yticklabels(), ticks, strict=True):
        if colours is SCREEN:  # a link into the page
            text.set_url(url)
    axis.set_ylim(deepest - 0.4, -0.6)
    for score in controls.values():
        axis.axvline(score, color=colours["grid"], lw=0.8, zorder=0)
    _name_lines(axis, controls, colours)


def _name_lines(axis: Any, lines: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """The names of vertical lines above them, so far apart that they can be read."""
    low, high = axis.get_xlim()
    axis.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if low <= tick <= high])
    last = -np.inf
    for name, score in sorted(lines.items(), key=lambda item: item[1]):
        # a name that would cover the one before it begins further up
        close = score - last < 0.06 * (high - low)
        last = score
        axis.annotate(
            plain_math(shortened(name, 16)),
            (score, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 13 if close else 2),
            textcoords="offset points",
            rotation=38,
            fontsize=6.5,
            color=colours["muted"],
            ha="left",
            va="bottom",
        )


def cost(points: Sequence[Point], what: str, key: str, label: str) -> str:
    """Scores against what was spent; the points that no other beats are named and joined.

    what: the attribute of a point.
    """
    known = [(getattr(p, what), p) for p in points if getattr(p, what) is not None]
    figure = new_figure(350, 270)
    axis = figure.subplots()
    x = np.array([value for value, _ in known], float)
    y = np.array([point.score for _, point in known], float)
    axis.plot(x, y, "o", color=SCREEN["rest"], ms=4, mec=SCREEN["muted"], mew=0.4)
    front = [(value, point) for value, point in known if what in point.frontier]
    front.sort(key=lambda pair: pair[0])
    axis.plot(
        [value for value, _ in front],
        [point.score for _, point in front],
        "-o",
        color=SCREEN["bold"],
        lw=1,
        ms=4.5,
    )
    for i, (value, point) in enumerate(reversed(front[-_LABELLED:])):
        text = axis.annotate(
            plain_math(shortened(point.name, 22)),
            (value, point.score),
            xytext=(-5, -11 if i % 2 else 5),
            textcoords="offset points",
            fontsize=7,
            color=SCREEN["text"],
            ha="right" if len(x) and value > np.median([x.min(), x.max()]) else "left",
        )
        text.set_url(f"#{point.anchor}")
    positive = x[x > 0]
    if len(positive) and positive.max() > 20 * positive.min():
        axis.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.4)
    axis.axhline(0, color=SCREEN["muted"], lw=0.8)
    axis.set_xlabel(label)
    axis.set_ylabel("collapse averted")
    axis.margins(x=0.06, y=0.12)
    plain_axes(axis, SCREEN)
    return inline(figure, key, f"collapse averted against {label}")


def curves(task: TaskPage, key: str, focus: str | None, controls: Sequence[str]) -> str:
    """Loss by generation of all rows of a task."""
    figure = new_figure(460, 290, _MARGINS)
    axis = figure.subplots()
    draw_panel(axis, task.curves, focus, controls, task.law, SCREEN)
    axis.set_xlabel("generation")
    axis.set_ylabel(plain_math(task.loss.replace("_", " ")))
    plain_axes(axis, SCREEN)
    return inline(figure, key, f"loss by generation of {task.name}")
