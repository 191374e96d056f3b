"""Every figure of the package as it is drawn: nothing lies on the data, and rates stay in [0, 1]."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from collapse_bench.papers.draw import drawn
from collapse_bench.papers.figure import Curve, Figure, Panel, Point
from collapse_bench.papers.reproduce import numbers_of
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry

pytest.importorskip("matplotlib")
NAMES = sorted(registry().figures)
#: words in the name of an axis whose quantity is a share
RATES = re.compile(r"\b(rate|probability|accuracy|lost)\b")


def table(figure: Figure, store: Store) -> pd.DataFrame:
    """The table of a figure without a run: laws as they are, and a curve where points are measured.

    The size of the measured values does not matter here, since axes follow the data.
    """
    numbers = numbers_of(figure, dict.fromkeys(_specs(figure), "0" * 20), store)
    measured = numbers.cell != ""
    x = np.log1p(numbers.x[measured].rank().to_numpy())
    numbers.loc[measured, "measured"] = 0.2 + 0.6 * x / x.max()
    numbers.loc[measured, "low"] = 0.1
    numbers.loc[measured, "high"] = 0.9
    return numbers


def _specs(figure: Figure) -> list[str]:
    points = [p for panel in figure.plots for curve in panel.curves for p in curve.points]
    return [p.spec for p in points if p.spec is not None]


@pytest.fixture(scope="module")
def figures():
    return {name: registry().figure(name)("quick", None) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_no_legend_covers_data_or_other_words(name, figures, tmp_path):
    from matplotlib import pyplot as plt

    figure = figures[name]
    pictures = {
        g.title: np.random.default_rng(0).random((len(g.generations) + 1, g.many, 64))
        for g in figure.galleries
    }
    fig = drawn(figure, table(figure, Store(tmp_path)), pictures)
    fig.canvas.draw()
    legends = {axis: axis.get_legend() for axis in fig.axes if axis.get_legend() is not None}
    assert len(legends) == len(figure.plots)
    for own, legend in legends.items():
        box = legend.get_window_extent()
        assert fig.bbox.x0 <= box.x0 < box.x1 <= fig.bbox.x1, "the legend leaves the figure"
        assert fig.bbox.y0 <= box.y0 < box.y1 <= fig.bbox.y1, "the legend leaves the figure"
        assert not box.overlaps(fig._suptitle.get_window_extent())
        for axis in fig.axes:  # drawn data are clipped to the axes
            assert not box.overlaps(axis.get_window_extent())
            for words in (axis.title, axis._left_title, axis.xaxis.label, axis.yaxis.label):
                assert not (words.get_text() and box.overlaps(words.get_window_extent()))
            for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
                if label.get_text() and label.get_visible() and axis is own:
                    assert not box.overlaps(label.get_window_extent())
    plt.close(fig)


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_of_a_rate_says_that_it_lies_in_0_to_1(name, figures):
    for panel in figures[name].plots:
        if RATES.search(panel.y):
            assert panel.bounds == (0.0, 1.0), panel.title


def test_an_interval_ends_at_the_bounds_of_its_panel(monkeypatch, tmp_path):
    sample = pd.DataFrame(
        {"metric": "error", "generation": 0, "seed": range(3), "value": [0.7, 1.0, 1.0]}
    )
    monkeypatch.setattr("collapse_bench.papers.reproduce._numbers", lambda *_: sample)
    curves = [Curve("c", [Point(0, "cell", "error")])]
    panels = [Panel("free", "x", "y", curves), Panel("rate", "x", "y", curves, bounds=(0.0, 1.0))]
    numbers = numbers_of(Figure("t", "s", panels, 3), {"cell": "id"}, Store(tmp_path))
    free, rate = numbers.to_dict(orient="records")
    assert free["high"] == pytest.approx(0.9 + 1.96 * math.sqrt(0.03 / 3))
    assert (rate["measured"], rate["high"]) == (free["measured"], 1.0)
    assert (rate["low"], rate["z"] != rate["z"]) == (free["low"], True)


def test_the_basel_figure_draws_its_limit(figures):
    for panel in figures["pi-squared-over-six"].plots:
        limit = next(c for c in panel.curves if c.label.startswith("\u03c0\u00b2/6"))
        kept = next(c for c in panel.curves if c.label in ("accumulate, the same x", "accumulate"))
        [level] = {point.predicted for point in limit.points}
        assert level == pytest.approx(math.pi**2 / 6 * kept.points[0].predicted)
        assert 0.95 * level < kept.points[-1].predicted < level
