"""The pictures of the page, drawn from its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...display import plain_math, shortened
from ..curves import PAPER, draw_panel
from .model import Point, Row, TaskPage
from .svg import SCREEN, inline, new_figure, plain_axes

Shown = Callable[[str], str]

_ROW = 13.0  # pixels of one row of the picture of tiers
_NAME = 30  # characters of a name in it
_SMALL = 7.5  # points of the names of lines
_LETTER = 0.62  # width of a letter, as a share of its height
_MARGINS = {"left": 0.15, "right": 0.99, "top": 0.97, "bottom": 0.15}  # of a picture of curves
_LABELLED = 6  # names next to points of the picture of costs
#: of the lines that are not drawn through, by their colour
_DASHES = {"law": "5 3", "nature": "1 2", "trivial": "1 2", "frozen": "6 2 1 2"}


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
    shown: Shown = plain_math,
) -> Any:
    """The picture of ``tiers`` as a figure of matplotlib.

    shown: a name as text of the figure.
    """
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
        some = [row for row in rows if row.track in column]
        _tier_column(axis, some, lines, deepest, colours, shown)
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
    shown: Shown,
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
                f"track {shown(row.track)}",
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
            axis.plot([row.score], [at], "o" if row.tier == 1 else "s", color=colour, ms=3)
        tier = f"{row.tier}  " if row.tier is not None else "\N{EN DASH}  "
        ticks.append((at, shown(tier + shortened(row.name, _NAME)), f"#{row.anchor}"))
        at += 1
    axis.set_yticks([place for place, _, _ in ticks], [text for _, text, _ in ticks])
    for text, (_, _, url) in zip(axis.get_yticklabels(), ticks, strict=True):
        if colours is SCREEN:  # a link into the page
            text.set_url(url)
    axis.set_ylim(deepest - 0.4, -0.6)
    for score in controls.values():
        axis.axvline(score, color=colours["grid"], lw=0.8, zorder=0)
    _name_lines(axis, controls, colours, shown)


def _name_lines(
    axis: Any, lines: Mapping[str, float], colours: Mapping[str, str], shown: Shown
) -> None:
    """The names of vertical lines above them, on as many levels as they need to be read."""
    low, high = axis.get_xlim()
    axis.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if low <= tick <= high])
    width = axis.get_position().width * axis.figure.get_figwidth() * 72  # points
    ends: list[float] = []  # of the last name on each level
    for name, score in sorted(lines.items(), key=lambda item: item[1]):
        text = shortened(name, 16)
        half = 0.5 * _LETTER * _SMALL * len(text) / width * (high - low)
        level = next((i for i, end in enumerate(ends) if score - half > end), len(ends))
        ends[level : level + 1] = [score + half + 0.01 * (high - low)]
        axis.annotate(
            shown(text),
            (score, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + (_SMALL + 1.5) * level),
            textcoords="offset points",
            fontsize=_SMALL,
            color=colours["muted"],
            ha="center",
            va="bottom",
        )


def cost(points: Sequence[Point], what: str, key: str, label: str) -> str:
    """Scores against what was spent; the points that no other beats are named and joined.

    what: the attribute of a point.
    """
    known = [(getattr(p, what), p) for p in points if getattr(p, what) is not None]
    figure = new_figure(330, 270)
    axis = figure.subplots()
    x = np.array([value for value, _ in known], float)
    for ranked in (False, True):  # what can be compared is on top
        some = [(value, p.score) for value, p in known if p.ranked == ranked]
        axis.plot(
            [value for value, _ in some],
            [score for _, score in some],
            "o",
            mfc=SCREEN["rest"] if ranked else "none",
            ms=4,
            mec=SCREEN["muted"],
            mew=0.5,
        )
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
    _spending(axis, x)
    low, high = axis.get_xlim()
    first = len(front[:-_LABELLED])
    for i, (value, point) in enumerate(front[first:]):
        # to the left and above there is no better method; the first one has no place there
        left = i > 0
        text = axis.annotate(
            plain_math(shortened(point.name, 22)),
            (value, point.score),
            xytext=(-4, 4) if left else (5, -11),
            textcoords="offset points",
            fontsize=8,
            color=SCREEN["text"],
            ha="right" if left else "left",
        )
        text.set_url(f"#{point.anchor}")
    axis.set_xlim(low, high)
    axis.axhline(0, color=SCREEN["muted"], lw=0.8)
    axis.set_xlabel(label)
    axis.set_ylabel("collapse averted")
    axis.margins(y=0.12)
    plain_axes(axis, SCREEN, 8.5)
    return inline(figure, key, f"collapse averted against {label}")


def _spending(axis: Any, x: Any) -> None:
    """An axis of amounts: logarithmic where they differ by more than a factor of twenty, with a
    place for 0."""
    axis.margins(x=0.06)
    positive = x[x > 0]
    if not len(positive) or positive.max() <= 20 * positive.min():
        axis.set_xlim(*axis.get_xlim())
        return
    least = 10 ** np.floor(np.log10(positive.min()))
    zero = bool((x == 0).any())
    if zero:
        axis.set_xscale("symlog", linthresh=least, linscale=0.6)
    else:
        axis.set_xscale("log")
    most = np.ceil(np.log10(positive.max()))
    decades = 10.0 ** np.arange(np.log10(least) + zero, most + 1)
    decades = decades[decades <= 1.6 * positive.max()]
    axis.set_xlim(-0.35 * least if zero else 0.7 * positive.min(), 1.7 * positive.max())
    ticks = [*([0.0] if zero else []), *decades[:: -(-len(decades) // 5)]]
    axis.set_xticks(ticks, [f"{tick:,.10g}".replace(",", " ") for tick in ticks])


@dataclass(frozen=True)
class Key:
    """A line of a picture and what it shows; colour: a name of ``PAPER``."""

    label: str
    colour: str
    width: str
    dashes: str


def curves(
    task: TaskPage, key: str, focus: str | None, controls: Sequence[str]
) -> tuple[str, list[Key]]:
    """Loss by generation of all rows of a task, and what its lines are."""
    figure = new_figure(350, 240, _MARGINS)
    axis = figure.subplots()
    draw_panel(axis, task.curves, focus, controls, task.law, SCREEN)
    handles, labels = axis.get_legend_handles_labels()
    axis.get_legend().remove()  # the page has it as text
    axis.set_xlabel("generation")
    axis.set_ylabel(plain_math(task.loss.replace("_", " ")))
    plain_axes(axis, SCREEN, 8.5)
    names = {colour: name for name, colour in SCREEN.items()}
    keys = [
        Key(
            label.replace(r"\$", "$"),
            colour := names[line.get_color()],
            f"{line.get_linewidth():.1f}",
            _DASHES.get(colour, ""),
        )
        for line, label in zip(handles, labels, strict=True)
    ]
    return inline(figure, key, f"loss by generation of {task.name}"), keys
