"""Chains of the engine held against a number, by z-score over chains.

The largest z that passes is 4, for every law.  ``slack`` is for forms that are not exact: 3 % for a deterministic
equivalent, 5 % for a leading order.  A comparison too blunt to see an error of ``sees`` (a share of the number) fails
too.  Each is logged: ``pytest tests/laws --log-cli-level=INFO`` prints the table of measured over predicted.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from zlib import crc32

import pytest

from collapse_bench import cell_of, generations
from collapse_bench.core.loop import nature

LARGEST_Z = 4.0
EQUIVALENT, LEADING = 0.03, 0.05

log = logging.getLogger("laws")


def slow(*values):
    """A setting of a law that only ``--slow`` tests; by default, cheaper settings represent the law."""
    return pytest.param(*values, marks=pytest.mark.slow)


def follow(spec, chains, **changes):
    """(k, teacher, scores, data) for fits k = 1 .. T + 1 of the cell; ``changes`` are fields of Cell.

    ``data`` is nature, with the truth of every chain.  Every spec has seeds of its own, so that one unlucky draw
    does not show in many laws.
    """
    first = crc32(spec.encode()) * 1_000_000
    cell = dataclasses.replace(cell_of(spec, seeds=range(first, first + chains)), **changes)
    assert cell.incompatibility() is None, cell.incompatibility()
    data = nature(cell)
    for now in generations(cell):
        assert now.starved is None or not now.starved.any()
        yield now.t + 1, now.teacher, now.scores, data


def z_of(sample, expected):
    """(mean, standard error, z) of one number per chain."""
    sample = sample.double()
    mean, error = float(sample.mean()), float(sample.std()) / math.sqrt(len(sample))
    return mean, error, (mean - expected) / error if error else math.inf * (mean != expected)


def holds(law, sample, expected, slack=0.0, sees=0.1):
    """The mean of ``sample (R,)`` over chains is ``expected``."""
    mean, error, z = z_of(sample, expected)
    log.info("%s | %.6g | %.6g | %.4f | %+.2f", law, mean, expected, mean / expected, z)
    assert error > 0, f"{law}: the chains do not differ"
    assert abs(mean - expected) <= LARGEST_Z * error + slack * abs(expected), (
        f"{law}: measured {mean:.6g}, predicted {expected:.6g}, z = {z:+.1f}"
    )
    assert LARGEST_Z * error <= sees * abs(expected), (
        f"{law}: {len(sample)} chains are too few to see {sees:.0%}"
    )


def holds_variance(law, sample, expected, sees=0.1):
    """The variance of ``sample (R,)`` over chains is ``expected``."""
    holds(
        law, (sample - sample.mean()) ** 2 * (len(sample) / (len(sample) - 1)), expected, sees=sees
    )


def agrees(law, sample, published, rounding, chains):
    """The mean over chains is a published mean over ``chains`` other chains, known to within ``rounding``.

    The published number has a standard error of its own, taken from the spread seen here.
    """
    mean, error, _ = z_of(sample, published)
    assert error > 0, f"{law}: the chains do not differ"
    error *= math.sqrt(1 + len(sample) / chains)
    log.info(
        "%s | %.6g | %.6g | %.4f | %+.2f",
        law,
        mean,
        published,
        mean / published,
        (mean - published) / error,
    )
    assert abs(mean - published) <= LARGEST_Z * error + rounding, (
        f"{law}: measured {mean:.6g}, published {published}"
    )


def gaussian(teacher, data):
    """(v, e) of a one-dimensional Gaussian teacher: its variance and the squared error of its mean, (R,) each."""
    mean, factor = teacher.mean_and_factor()
    truth, _ = data.mean_and_factor()
    return factor[..., 0, 0] ** 2, ((mean - truth) ** 2)[..., 0]
