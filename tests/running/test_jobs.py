"""One job: what a plugin raises before its chains run does not end the run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from collapse_bench.running.jobs import _fits


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt(), SystemExit(0)])
def test_a_plugin_that_cannot_say_whether_it_fits_does_not_fit(problem):
    def incompatibility():
        raise problem

    assert not _fits(SimpleNamespace(foreign=True, incompatibility=incompatibility))
