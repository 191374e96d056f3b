"""What figures call published is the strongest statement of the paper, and whose bandwidth is whose."""

from __future__ import annotations

import math

import pytest

from collapse_bench.plugins.figures.discrete_survival import discrete_survival
from collapse_bench.plugins.figures.kde_bandwidth import kde_bandwidth
from collapse_bench.plugins.figures.verification_threshold import verification_threshold


def curves(figure, panel):
    return {curve.label: curve.points for curve in figure.panels[panel].curves}


def test_the_bound_on_survival_is_the_theorem_and_not_its_corollary():
    """Suresh et al., Theorem 1: 1 - exp(-n p g), g iterated from 1 by x -> 1 - e^-x."""
    points = curves(discrete_survival("quick"), 1)["Theorem 1 of Suresh et al., c = 5"]
    g = 1.0
    for k, point in enumerate(points, 1):
        g = 1 - math.exp(-g)
        assert (point.x, point.spec) == (k, None)
        assert point.predicted == pytest.approx(1 - math.exp(-5 * g), rel=1e-12)
    assert points[19].predicted == pytest.approx(0.3546, abs=1e-4)
    assert 1 - math.exp(-5 / 21) == pytest.approx(0.2119, abs=1e-4)  # the corollary


def test_the_figure_of_kernel_densities_draws_both_bandwidths():
    figure = kde_bandwidth("quick")
    assert "scikit-learn" in figure.source
    variance = curves(figure, 0)
    ours, theirs = variance["Silverman, scale of the data"], variance["Silverman, scikit-learn"]
    assert "rule=silverman" in ours[20].spec
    assert "rule=sklearn-silverman" in theirs[20].spec
    assert ours[20].predicted == pytest.approx(54.7, abs=0.05)
    assert theirs[20].predicted == pytest.approx(4.71, abs=0.005)
    assert set(variance) == set(curves(figure, 1))


def test_the_figure_of_verifiers_names_who_derived_its_finite_sizes():
    source = verification_threshold("quick").source
    assert "Feng et al." in source
    assert "El Firdoussi et al." in source
