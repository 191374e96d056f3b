"""A figure of a paper as data: panels of curves, each point of which is a number that a cell must produce.

A figure plugin offers a function of the scale; what it returns says which cells are run, what is read from them and
what the law predicts.  Running, saving and drawing are the harness's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Scale = Literal["quick", "paper"]


@dataclass(frozen=True)
class Point:
    """``metric`` of the cell ``spec`` at generation ``t``, over chains, drawn at ``x``.

    spec: None for a point that is only predicted.  predicted: the law's value, None where none is known.  statistic:
    ``variance`` is that over chains, ``median`` has an interval of its order statistics.  What is drawn is ``times`` the
    metric ``+ plus``: the unit, e.g. 1/sigma^2, or what is left of a number of which the metric was lost.
    """

    x: float
    spec: str | None
    metric: str = ""
    t: int = 0
    predicted: float | None = None
    statistic: Literal["mean", "median", "variance"] = "mean"
    times: float = 1.0
    plus: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Points under one label; what is predicted is drawn dashed in the same colour."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Panel:
    """Axes are named with their units; ``log`` names the axes that are logarithmic: '', 'x', 'y' or 'xy'."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    log: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures of one chain (seed 0) of ``spec``: a row of ``many`` of nature's, and one for each of ``generations``."""

    title: str
    spec: str
    generations: Sequence[int]
    many: int = 10


@dataclass(frozen=True)
class Figure:
    """title: what is shown.  source: the paper and its figure or table.  chains: seeds of every cell."""

    title: str
    source: str
    panels: Sequence[Panel | Gallery]
    chains: int = 32

    @property
    def plots(self) -> list[Panel]:
        """The panels that hold curves."""
        return [panel for panel in self.panels if isinstance(panel, Panel)]

    @property
    def galleries(self) -> list[Gallery]:
        """The panels that hold pictures."""
        return [panel for panel in self.panels if isinstance(panel, Gallery)]


def over_time(spec: str, metric: str, T: int, predicted=None, **more) -> list[Point]:
    """A point for every generation of a cell; ``predicted(k)`` is told the number of fits, t + 1."""
    return [
        Point(t, spec, metric, t, None if predicted is None else predicted(t + 1), **more)
        for t in range(T + 1)
    ]
