"""A figure of a paper as data: panels of curves, whose points are metrics of cells.

A figure plugin offers a function of the scale that returns a ``Figure``: which cells are run, which
metrics are read from them, and what the law predicts.  The harness runs, saves and draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Scale = Literal["quick", "paper"]
SHARE = (0.0, 1.0)  #: bounds of a rate or probability


@dataclass(frozen=True)
class Point:
    """``metric`` of the cell ``spec`` at generation ``t``, over chains, drawn at ``x``.

    spec: None for a point that is only predicted.
    predicted: the value of the law; None if it is not known.
    statistic: taken over chains; the interval of ``median`` is from order statistics.
    times, plus: ``times * metric + plus`` is drawn, to change the unit (e.g. 1/sigma^2), or to turn
    the number of lost items into the number that is left.
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
    """Points with one label; predicted values are drawn dashed in the same colour."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Panel:
    """Curves on common axes.

    x, y: names of the axes, with units.  log: the logarithmic axes, one of '', 'x', 'y' and 'xy'.
    bounds: the range of the quantity, where intervals end; ``SHARE`` for rates and probabilities.
    """

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    log: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True)
class Gallery:
    """Pictures from one chain (seed 0) of ``spec``.

    The first row has ``many`` real pictures, then one row follows for each of ``generations``.
    """

    title: str
    spec: str
    generations: Sequence[int]
    many: int = 10


@dataclass(frozen=True)
class Figure:
    """A figure.

    title: what is shown.  source: the paper and its figure or table.  chains: number of chains of
    every cell.
    """

    title: str
    source: str
    panels: Sequence[Panel | Gallery]
    chains: int = 32

    @property
    def plots(self) -> list[Panel]:
        """The panels with curves."""
        return [panel for panel in self.panels if isinstance(panel, Panel)]

    @property
    def galleries(self) -> list[Gallery]:
        """The panels with pictures."""
        return [panel for panel in self.panels if isinstance(panel, Gallery)]


def over_time(spec: str, metric: str, T: int, predicted=None, **more) -> list[Point]:
    """A point for every generation of a cell; ``predicted(k)`` gets the number of fits, t + 1."""
    return [
        Point(t, spec, metric, t, None if predicted is None else predicted(t + 1), **more)
        for t in range(T + 1)
    ]
