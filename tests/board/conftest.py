"""One small run that several modules of tests show: four kinds of worlds, and names with markup."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from calibrated import WORLDS, calibrated_run

from collapse_bench import api
from collapse_bench.core.params import param
from collapse_bench.plugins.mitigations.real_anchor import RealAnchor
from collapse_bench.registry.discovery import registry

REPORTED = """
name = "kinds"
version = 3
title = "four kinds of worlds <script>alert(1)</script> & more"
seeds = "0:16"
n = 40
generations = 6
mitigations = [
    "frozen", "real-now", "trivial", "anchor", "mix-weights", "real-anchor", "replay",
    'odd(word="<img src=x onerror=alert(2)>")',
]
"""


@dataclass(frozen=True)
class Odd(RealAnchor):
    """Real rows <b onclick=alert(3)>as ever</b> & \u202eodd text (arXiv 1909.08593).

    A second paragraph.
    """

    word: str = param("plain", "any </details> word")


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """(the results of the run, its page).  The class is offered only while they are made."""
    folder = tmp_path_factory.mktemp("reported")
    path, page = folder / "kinds.toml", folder / "kinds.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Odd, "name", "odd")
        patch.setitem(registry().classes["mitigation"], "odd", Odd)
        results = calibrated_run(path, REPORTED + WORLDS)
        assert results.report(page) == [page]
    return api.results(results.output), page
