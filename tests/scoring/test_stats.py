"""Small-sample statistics, compared with plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, studentized_range
from scipy.stats import t as student

from collapse_bench.scoring.stats import holm, t_critical, tukey_p, welch


@pytest.mark.parametrize("rows", [2, 3, 6, 50])
def test_tukey_agrees_with_its_plain_twin(rows):
    t, df = (x.ravel() for x in np.meshgrid([0.0, 1.0, 3.0, 5.0], [9.0, 31.0, 61.7, 1e3]))
    z = norm.isf(student.sf(t, df))
    expected = studentized_range.sf(z * math.sqrt(2), rows, np.inf)
    np.testing.assert_allclose(tukey_p(t, rows, df), expected, atol=1e-7)
    assert tukey_p(3.0, rows, np.inf) == pytest.approx(
        studentized_range.sf(3 * math.sqrt(2), rows, np.inf), abs=1e-7
    )


def test_small_statistics():
    assert np.isnan(tukey_p(np.nan, 5, 9))
    assert tukey_p(np.inf, 5, 9) == 0
    assert tukey_p([], 5, []).shape == (0,)
    assert t_critical(31) == pytest.approx(student.ppf(0.975, 31))
    assert holm([0.01, 0.04, np.nan, 0.03]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06], nan_ok=True
    )
    variance, df = welch([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [9, 31])
    assert variance.tolist() == [2, 2, 0]
    assert df == pytest.approx([9, 4 / (1 / 9 + 1 / 31), 40])
