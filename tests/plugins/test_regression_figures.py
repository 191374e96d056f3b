"""Figures of regression: their cells go together, and what they draw dashed is what the plugins predict."""

from __future__ import annotations

import math

import pytest

from collapse_bench.registry.discovery import registry

NAMES = [
    "regression-generations",
    "strong-collapse-ridge",
    "strong-collapse-width",
    "strong-collapse-pareto",
    "strong-collapse-mixing",
    "strong-collapse-images",
]


def points(name, scale):
    figure = registry().figure(name)(scale, None)
    return [point for panel in figure.panels for curve in panel.curves for point in curve.points]


@pytest.mark.parametrize("scale", ["quick", pytest.param("paper", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_goes_together(name, scale):
    specs = {point.spec for point in points(name, scale) if point.spec is not None}
    assert specs
    assert [spec for spec in specs if registry().cell(spec).incompatibility() is not None] == []


@pytest.mark.parametrize("name", NAMES[:-1])
def test_the_dashed_line_is_what_is_predicted_of_its_cell(name):
    known = {}
    compared = 0
    for point in points(name, "quick"):
        if point.spec is None or point.predicted is None:
            continue
        if point.spec not in known:
            known[point.spec] = registry().predicted(registry().cell(point.spec))
        told = known[point.spec]
        if told is not None and math.isfinite(told[point.t]):
            compared += 1
            # least squares may be told exactly where the figure shows the leading order
            assert point.predicted == pytest.approx(told[point.t], rel=0.01), point.spec
    assert compared > 20
